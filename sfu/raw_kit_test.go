package sfu

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4/packetio"

	"github.com/sluice-live/sluice"
)

// rawPeer is a client that is made of a socket, and so may send anything.
type rawPeer struct {
	t           *testing.T
	socket      *net.UDPConn
	server      *net.UDPAddr
	remote      sluice.ICE // the server's
	fingerprint string     // what the offer says
	certificate tls.Certificate

	inbound *packetio.Buffer // DTLS records
	bound   chan struct{}    // gets an answer to a binding request, if there is room
	checks  atomic.Int64     // binding requests that came
	reply   atomic.Int64     // bytes of the newest answer to a binding request
	silent  atomic.Bool      // answers no binding requests
	media   atomic.Int64     // RTP and RTCP that came
	reading sync.WaitGroup

	conn *dtls.Conn
	out  *srtp.Context
}

const (
	rawUfrag = "rawraw"
	rawPwd   = "rawrawrawrawrawrawrawraw"
)

func newRawPeer(t *testing.T, s *SFU) *rawPeer {
	t.Helper()
	own, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(own.Certificate[0])
	print := strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
	p := &rawPeer{
		t: t, server: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.MediaPort()}, inbound: packetio.NewBuffer(), bound: make(chan struct{}, 1),
		fingerprint: "sha-256 " + print, certificate: own,
	}
	p.inbound.SetLimitSize(1 << 18)
	if p.socket, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	p.reading.Go(p.read)
	t.Cleanup(func() {
		if p.conn != nil {
			_ = p.conn.Close() // the server may have closed it
		}
		if err := errors.Join(p.socket.Close(), p.inbound.Close()); err != nil {
			t.Error(err)
		}
		p.reading.Wait()
	})
	return p
}

// offer is one of VP8 and data channels, with extra lines in the section of the
// video.
func (p *rawPeer) offer(direction string, extra ...string) sluice.Offer {
	transport := []string{"c=IN IP4 0.0.0.0", "a=ice-ufrag:" + rawUfrag, "a=ice-pwd:" + rawPwd, "a=fingerprint:" + p.fingerprint, "a=setup:actpass"}
	lines := []string{"v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE v d", "m=video 9 UDP/TLS/RTP/SAVPF 96"}
	lines = append(lines, transport...)
	lines = append(lines, "a=mid:v", "a="+direction, "a=rtcp-mux", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack")
	lines = append(lines, extra...)
	lines = append(append(lines, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"), transport...)
	return offerWith(strings.Join(append(lines, "a=mid:d", "a=sctp-port:5000", ""), "\r\n"))
}

func (p *rawPeer) answered(answer string) {
	p.t.Helper()
	var err error
	if p.remote, err = iceOf(answer); err != nil {
		p.t.Fatal(err)
	}
}

func (p *rawPeer) watch(s *SFU) *Viewer {
	p.t.Helper()
	v, err := s.Watch(p.t.Context(), p.offer("recvonly"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.answered(v.Answer())
	return v
}

func (p *rawPeer) publish(s *SFU) *Publisher {
	p.t.Helper()
	pub, err := s.Publish(p.t.Context(), p.offer("sendonly", "a=ssrc:5 cname:raw"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.answered(pub.Answer())
	return pub
}

// read sorts what comes (RFC 7983).
func (p *rawPeer) read() {
	buf := make([]byte, 2048)
	for {
		n, err := p.socket.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		switch {
		case err != nil || n == 0:
		case buf[0] < 4:
			p.check(buf[:n])
		case buf[0] >= 20 && buf[0] < 64:
			_, _ = p.inbound.Write(buf[:n]) // a full buffer loses records, as networks do
		case buf[0] >= 128:
			p.media.Add(1)
		}
	}
}

// check answers a binding request, and notes an answer.
func (p *rawPeer) check(raw []byte) {
	m := &stun.Message{Raw: raw}
	if m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.BindingSuccess:
		p.reply.Store(int64(len(raw)))
		select {
		case p.bound <- struct{}{}:
		default:
		}
	case stun.BindingRequest:
		p.checks.Add(1)
		if p.silent.Load() {
			return
		}
		reply, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: p.server.IP, Port: p.server.Port}, stun.NewShortTermIntegrity(rawPwd), stun.Fingerprint)
		if err == nil {
			_, _ = p.socket.WriteTo(reply.Raw, p.server) // closed at the end
		}
	}
}

// binding is a request that the session's ICE takes.
func (p *rawPeer) binding(ufrag, pwd string) []byte {
	p.t.Helper()
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":"+rawUfrag),
		ice.AttrControlling(7), ice.PriorityAttr(1<<24), ice.UseCandidate(), stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
	if err != nil {
		p.t.Fatal(err)
	}
	return m.Raw
}

// send sends a datagram, whatever it is.
func (p *rawPeer) send(b []byte) {
	p.t.Helper()
	if _, err := p.socket.WriteTo(b, p.server); err != nil {
		p.t.Fatal(err)
	}
}

// ice makes the server know the socket's address.
func (p *rawPeer) ice() {
	p.t.Helper()
	eventually(p.t, "answer to a binding request", func() bool {
		p.send(p.binding(p.remote.Ufrag, p.remote.Pwd))
		select {
		case <-p.bound:
			return true
		default:
			return false
		}
	})
}

// handshake does DTLS as the client, and takes the keys of SRTP.
func (p *rawPeer) handshake() error {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, err := dtls.ClientWithOptions(records{p}, p.server,
		dtls.WithCertificates(p.certificate), dtls.WithInsecureSkipVerify(true), dtls.WithFlightInterval(50*time.Millisecond),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	p.conn = conn
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("DTLS: no state")
	}
	keys := srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}
	if err := keys.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return fmt.Errorf("SRTP: %w", err)
	}
	p.out, err = srtp.CreateContext(keys.Keys.LocalMasterKey, keys.Keys.LocalMasterSalt, keys.Profile)
	return err
}

// connect does ICE and DTLS.
func (p *rawPeer) connect() {
	p.t.Helper()
	p.ice()
	if err := p.handshake(); err != nil {
		p.t.Fatal(err)
	}
}

// sealed is an RTP packet as the server expects it.
func (p *rawPeer) sealed(h rtp.Header, payload []byte) []byte {
	p.t.Helper()
	b, err := p.out.EncryptRTP(nil, mustMarshal(p.t, &rtp.Packet{Header: h, Payload: payload}), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func mustMarshal(t *testing.T, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// records is the way of a raw peer's DTLS.
type records struct{ *rawPeer }

func (r records) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := r.inbound.Read(b)
	return n, r.server, err
}
func (r records) WriteTo(b []byte, _ net.Addr) (int, error) { return r.socket.WriteTo(b, r.server) }
func (r records) Close() error                              { return nil }
func (r records) LocalAddr() net.Addr                       { return r.socket.LocalAddr() }
func (r records) SetDeadline(t time.Time) error             { return r.inbound.SetReadDeadline(t) }
func (r records) SetReadDeadline(t time.Time) error         { return r.inbound.SetReadDeadline(t) }
func (r records) SetWriteDeadline(time.Time) error          { return nil }
