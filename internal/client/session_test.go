package client

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/internal/client/clips"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually polls until ok or ten seconds have passed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

func synthetic(t *testing.T, codec clips.Codec, simulcast bool) *clips.Clip {
	t.Helper()
	clip, err := clips.Synthetic(codec, simulcast)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

func mime(codec clips.Codec) string { return "video/" + string(codec) }

func httpClient(t *testing.T) *http.Client {
	c := defaultHTTP()
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func publish(t *testing.T, cfg PublisherConfig) *Publisher {
	t.Helper()
	cfg.HTTP = httpClient(t)
	p, err := Publish(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func watch(t *testing.T, cfg ViewerConfig) *Viewer {
	t.Helper()
	cfg.HTTP = httpClient(t)
	v, err := Watch(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	eventually(t, "the viewer's connection", func() bool { return v.Stats().State == "connected" })
	return v
}

func TestPublishAndWatch(t *testing.T) {
	t.Parallel()
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			r := newRelay(t, mime(codec))
			v := watch(t, ViewerConfig{URL: r.whep(), Token: "secret"})
			p := publish(t, PublisherConfig{URL: r.whip(), Clip: synthetic(t, codec, false)})
			eventually(t, "20 frames and sound", func() bool {
				s := v.Stats()
				return s.Video.Frames >= 20 && s.Audio.Packets >= 20
			})
			s := v.Stats()
			if s.Video.Lost+s.Video.Incomplete+s.Video.Breaks.Total()+s.Audio.Lost+s.Audio.Breaks.Total() != 0 {
				t.Errorf("not clean: %+v", s)
			}
			if s.Video.Width != 1280 || s.Video.Height != 720 || s.Video.Keyframes != 1 {
				t.Errorf("got %dx%d with %d keyframes", s.Video.Width, s.Video.Height, s.Video.Keyframes)
			}
			if s.Video.FirstPacket == 0 || s.Video.FirstFrame < s.Video.FirstKeyframe || s.Video.FirstKeyframe < s.Video.FirstPacket {
				t.Errorf("first packet %v, keyframe %v, frame %v", s.Video.FirstPacket, s.Video.FirstKeyframe, s.Video.FirstFrame)
			}
			if ps := p.Stats(); ps.State != "connected" || ps.Packets == 0 || ps.Layers[0].Keyframes != 1 {
				t.Errorf("publisher: %+v", ps)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.deleted) != 2 {
				t.Errorf("deleted %v", r.deleted)
			}
		})
	}
}

func TestSimulcastHeaders(t *testing.T) {
	t.Parallel()
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			r := newRelay(t, mime(codec))
			publish(t, PublisherConfig{URL: r.whip(), Clip: synthetic(t, codec, true)})
			eventually(t, "all layers", func() bool {
				return len(r.packets("q")) > 30 && len(r.packets("h")) > 30 && len(r.packets("f")) > 30
			})
			if offer := r.offers[0]; strings.Contains(offer, "a=ssrc") && strings.Contains(strings.SplitN(offer, "m=video", 2)[1], "a=ssrc") {
				t.Error("the video section of a simulcast offer names SSRCs")
			}
			// The layers are sent at one instant: their sender reports agree
			// about the media time of each RTP timestamp.
			eventually(t, "reports of all", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.reports) >= 4
			})
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, sr := range r.reports[1:4] {
				if apart := math.Abs(float64(int64(sr.NTPTime-r.reports[0].NTPTime))) / (1 << 32); apart > 0 {
					t.Errorf("reports of one instant are %v s apart", apart)
				}
			}
		})
	}
}

func TestResendOnRTX(t *testing.T) {
	t.Parallel()
	r := newRelay(t, mime(clips.VP8))
	p := publish(t, PublisherConfig{URL: r.whip(), Clip: synthetic(t, clips.VP8, true)})
	eventually(t, "layers", func() bool { return len(r.packets("f")) > 60 })
	lost := r.packets("f")[50]
	r.mu.Lock()
	pc := r.publisher
	r.mu.Unlock()
	again := func() (n int) {
		for _, seen := range r.packets("f") {
			if seen.SequenceNumber == lost.SequenceNumber && string(seen.Payload) == string(lost.Payload) {
				n++
			}
		}
		return n
	}
	nack := &rtcp.TransportLayerNack{MediaSSRC: lost.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{lost.SequenceNumber})}
	if err := pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the packet again, from the RTX stream", func() bool { return again() == 2 })
	if s := p.Stats(); s.Layers[2].Resent != 1 || s.Layers[2].NACKs != 1 || s.Layers[0].NACKs != 0 {
		t.Errorf("stats: %+v", s.Layers)
	}
}

