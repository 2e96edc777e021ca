package sfu

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

// patience bounds every wait of a test for the network.
const patience = 20 * time.Second

// eventually polls until done reports true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// live waits until the stream demo has so many layers, of the size that testers
// publish.
func live(t *testing.T, s *SFU, layers int) {
	t.Helper()
	eventually(t, fmt.Sprintf("live stream of %d layers", layers), func() bool {
		st, _ := s.Stream("demo")
		return st.State == sluice.StreamLive && len(st.Layers) == layers && !slices.ContainsFunc(st.Layers, func(l sluice.Layer) bool { return l.Width != 320 })
	})
}

// newPeer makes a client's peer connection on loopback.
func newPeer(t *testing.T, options ...func(*webrtc.API)) *webrtc.PeerConnection {
	t.Helper()
	se := webrtc.SettingEngine{}
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetIncludeLoopbackCandidate(true)
	se.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	pc, err := webrtc.NewAPI(append(options, webrtc.WithSettingEngine(se))...).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return pc
}

// offerFrom makes an offer with all candidates in it.
func offerFrom(t *testing.T, pc *webrtc.PeerConnection, options *webrtc.OfferOptions) string {
	t.Helper()
	offer, err := pc.CreateOffer(options)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return pc.LocalDescription().SDP
}

func setAnswer(t *testing.T, pc *webrtc.PeerConnection, answer string) {
	t.Helper()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
}

func offerWith(sdp string) sluice.Offer {
	return sluice.Offer{Stream: "demo", SDP: sdp, Remote: netip.MustParseAddr("127.0.0.1")}
}

// camera is a client that publishes VP8: a frame of two packets every 20 ms, a
// keyframe every 25 frames.
type camera struct {
	mime string // "": VP8
	pc   *webrtc.PeerConnection
	pub  *Publisher
	stop context.CancelFunc
	done sync.WaitGroup

	lose     atomic.Int64 // every packet whose number it divides gets lost; 0: none
	lost     sync.Map     // sequence number to packet
	repaired atomic.Int64
}

func publish(t *testing.T, s *SFU) *camera {
	t.Helper()
	pc := newPeer(t)
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "video", "cam")
	if err != nil {
		t.Fatal(err)
	}
	transceiver, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Publish(t.Context(), offerWith(offerFrom(t, pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	setAnswer(t, pc, p.Answer())
	ctx, stop := context.WithCancel(context.Background())
	c := &camera{pc: pc, pub: p, stop: stop}
	c.done.Go(func() { c.shoot(ctx, track) })
	c.done.Go(func() { c.resend(transceiver.Sender(), track) })
	t.Cleanup(func() {
		p.Close("end of test")
		c.end()
	})
	return c
}

func (c *camera) end() {
	c.stop()
	c.done.Wait()
}

// shoot sends until ctx ends.
func (c *camera) shoot(ctx context.Context, track *webrtc.TrackLocalStaticRTP) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	src := &source{seq: 1000, ts: 1 << 20, picture: 7}
	for frame := 0; ; frame++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i := range 2 {
			seq := src.seq
			raw := c.coded(src.packet(i == 0, i == 1, frame%25 == 0), i == 0, frame%25 == 0)
			if n := c.lose.Load(); n > 0 && int64(seq)%n == 0 {
				c.lost.Store(seq, raw)
				continue
			}
			if _, err := track.Write(raw); err != nil {
				return
			}
		}
		src.ts += 1800
		src.picture++
	}
}

// resend answers the server's NACKs with the packets that got lost.
func (c *camera) resend(sender *webrtc.RTPSender, track *webrtc.TrackLocalStaticRTP) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			nack, ok := p.(*rtcp.TransportLayerNack)
			if !ok {
				continue
			}
			for _, pair := range nack.Nacks {
				pair.Range(func(seq uint16) bool {
					if raw, ok := c.lost.LoadAndDelete(seq); ok {
						_, _ = track.Write(raw.([]byte))
						c.repaired.Add(1)
					}
					return true
				})
			}
		}
	}
}

// screen is a client that watches.
type screen struct {
	pc     *webrtc.PeerConnection
	viewer *Viewer
	mu     sync.Mutex
	got    []rtp.Header
}

func watch(t *testing.T, s *SFU, options ...func(*webrtc.API)) *screen {
	t.Helper()
	pc := newPeer(t, options...)
	return show(t, s, pc, func() sluice.Offer { return offerWith(offerFrom(t, pc, nil)) })
}

// show watches by a peer connection and its offer.
func show(t *testing.T, s *SFU, pc *webrtc.PeerConnection, offer func() sluice.Offer) *screen {
	t.Helper()
	c := &screen{pc: pc}
	if _, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	c.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.got = append(c.got, p.Header)
			c.mu.Unlock()
		}
	})
	v, err := s.Watch(t.Context(), offer())
	if err != nil {
		t.Fatal(err)
	}
	setAnswer(t, c.pc, v.Answer())
	c.viewer = v
	return c
}

