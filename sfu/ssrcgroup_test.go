package sfu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// simulcaster is a client that publishes three VP8 layers by SSRC alone.
type simulcaster struct {
	*camera
	offer, answer string
	ssrcs         []string
}

// publishGroup offers simulcast by an SSRC group, smallest layer first.
func publishGroup(t *testing.T, s *SFU) *simulcaster {
	t.Helper()
	return publishGroupFrom(t, s, newPeer(t))
}

// publishGroupFrom does so from a peer connection, with groups that name the SSRCs
// of retransmissions when it has such.
func publishGroupFrom(t *testing.T, s *SFU, pc *webrtc.PeerConnection) *simulcaster {
	t.Helper()
	var tracks []*webrtc.TrackLocalStaticRTP
	var sender *webrtc.RTPSender
	for i := range 3 {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
			"video", "cam", webrtc.WithRTPStreamID(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		tracks = append(tracks, track)
		if sender == nil {
			transceiver, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if err != nil {
				t.Fatal(err)
			}
			sender = transceiver.Sender()
		} else if err := sender.AddEncoding(track); err != nil {
			t.Fatal(err)
		}
	}
	out := &simulcaster{offer: offerFrom(t, pc, nil)}
	var lines, group []string
	for _, line := range strings.Split(strings.TrimSpace(out.offer), "\r\n") {
		if !strings.HasPrefix(line, "a=rid:") && !strings.HasPrefix(line, "a=simulcast:") && !strings.HasPrefix(line, "a=ssrc") {
			lines = append(lines, line)
		}
	}
	for _, e := range sender.GetParameters().Encodings {
		ssrc := fmt.Sprint(uint32(e.SSRC))
		group = append(group, "a=ssrc:"+ssrc+" cname:cam", "a=ssrc:"+ssrc+" msid:cam video")
		out.ssrcs = append(out.ssrcs, ssrc)
		if e.RTX.SSRC != 0 {
			rtx := fmt.Sprint(uint32(e.RTX.SSRC))
			group = append(group, "a=ssrc:"+rtx+" cname:cam", "a=ssrc:"+rtx+" msid:cam video", "a=ssrc-group:FID "+ssrc+" "+rtx)
		}
	}
	group = append(group, "a=ssrc-group:SIM "+strings.Join(out.ssrcs, " "))
	out.offer = strings.Join(append(lines, group...), "\r\n") + "\r\n"
	p, err := s.Publish(t.Context(), offerWith(out.offer))
	if err != nil {
		t.Fatal(err)
	}
	out.answer = p.Answer()
	setAnswer(t, pc, out.answer)
	ctx, stop := context.WithCancel(context.Background())
	out.camera = &camera{pc: pc, pub: p, stop: stop}
	for _, track := range tracks {
		out.done.Go(func() { out.shoot(ctx, track) })
		out.done.Go(func() { // for the interceptors
			for {
				if _, _, err := sender.ReadSimulcastRTCP(track.RID()); err != nil {
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		p.Close("end of test")
		out.end()
	})
	return out
}

func TestSimulcastBySSRCGroup(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	cam := publishGroup(t, s)
	if n := strings.Count(cam.answer, "m=video"); n != 1 || strings.Contains(cam.answer, "-layer") {
		t.Errorf("the answer has %d video sections:\n%s", n, cam.answer)
	}
	live(t, s, 3)
	st, _ := s.Stream("demo")
	var rids []string
	for _, l := range st.Layers {
		rids = append(rids, l.RID)
	}
	if slices.Sort(rids); !slices.Equal(rids, []string{"0", "1", "2"}) {
		t.Errorf("layers %v", rids)
	}
	c := watch(t, s)
	c.more(t, 20)
	for _, rid := range rids {
		if err := c.viewer.SelectLayer(sluice.LayerChoice{RID: rid}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "layer "+rid, func() bool {
			v := s.Viewers("demo")
			return len(v) == 1 && v[0].Layer == rid
		})
		c.more(t, 20)
	}
	c.check(t, 0)
	restart(t, cam.pc, cam.pub.session)
	c.more(t, 50)
}

// loser is an interceptor that loses packets of media on their way out, but no
// retransmissions on SSRCs of their own.
type loser struct {
	interceptor.NoOp
	ssrcs         sync.Map // of media
	lost, repairs atomic.Int64
}

func (l *loser) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *loser) BindLocalStream(info *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	l.ssrcs.Store(info.SSRC, true)
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if _, media := l.ssrcs.Load(h.SSRC); !media {
			l.repairs.Add(1)
		} else if h.SequenceNumber%12 == 0 {
			l.lost.Add(1)
			return len(payload), nil
		}
		return next.Write(h, payload, a)
	})
}

// TestRetransmissionsOfSSRCGroups: a client with SIM and FID groups loses packets
// of every layer and sends them again on the SSRCs that the FID groups name.
func TestRetransmissionsOfSSRCGroups(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	engine, registry, path := &webrtc.MediaEngine{}, &interceptor.Registry{}, &loser{}
	registry.Add(path) // next to the network
	if err := errors.Join(engine.RegisterDefaultCodecs(), webrtc.ConfigureNack(engine, registry)); err != nil {
		t.Fatal(err)
	}
	publishGroupFrom(t, s, newPeer(t, webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry)))
	live(t, s, 3)
	c := watch(t, s)
	for _, rid := range []string{"0", "2", "1"} {
		if err := c.viewer.SelectLayer(sluice.LayerChoice{RID: rid}); err != nil {
			t.Fatal(err)
		}
		c.more(t, 100)
	}
	eventually(t, "stream without a gap", func() bool { return c.gaps() == 0 })
	c.check(t, 0)
	if lost, repairs := path.lost.Load(), path.repairs.Load(); lost < 20 || repairs < 20 {
		t.Errorf("%d packets lost, %d sent again", lost, repairs)
	}
	if n := s.Counters().ResentIn; n < 20 {
		t.Errorf("%d packets count as sent again", n)
	}
}

