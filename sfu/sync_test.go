package sfu

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// stamped is one track of a publisher whose payloads end with the time of their
// capture.
type stamped struct {
	rid   string
	every time.Duration // between frames
	lag   time.Duration // from capture to sending
	clock float64       // ticks per second, as its own clock runs
	base  uint32        // first RTP timestamp
	seq   uint16
	ssrc  uint32
	track *webrtc.TrackLocalStaticRTP
	next  time.Duration
	count int
}

// at is the RTP time of a moment since the start.
func (s *stamped) at(t time.Duration) uint32 {
	return s.base + uint32(int64(t.Seconds()*s.clock))
}

// packet makes the packet of the next frame.
func (s *stamped) packet() *rtp.Packet {
	payload := []byte{0x90, 0x80, 0x80 | byte(s.count>>8&0x7f), byte(s.count), 1, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0}
	if s.count%8 == 0 {
		payload[4] = 0 // keyframe
	}
	payload = binary.BigEndian.AppendUint64(payload, uint64(s.next))
	p := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: s.seq, Timestamp: s.at(s.next)}, Payload: payload}
	s.seq++
	s.count++
	s.next += s.every
	return p
}

// studio publishes layers and sound with clocks of their own.
type studio struct {
	pc     *webrtc.PeerConnection
	tracks []*stamped // the sound last
	ahead  time.Duration
	mid    string
}

// simulcastPeer makes a client that can publish layers.
func simulcastPeer(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(engine); err != nil {
		t.Fatal(err)
	}
	se := webrtc.SettingEngine{}
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetIncludeLoopbackCandidate(true)
	se.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	// Pion would send reports of its own.
	none := webrtc.WithInterceptorRegistry(&interceptor.Registry{})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se), webrtc.WithMediaEngine(engine), none).NewPeerConnection(webrtc.Configuration{})
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

