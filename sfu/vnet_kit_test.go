package sfu

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

const (
	virtualServer = "10.0.0.1"
	virtualDelay  = 5 * time.Millisecond // each way
)

// virtualClients are the addresses of clients: a publisher, then viewers.
func virtualClients() []string { return []string{"10.0.0.2", "10.0.0.3", "10.0.0.4"} }

// virtual is a network between clients and the real socket of an SFU.
type virtual struct {
	t      *testing.T
	router *vnet.Router
	hosts  map[string]*vnet.Net // of clients
	inside net.PacketConn       // the server's address there
	server net.Addr             // its real one
	wires  sync.WaitGroup

	mu      sync.Mutex
	clients map[string]*wireTap
}

// wireTap is the path of one client. It harms media in both directions and looks
// at what the server sends before that.
type wireTap struct {
	outside net.Conn // the client, as the real server knows it

	mu       sync.Mutex
	random   *rand.Rand
	harm     harm
	up, down held
	sent     map[uint32]map[uint16]int // SSRC, sequence number: how often the server sent it
	bytes    map[uint32]int
	stamps   map[uint32]map[uint16]uint32
	harmed   int
}

// harm is what happens to media, as fractions of the packets.
type harm struct{ loss, twice, late float64 }

// held is a packet that comes after the ones behind it.
type held struct {
	packet []byte
	left   int
}

// newVirtual makes an SFU that is reached only by way of a virtual network.
func newVirtual(t *testing.T) (*SFU, *virtual) {
	t.Helper()
	s, err := New(Config{MediaAddr: "127.0.0.1:0", Loopback: true, PublicIPs: []netip.Addr{netip.MustParseAddr(virtualServer)}}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", MinDelay: virtualDelay, LoggerFactory: logging.NewDefaultLoggerFactory()})
	if err != nil {
		t.Fatal(err)
	}
	v := &virtual{t: t, router: router, clients: map[string]*wireTap{}, server: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.MediaPort()}}
	host := v.host(virtualServer)
	v.hosts = map[string]*vnet.Net{}
	for _, ip := range virtualClients() {
		v.hosts[ip] = v.host(ip)
	}
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	if v.inside, err = host.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(virtualServer), Port: s.MediaPort()}); err != nil {
		t.Fatal(err)
	}
	v.wires.Go(v.upward)
	t.Cleanup(func() {
		err := s.Close()
		err = errors.Join(err, v.inside.Close())
		v.mu.Lock()
		for _, w := range v.clients {
			err = errors.Join(err, w.outside.Close())
		}
		v.mu.Unlock()
		v.wires.Wait()
		if err := errors.Join(err, router.Stop()); err != nil {
			t.Error(err)
		}
	})
	return s, v
}

func (v *virtual) host(ip string) *vnet.Net {
	v.t.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err == nil {
		err = v.router.AddNet(n)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return n
}

// upward carries what clients send to the server.
func (v *virtual) upward() {
	buf := make([]byte, 2048)
	for {
		n, from, err := v.inside.ReadFrom(buf)
		if err != nil {
			return
		}
		w := v.tap(from)
		if w == nil {
			return
		}
		w.mu.Lock()
		for _, b := range w.damage(&w.up, buf[:n]) {
			_, _ = w.outside.Write(b) // a full socket loses packets too
		}
		w.mu.Unlock()
	}
}

// tap returns the path of a client, made when it is first heard of.
func (v *virtual) tap(from net.Addr) *wireTap {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w := v.clients[from.String()]; w != nil {
		return w
	}
	outside, err := net.Dial("udp4", v.server.String())
	if err != nil {
		v.t.Error(err)
		return nil
	}
	w := &wireTap{
		outside: outside, random: rand.New(rand.NewPCG(1, uint64(len(v.clients)))),
		sent: map[uint32]map[uint16]int{}, bytes: map[uint32]int{}, stamps: map[uint32]map[uint16]uint32{},
	}
	v.clients[from.String()] = w
	v.wires.Go(func() { v.downward(w, from) })
	return w
}

// downward carries what the server sends to a client.
func (v *virtual) downward(w *wireTap, to net.Addr) {
	buf := make([]byte, 2048)
	for {
		n, err := w.outside.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		w.mu.Lock()
		w.look(buf[:n])
		out := w.damage(&w.down, buf[:n])
		w.mu.Unlock()
		for _, b := range out {
			_, _ = v.inside.WriteTo(b, to) // closed at the end of the test
		}
	}
}

// media reports whether a datagram is SRTP or SRTCP (RFC 7983), and control
// whether it is the latter (RFC 5761).
func media(b []byte) (media, control bool) {
	if len(b) < rtpHeaderBytes || b[0] < 128 || b[0] > 191 {
		return false, false
	}
	return true, b[1] >= 192 && b[1] <= 223
}

// look notes what the server sent. mu is held.
func (w *wireTap) look(b []byte) {
	if is, control := media(b); !is || control {
		return
	}
	seq, ssrc := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[8:])
	if w.sent[ssrc] == nil {
		w.sent[ssrc], w.stamps[ssrc] = map[uint16]int{}, map[uint16]uint32{}
	}
	w.sent[ssrc][seq]++
	w.stamps[ssrc][seq] = binary.BigEndian.Uint32(b[4:])
	w.bytes[ssrc] += len(b)
}

