package sfu

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/red"
)

func TestOpusAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, offer string
		publishes   bool
		has, lacks  []string
	}{
		{"Chromium publishes", "chromium-156-whip-default-offer.sdp", true,
			[]string{"a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111", "a=fmtp:111 minptime=10;useinbandfec=1"}, nil},
		{"OBS publishes stereo", "obs-32.2.2-whip-offer.sdp", true,
			[]string{"a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;useinbandfec=1\r\n"}, []string{"sprop-stereo", "red/"}},
		{"GStreamer publishes", "gstreamer-1.28.8-simple-whip-client-trickle-offer.sdp", true,
			[]string{"a=fmtp:111 sprop-maxcapturerate=48000\r\n"}, []string{"sprop-stereo", "red/"}},
		{"Chromium watches", "chromium-156-whep-offer.sdp", false,
			[]string{"a=fmtp:63 111/111", "a=fmtp:111 minptime=10;useinbandfec=1;sprop-stereo=1\r\n"}, nil},
		{"Firefox watches", "firefox-153esr-whep-offer.sdp", false,
			[]string{"a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1;sprop-stereo=1\r\n"}, []string{"red/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestSFU(t, Config{Wait: true})
			answer := ""
			if tt.publishes {
				p, err := s.Publish(t.Context(), offerOf(t, tt.offer))
				if err != nil {
					t.Fatal(err)
				}
				answer = p.Answer()
			} else {
				st := s.stream("demo", true)
				defer s.unuse(st)
				st.sources.Store(&sources{audio: &layer{codec: codec.Opus, fmtp: "stereo=1;sprop-stereo=1"}})
				v, err := s.Watch(t.Context(), offerOf(t, tt.offer))
				if err != nil {
					t.Fatal(err)
				}
				answer = v.Answer()
			}
			for _, line := range tt.has {
				if !strings.Contains(answer, line) {
					t.Errorf("the answer lacks %q:\n%s", line, answer)
				}
			}
			for _, part := range tt.lacks {
				if strings.Contains(answer, part) {
					t.Errorf("the answer says %q:\n%s", part, answer)
				}
			}
		})
	}
}

func TestRepeats(t *testing.T) {
	for fmtp, want := range map[string]string{"111/111": "111", "111/111/111": "111", "111": "", "": "", "111/9": "", "/": ""} {
		if pt, ok := repeats(fmtp); ok != (want != "") && fmtp != "/" || ok && pt != want {
			t.Errorf("repeats(%q) = %q, %v", fmtp, pt, ok)
		}
	}
}

// audioPeer makes a client that knows Opus as opus and RED as repeating; 0: not
// at all.
func audioPeer(t *testing.T, opus, repeating webrtc.PayloadType) *webrtc.PeerConnection {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	register := func(pt webrtc.PayloadType, mime, fmtp string) {
		c := webrtc.RTPCodecParameters{PayloadType: pt}
		c.MimeType, c.ClockRate, c.Channels, c.SDPFmtpLine = mime, 48000, 2, fmtp
		if err := engine.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
	}
	register(opus, webrtc.MimeTypeOpus, "minptime=10;useinbandfec=1")
	if repeating != 0 {
		pt := strconv.Itoa(int(opus))
		register(repeating, "audio/red", pt+"/"+pt)
	}
	se := webrtc.SettingEngine{}
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetIncludeLoopbackCandidate(true)
	se.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se), webrtc.WithMediaEngine(engine)).NewPeerConnection(webrtc.Configuration{})
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

// heard is what a client of the sound gets.
type heard struct {
	mu  sync.Mutex
	all []*rtp.Packet
}