func (c *screen) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// more waits for n more packets.
func (c *screen) more(t *testing.T, n int) {
	t.Helper()
	want := c.count() + n
	eventually(t, "more packets", func() bool { return c.count() >= want })
}

// gaps counts the numbers that are missing.
func (c *screen) gaps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unwrap ring.Unwrapper
	seen := map[uint64]bool{}
	first, last := uint64(1<<63), uint64(0)
	for _, h := range c.got {
		seq := unwrap.Unwrap(h.SequenceNumber)
		seen[seq] = true
		first, last = min(first, seq), max(last, seq)
	}
	return int(last-first) + 1 - len(seen)
}

// check that SSRC, numbers and time go on without a break, apart from up to
// lost packets in one place. Packets that were sent again come late.
func (c *screen) check(t *testing.T, lost uint64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var unwrap ring.Unwrapper
	times := map[uint64]uint32{}
	for _, h := range c.got {
		if h.SSRC != c.got[0].SSRC {
			t.Fatalf("SSRC %d after %d", h.SSRC, c.got[0].SSRC)
		}
		times[unwrap.Unwrap(h.SequenceNumber)] = h.Timestamp
	}
	seqs := slices.Sorted(maps.Keys(times))
	for i := 1; i < len(seqs); i++ {
		a, b := seqs[i-1], seqs[i]
		if b-a-1 > lost || int32(times[b]-times[a]) < 0 {
			t.Fatalf("packet %d at %d after packet %d at %d", b, times[b], a, times[a])
		}
	}
}

func TestMediaFlowsAndPublisherIsReplaced(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	cam := publish(t, s)
	live(t, s, 1)
	screens := []*screen{watch(t, s), watch(t, s)}
	for _, c := range screens {
		c.more(t, 30)
	}
	cam.pub.Close("test")
	eventually(t, "paused stream", func() bool {
		st, _ := s.Stream("demo")
		return st.State == sluice.StreamPaused && st.Viewers == 2
	})
	publish(t, s)
	for _, c := range screens {
		c.more(t, 60)
		c.check(t, 0)
	}
	viewers := s.Viewers("demo")
	if len(viewers) != 2 || !viewers[0].Connected || viewers[0].PacketsSent < 90 {
		t.Errorf("viewers %+v", viewers)
	}
}

func TestICERestartKeepsTheMedia(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	cam := publish(t, s)
	live(t, s, 1)
	c := watch(t, s)
	c.more(t, 10)
	terms := c.viewer.restarted.Load().terms.Load()
	restart(t, c.pc, c.viewer.session)
	if c.viewer.restarted.Load().terms.Load().username.String() == terms.username.String() {
		t.Error("consent is asked for with the old credentials")
	}
	c.more(t, 50)
	restart(t, cam.pc, cam.pub.session)
	c.more(t, 50)
	// Between the restart and the first check of the new candidates Pion has no
	// pair to send on.
	c.check(t, 100)
}

// restart does what a client does: new credentials by PATCH, an answer made of
// the old one and the server's new parameters.
func restart(t *testing.T, pc *webrtc.PeerConnection, ses *session) {
	t.Helper()
	before := pc.RemoteDescription().SDP
	offer := offerFrom(t, pc, &webrtc.OfferOptions{ICERestart: true})
	remote, err := iceOf(offer)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ses.Restart(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := parseOffer(before)
	if err != nil {
		t.Fatal(err)
	}
	text, err := answer.withICE(ours)
	if err != nil {
		t.Fatal(err)
	}
	old, err := iceOf(before)
	if err != nil || old.Ufrag == ours.Ufrag {
		t.Fatalf("our parameters are the same: %q, %v", ours.Ufrag, err)
	}
	setAnswer(t, pc, text)
	eventually(t, "restarted connection", func() bool {
		return pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected
	})
}

func TestGraceTimeEndsTheStream(t *testing.T) {
	s := newTestSFU(t, Config{Grace: 100 * time.Millisecond})
	cam := publish(t, s)
	live(t, s, 1)
	c := watch(t, s)
	c.more(t, 5)
	cam.pub.Close("test")
	select {
	case <-c.viewer.Done():
	case <-time.After(patience):
		t.Fatal("the viewer of a stream that has ended is still there")
	}
	eventually(t, "empty SFU", func() bool { return s.Counters().StreamsNow == 0 })
}

func TestLostPacketsAreAskedOfThePublisher(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	cam := publish(t, s)
	live(t, s, 1)
	c := watch(t, s)
	c.more(t, 10)
	cam.lose.Store(10)
	eventually(t, "repaired packets", func() bool { return cam.repaired.Load() >= 10 })
	cam.lose.Store(0)
	c.more(t, 20)
	eventually(t, "stream without a gap", func() bool { return c.gaps() == 0 })
	c.check(t, 0)
	if n := s.Counters().NACKsOut; n < 10 {
		t.Errorf("%d packets asked for", n)
	}
}