// damage returns what becomes of a datagram. mu is held.
func (w *wireTap) damage(h *held, b []byte) (out [][]byte) {
	if h.packet != nil {
		if h.left--; h.left <= 0 {
			defer func(p []byte) { out = append(out, p) }(h.packet)
			h.packet = nil
		}
	}
	if is, _ := media(b); !is {
		return [][]byte{b}
	}
	switch p := w.random.Float64(); {
	case p < w.harm.loss:
	case p < w.harm.loss+w.harm.twice:
		out = [][]byte{b, append([]byte(nil), b...)}
	case p < w.harm.loss+w.harm.twice+w.harm.late && h.packet == nil:
		h.packet, h.left = append([]byte(nil), b...), 1+w.random.IntN(3)
	default:
		return [][]byte{b}
	}
	w.harmed++
	return out
}

// set harms every path from now on.
func (v *virtual) set(h harm) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.clients {
		w.mu.Lock()
		w.harm = h
		w.mu.Unlock()
	}
}

// peer makes a client at an address of the virtual network.
func (v *virtual) peer(ip string) *webrtc.PeerConnection {
	v.t.Helper()
	se := webrtc.SettingEngine{}
	se.SetNet(v.hosts[ip])
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	err := errors.Join(engine.RegisterDefaultCodecs(), engine.RegisterCodec(redOfOpus(), webrtc.RTPCodecTypeAudio),
		webrtc.ConfigureNack(engine, registry), webrtc.ConfigureRTCPReports(registry))
	if err != nil {
		v.t.Fatal(err)
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(se), webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			v.t.Error(err)
		}
	})
	return pc
}

// sends makes a publisher of one track.
func (v *virtual) sends(s *SFU, ip string, format webrtc.RTPCodecCapability) (*webrtc.PeerConnection, *webrtc.TrackLocalStaticRTP, *webrtc.RTPSender, *Publisher) {
	v.t.Helper()
	pc := v.peer(ip)
	track, err := webrtc.NewTrackLocalStaticRTP(format, "track", "cam")
	if err != nil {
		v.t.Fatal(err)
	}
	transceiver, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		v.t.Fatal(err)
	}
	p, err := s.Publish(v.t.Context(), offerFromAt(v.t, pc, ip))
	if err != nil {
		v.t.Fatal(err)
	}
	setAnswer(v.t, pc, p.Answer())
	return pc, track, transceiver.Sender(), p
}

// film publishes frames until the test ends; lost packets are sent again by
// Pion's responder.
func (v *virtual) film(s *SFU, ip, mime string) *Publisher {
	v.t.Helper()
	pc, track, sender, p := v.sends(s, ip, webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000})
	ctx, stop := context.WithCancel(context.Background())
	c := &camera{pc: pc, pub: p, stop: stop, mime: mime}
	c.done.Go(func() { c.shoot(ctx, track) })
	c.done.Go(func() {
		for {
			if _, _, err := sender.ReadRTCP(); err != nil {
				return
			}
		}
	})
	v.t.Cleanup(func() { p.Close("end of test"); c.end() })
	return p
}

// coded puts what begins like a packet of the camera's codec in the place of VP8.
func (c *camera) coded(raw []byte, first, key bool) []byte {
	var head []byte
	switch c.mime {
	case webrtc.MimeTypeH264: // slices, an IDR picture
		head = []byte{0x61, 0x9a}
		if key {
			head = []byte{0x65, 0x88}
		}
	case webrtc.MimeTypeVP9: // beginning and end of a frame, P when it refers to others
		head = []byte{0x04}
		if first {
			head = []byte{0x08}
		}
		if !key {
			head[0] |= 0x40
		}
	case webrtc.MimeTypeAV1: // one OBU, N at a new sequence
		head = []byte{0x10, 0x32}
		if key && first {
			head = []byte{0x18, 0x0a}
		}
	default:
		return raw
	}
	return append(append(raw[:rtpHeaderBytes:rtpHeaderBytes], head...), raw[rtpHeaderBytes:]...)
}

func offerFromAt(t *testing.T, pc *webrtc.PeerConnection, ip string) sluice.Offer {
	return sluice.Offer{Stream: "demo", SDP: offerFrom(t, pc, nil), Remote: netip.MustParseAddr(ip)}
}

// theatre watches from the virtual network.
func (v *virtual) theatre(s *SFU, ip string) *screen {
	v.t.Helper()
	pc := v.peer(ip)
	return show(v.t, s, pc, func() sluice.Offer { return offerFromAt(v.t, pc, ip) })
}