func TestKeyframesOnRequest(t *testing.T) {
	for name, answers := range map[string]bool{"answered": true, "ignored": false} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, mime(clips.VP8))
			v := watch(t, ViewerConfig{URL: r.whep()})
			p := publish(t, PublisherConfig{URL: r.whip(), Clip: synthetic(t, clips.VP8, false), KeyframesOnRequest: answers})
			eventually(t, "a start", func() bool { return v.Stats().Video.Frames > 5 })
			first := r.packets("")[0]
			r.mu.Lock()
			pc := r.publisher
			r.mu.Unlock()
			if err := pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: first.SSRC}}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the PLI", func() bool { return p.Stats().PLIs == 1 })
			frames := v.Stats().Video.Frames
			eventually(t, "more frames", func() bool { return v.Stats().Video.Frames > frames+5 })
			if s := v.Stats().Video; (s.Keyframes > 1) != answers || s.Breaks.Total() != 0 {
				t.Errorf("after a PLI: %+v", s)
			}
		})
	}
}

// TestViewerRepairs loses packets on the way to the viewer, which asks for them
// and puts them back.
func TestViewerRepairs(t *testing.T) {
	t.Parallel()
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			r := newRelay(t, mime(codec), &lossy{})
			v := watch(t, ViewerConfig{URL: r.whep(), NACK: true})
			publish(t, PublisherConfig{URL: r.whip(), Clip: synthetic(t, codec, false)})
			eventually(t, "repairs", func() bool {
				s := v.Stats().Video
				return s.Repaired >= 3 && s.Frames > 30 && s.Lost <= 1
			})
			s := v.Stats().Video
			if s.Incomplete > 0 || s.Breaks.Total() > 0 || s.NACKs > 4*s.Repaired+4 {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestEventsAndLayers(t *testing.T) {
	r := newRelay(t, mime(clips.VP8))
	v := watch(t, ViewerConfig{URL: r.whep()})
	events, err := v.Events(t.Context(), "active", "layers")
	if err != nil {
		t.Fatal(err)
	}
	r.events <- "event: layers\ndata: {\"0\":\ndata: {}}\n\n: comment\n\nevent: active\ndata:\n\n"
	if e := <-events; e.Type != "layers" || e.Data != "{\"0\":\n{}}" {
		t.Errorf("got %+v", e)
	}
	if e := <-events; e.Type != "active" {
		t.Errorf("got %+v", e)
	}
	if err := v.SelectLayer(t.Context(), Layer{RID: "h"}); err != nil {
		t.Error(err)
	}
	var status *StatusError
	if err := v.SelectLayer(t.Context(), Layer{RID: "unknown"}); !errors.As(err, &status) || status.Status != 422 {
		t.Errorf("unknown layer: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-events; open {
		t.Error("events go on after Close")
	}
}

func TestPublishRefused(t *testing.T) {
	r := newRelay(t, mime(clips.VP8))
	r.refuse = http.StatusConflict
	_, err := Publish(t.Context(), PublisherConfig{URL: r.whip(), Clip: synthetic(t, clips.VP8, false), HTTP: httpClient(t)})
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 409 || status.Detail != "somebody publishes" || !status.Temporary() {
		t.Fatalf("got %v", err)
	}
	if _, err := Publish(t.Context(), PublisherConfig{URL: "nonsense", Clip: synthetic(t, clips.VP8, false)}); err == nil {
		t.Error("a URL without scheme is accepted")
	}
}

func TestServerCloses(t *testing.T) {
	r := newRelay(t, mime(clips.VP8))
	p := publish(t, PublisherConfig{URL: r.whip(), Clip: synthetic(t, clips.VP8, false)})
	eventually(t, "media", func() bool { return len(r.packets("audio")) > 0 })
	r.mu.Lock()
	pc := r.publisher
	r.mu.Unlock()
	if err := pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the publisher does not notice")
	}
	if p.Err() == nil {
		t.Error("no reason given")
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	r := newRelay(t, mime(clips.VP8))
	r.refuse = http.StatusConflict
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := 0
	err := Keep(ctx, nil, func(ctx context.Context) (Session, error) {
		return Publish(ctx, PublisherConfig{URL: r.whip(), Clip: synthetic(t, clips.VP8, false), HTTP: httpClient(t)})
	}, func(s Session) {
		started++
		<-s.Connected()
		if started == 2 {
			cancel()
			return
		}
		eventually(t, "media", func() bool { return len(r.packets("audio")) > 0 })
		r.mu.Lock()
		pc := r.publisher
		r.mu.Unlock()
		_ = pc.GracefulClose()
		<-s.Done()
	})
	if err != nil || started != 2 {
		t.Errorf("started %d times, %v", started, err)
	}
}