func attend(t *testing.T, s *SFU, opus, repeating webrtc.PayloadType) *heard {
	t.Helper()
	h, pc := &heard{}, audioPeer(t, opus, repeating)
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.all = append(h.all, p)
			h.mu.Unlock()
		}
	})
	v, err := s.Watch(t.Context(), offerWith(offerFrom(t, pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	setAnswer(t, pc, v.Answer())
	return h
}

// packets returns those of a payload type.
func (h *heard) packets(pt uint8) (got []*rtp.Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.all {
		if p.PayloadType == pt {
			got = append(got, p)
		}
	}
	return got
}

// TestREDBetweenPeers publishes RED, every tenth packet of which gets lost, and
// now and then a packet that was not negotiated.
func TestREDBetweenPeers(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	pc := audioPeer(t, 100, 101)
	out := &track{kind: webrtc.RTPCodecTypeAudio, stream: "voice"}
	if _, err := pc.AddTransceiverFromTrack(out, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	p, err := s.Publish(t.Context(), offerWith(offerFrom(t, pc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	setAnswer(t, pc, p.Answer())
	ctx, cancel := context.WithCancel(t.Context())
	var talking sync.WaitGroup
	defer talking.Wait()
	defer cancel()
	talking.Go(func() { talk(ctx, out, 100, 101) })
	eventually(t, "sound", func() bool {
		st, _ := s.Stream("demo")
		return st.Audio != nil && st.Audio.Active && st.Audio.Codec == "opus"
	})
	plain, repeated := attend(t, s, 111, 0), attend(t, s, 111, 63)
	eventually(t, "RED", func() bool { return len(repeated.packets(63)) > 40 })
	eventually(t, "Opus", func() bool { return len(plain.packets(111)) > 40 })
	for i, p := range plain.packets(111)[1:] {
		if before := plain.packets(111)[i]; p.SequenceNumber != before.SequenceNumber+1 || p.Timestamp-before.Timestamp != frameTicks {
			t.Errorf("frame %d at %d after %d at %d", p.SequenceNumber, p.Timestamp, before.SequenceNumber, before.Timestamp)
		}
	}
	for _, p := range repeated.packets(63) {
		var blocks [red.MaxBlocks]red.Block
		if n, ok := red.Parse(p.Payload, &blocks); !ok || n < 2 || blocks[0].PT != 111 || bytes.Equal(blocks[0].Data, blocks[n-1].Data) {
			t.Errorf("payload %v", p.Payload)
		}
	}
	if s.Counters().Restored == 0 {
		t.Error("nothing was restored")
	}
}

// talk sends until ctx ends.
func talk(ctx context.Context, out *track, opus, repeating uint8) {
	tick := time.NewTicker(frameLength)
	defer tick.Stop()
	for seq := uint16(900); ; seq++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if seq%10 == 0 || out.writer == nil {
			continue
		}
		blocks := []red.Block{{PT: opus, Offset: frameTicks, Data: sound(seq - 1)}, {PT: opus, Data: sound(seq)}}
		h := &rtp.Header{Version: 2, SSRC: out.ssrc, PayloadType: repeating, SequenceNumber: seq, Timestamp: uint32(seq) * frameTicks}
		payload := red.Append(nil, blocks)
		if seq%16 == 5 && (seq-1)%10 != 0 { // else nothing would repeat the one that was lost
			h.PayloadType, payload = opus, sound(seq)
		}
		if _, err := out.writer.WriteRTP(h, payload); err != nil {
			return
		}
		if seq%7 == 3 {
			h.PayloadType = 77
			if _, err := out.writer.WriteRTP(h, payload); err != nil {
				return
			}
		}
	}
}

// dtxGap is the longest silence of an Opus encoder with discontinuous
// transmission: then it describes the noise anew.
const dtxGap = 400 * time.Millisecond

func TestSilenceOfDTXIsNotADeadPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &SFU{start: time.Now()}
		l := &layer{codec: codec.Opus}
		p := &Publisher{session: &session{sfu: s, done: make(chan struct{})}, layers: []*layer{l}}
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var talking sync.WaitGroup
		talking.Go(func() {
			for ctx.Err() == nil {
				l.lastArrival.Store(s.now())
				time.Sleep(dtxGap)
			}
		})
		for range 40 {
			time.Sleep(dtxGap/2 + 13*time.Millisecond) // at any time of the silence
			if !p.alive(t.Context()) {
				t.Fatal("counts as dead")
			}
			if !l.active(s.now()) {
				t.Fatal("counts as inactive")
			}
		}
		cancel()
		talking.Wait()
		time.Sleep(probeTime)
		if p.alive(t.Context()) {
			t.Error("one that has ended counts as alive")
		}
	})
}