// broadcast starts to publish.
func (st *studio) broadcast(t *testing.T, s *SFU) {
	t.Helper()
	st.pc = simulcastPeer(t)
	var video *webrtc.RTPSender
	for _, s := range st.tracks {
		capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
		if s.rid == "" {
			capability = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
		}
		var err error
		if s.track, err = webrtc.NewTrackLocalStaticRTP(capability, "t"+capability.MimeType[:5], "studio", webrtc.WithRTPStreamID(s.rid)); err != nil {
			t.Fatal(err)
		}
		if s.rid != "" && video != nil {
			err = video.AddEncoding(s.track)
		} else {
			var transceiver *webrtc.RTPTransceiver
			transceiver, err = st.pc.AddTransceiverFromTrack(s.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if s.rid != "" {
				video = transceiver.Sender()
			} else {
				defer func() { s.ssrc = uint32(transceiver.Sender().GetParameters().Encodings[0].SSRC) }()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.Publish(t.Context(), offerWith(offerFrom(t, st.pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	setAnswer(t, st.pc, p.Answer())
	parameters := video.GetParameters()
	for i, e := range parameters.Encodings {
		st.tracks[i].ssrc = uint32(e.SSRC)
	}
	for _, transceiver := range st.pc.GetTransceivers() {
		if transceiver.Sender() == video {
			st.mid = transceiver.Mid()
		}
	}
	midID, ridID := extensionID(parameters.HeaderExtensions, sdp.SDESMidURI), extensionID(parameters.HeaderExtensions, sdp.SDESRTPStreamIDURI)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { st.run(ctx, midID, ridID) })
	t.Cleanup(func() { stop(); p.Close("end of test"); running.Wait() })
}

// run sends until ctx ends: frames when they are due, reports twice a second.
func (st *studio) run(ctx context.Context, midID, ridID uint8) {
	begun := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var reported time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Since(begun)
		for _, s := range st.tracks {
			for s.next+s.lag <= now {
				p := s.packet()
				if s.rid != "" {
					_ = p.SetExtension(midID, []byte(st.mid))
					_ = p.SetExtension(ridID, []byte(s.rid))
				}
				if s.track.WriteRTP(p) != nil {
					return
				}
			}
		}
		if now-reported < 500*time.Millisecond {
			continue
		}
		reported = now
		for _, s := range st.tracks {
			_ = st.pc.WriteRTCP([]rtcp.Packet{&rtcp.SenderReport{SSRC: s.ssrc, NTPTime: ntpTime(begun.Add(now + st.ahead)), RTPTime: s.at(now)}})
		}
	}
}

// witness is a viewer that compares the sound with the picture.
type witness struct {
	mu     sync.Mutex
	skew   [kinds]float64 // of the newest packet: its wall time as reported, less its capture; seconds
	known  [kinds]bool
	report [kinds]struct {
		ntp int64
		rtp uint32
		any bool
	}
	held  *rtp.Packet // of the picture
	worst float64
	seen  int
}

// cachedTicks is less than the time between two frames, and more than that
// between two cached ones.
const cachedTicks = 1000

func (w *witness) packet(kind int, hertz float64, p *rtp.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.report[kind]
	if !r.any || len(p.Payload) < 8 {
		return
	}
	if kind == Video {
		// What was cached is shown in no time, up to the live edge: such frames
		// are next to each other.
		held := w.held
		if w.held = p; held == nil || int32(p.Timestamp-held.Timestamp) < cachedTicks {
			return
		}
		p = held
	}
	captured := float64(binary.BigEndian.Uint64(p.Payload[len(p.Payload)-8:])) / 1e9
	wall := float64(r.ntp%(1<<50))/1e9 + float64(int32(p.Timestamp-r.rtp))/hertz
	w.skew[kind], w.known[kind] = wall-captured, true
	if w.known[Video] && w.known[Audio] {
		w.worst = math.Max(w.worst, math.Abs(w.skew[Video]-w.skew[Audio]))
		w.seen++
	}
}

func (w *witness) take(kind int, p rtcp.Packet) {
	if sr, ok := p.(*rtcp.SenderReport); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		r := &w.report[kind]
		r.ntp, r.rtp, r.any = ntpNanos(sr.NTPTime), sr.RTPTime, true
	}
}

// attend watches picture and sound.
func (w *witness) attend(t *testing.T, s *SFU) *Viewer {
	t.Helper()
	pc := newPeer(t)
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		kind := Video
		if track.Kind() == webrtc.RTPCodecTypeAudio {
			kind = Audio
		}
		go func() {
			for {
				packets, _, err := receiver.ReadRTCP()
				if err != nil {
					return
				}
				for _, p := range packets {
					w.take(kind, p)
				}
			}
		}()
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			w.packet(kind, float64(track.Codec().ClockRate), p)
		}
	})
	v, err := s.Watch(t.Context(), offerWith(offerFrom(t, pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	setAnswer(t, pc, v.Answer())
	return v
}

// TestSoundAndPictureStayTogether changes layers whose timestamps start anywhere
// and whose clocks run apart.
func TestSoundAndPictureStayTogether(t *testing.T) {
	const (
		switches = 6
		limit    = 0.045 // seconds
	)
	for _, tt := range []struct {
		name  string
		drift [4]float64 // parts of one: q, h, f, sound
		lag   time.Duration
		ahead time.Duration // of the publisher's clock
	}{
		{"random offsets", [4]float64{}, 0, 0},
		{"clocks that drift", [4]float64{300e-6, -300e-6, 200e-6, -200e-6}, 0, 0},
		{"a late best layer, and a clock an hour ahead", [4]float64{100e-6, 0, -100e-6, 50e-6}, 30 * time.Millisecond, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTestSFU(t, Config{})
			rids := []string{"q", "h", "f"}
			st := &studio{ahead: tt.ahead}
			for i, rid := range append(rids, "") {
				track := &stamped{rid: rid, every: time.Second / 30, clock: 90000 * (1 + tt.drift[i]), base: rand.Uint32(), seq: uint16(rand.Uint32())}
				switch rid {
				case "":
					track.every, track.clock = frameLength, 48000*(1+tt.drift[i])
				case "f":
					track.lag = tt.lag
				}
				st.tracks = append(st.tracks, track)
			}
			st.broadcast(t, s)
			eventually(t, "live stream with layers", func() bool {
				live, _ := s.Stream("demo")
				return live.State == sluice.StreamLive && len(live.Layers) == 3 && live.Audio != nil
			})
			demo := s.stream("demo", false)
			eventually(t, "reports of all", func() bool { // without them, layers go on as they arrive
				all := demo.sources.Load()
				return all.audio.clock.exact() && !slices.ContainsFunc(all.video, func(l *layer) bool { return !l.clock.exact() })
			})
			s.unuse(demo)
			w := &witness{}
			v := w.attend(t, s)
			look := func() (int, float64) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.seen, w.worst
			}
			changes := func() uint64 { return s.Counters().SwitchesChosen }
			for i := range switches {
				before := changes()
				if err := v.SelectLayer(sluice.LayerChoice{RID: rids[i%3]}); err != nil {
					t.Fatal(err)
				}
				if i > 0 {
					eventually(t, "switch", func() bool { return changes() > before })
				}
				seen, _ := look()
				eventually(t, "picture and sound", func() bool { now, _ := look(); return now > seen+24 })
			}
			_, worst := look()
			t.Logf("sound and picture at most %.1f ms apart over %d changes of layer", 1000*worst, changes())
			if worst > limit {
				t.Error("that is too much")
			}
		})
	}
}