// TestViewersAreMeasuredWhenLayersCome: a viewer that joined while there was
// nothing to choose follows its path once there is, without joining again.
func TestViewersAreMeasuredWhenLayersCome(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{Takeover: true})
	publish(t, s)
	live(t, s, 1)
	c := watch(t, s)
	c.more(t, 60)
	if v := s.Viewers("demo"); v[0].EstimateBy != "" {
		t.Errorf("measured with nothing to choose: %+v", v[0])
	}
	publishGroup(t, s)
	eventually(t, "estimate of the path", func() bool {
		v := s.Viewers("demo")
		return len(v) == 1 && v[0].EstimateBy == "transport-cc" && v[0].Estimate > 0
	})
	c.more(t, 20)
	c.check(t, 0)
	publish(t, s)
	eventually(t, "end of the measurement", func() bool { return s.Viewers("demo")[0].EstimateBy == "" })
	c.more(t, 60)
	c.check(t, 0)
}

func TestExpand(t *testing.T) {
	const session = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 v\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\na=msid:s t\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n"
	ssrcs := "a=ssrc:1 cname:c\r\na=ssrc:2 cname:c\r\na=ssrc:3 cname:c\r\na=ssrc:11 cname:c\r\na=ssrc:12 cname:c\r\n"
	for _, tt := range []struct {
		name, lines string
		layers      int
	}{
		{"three layers", ssrcs + "a=ssrc-group:SIM 1 2 3\r\na=ssrc-group:FID 1 11\r\na=ssrc-group:FID 2 12\r\n", 3},
		{"two layers", ssrcs + "a=ssrc-group:SIM 3 2\r\n", 2},
		{"one layer", "a=ssrc:1 cname:c\r\na=ssrc-group:SIM 1\r\n", 0},
		{"no group", ssrcs + "a=ssrc-group:FID 1 11\r\n", 0},
		{"by RID as well", ssrcs + "a=ssrc-group:SIM 1 2 3\r\na=rid:q send\r\na=rid:h send\r\na=simulcast:send q;h\r\n", 0},
		{"twice the same", "a=ssrc-group:SIM 1 1\r\n", 0},
		{"not numbers", "a=ssrc-group:SIM a b\r\n", 0},
		{"too many", "a=ssrc-group:SIM 1 2 3 4 5 6\r\n", 0},
		{"empty", "a=ssrc-group:\r\na=ssrc-group:SIM\r\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseOffer(session + tt.lines)
			if err != nil {
				t.Fatal(err)
			}
			o.expand()
			sections := len(o.desc.MediaDescriptions)
			if len(o.groups) != tt.layers || sections != 1+max(tt.layers, 1) || len(o.clones) != max(tt.layers-1, 0) {
				t.Fatalf("layers %v, %d sections, copies %v", o.groups, sections, o.clones)
			}
			text, err := o.text()
			if err != nil {
				t.Fatal(err)
			}
			if tt.layers > 0 && (strings.Contains(text, "SIM") || strings.Count(text, "a=candidate") != 1 || !strings.Contains(text, "BUNDLE 0 v "+strings.Join(o.clones, " "))) {
				t.Errorf("%s", text)
			}
			back, err := o.collapse(text)
			if err != nil || strings.Count(back, "m=video") != 1 || tt.layers > 0 && !strings.Contains(back, "BUNDLE 0 v\r\n") {
				t.Errorf("%v\n%s", err, back)
			}
		})
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("a=mid:1\r\na=ssrc-group:SIM 1 2 3\r\na=ssrc-group:FID 1 4\r\na=ssrc:1 msid:a b\r\na=ssrc:4 msid:a b\r\n")
	f.Add("a=ssrc-group:SIM 1 2\r\na=msid:x y\r\n")
	f.Fuzz(func(t *testing.T, lines string) {
		o, err := parseOffer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + lines)
		if err != nil {
			return
		}
		before := len(o.desc.MediaDescriptions)
		o.expand()
		if grown := len(o.desc.MediaDescriptions) - before; grown != len(o.clones) || grown >= maxLayers {
			t.Fatalf("%d sections more, copies %v", grown, o.clones)
		}
	})
}
