//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

const oneWay = 20 * time.Millisecond

// publishLadder sends layers that come with a keyframe when asked.
func publishLadder(t *testing.T, n *running, clip *clips.Clip) *client.Publisher {
	t.Helper()
	p := publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
	n.live(t, "demo", len(clip.Layers))
	return p
}

// TestBadLink shows the ladder of layers to a browser at the far end of a wire that
// becomes narrow, and then loses packets. The browser came when there was only one
// layer, and in the end there is one again.
func TestBadLink(t *testing.T) {
	wire := openWire(t, netwire.Settings{Delay: oneWay})
	n := nodeOn(t, wire)
	clip := laddered(t)
	var p *client.Publisher
	publish := func(from, to int) {
		t.Helper()
		if p != nil {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		some := *clip
		some.Layers = clip.Layers[from:to]
		p = publishLadder(t, n, &some)
	}
	publish(2, 3)
	b := farBrowser(t, wire)
	b.open(n.URL + "/watch/demo")
	b.until("the picture plays", state+" === 'live' && "+decoded+" > 30 && "+height+" === 720")
	before := eval[string](b, session)
	publish(0, 3)
	grows(b, "the picture plays on", decoded)
	r := record(t, n, b, "demo")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("\n%s", r)
		}
	})
	r.until(t, pageTimeout, "the path is measured", func(m moment) bool { return m.Viewer.EstimateBy == "transport-cc" && m.Viewer.Layer == "f" })
	if eval[string](b, session) != before {
		t.Error("the viewer made a new session")
	}
	t.Run("limited", func(t *testing.T) { limitedLink(t, wire, r) })
	t.Run("lossy", func(t *testing.T) { lossyLink(t, wire, r) })
	publish(1, 2)
	r.until(t, pageTimeout, "the only layer", func(m moment) bool {
		return m.Viewer.EstimateBy == "" && m.Viewer.Layer == "" && m.Viewer.Waiting == "" && m.Sight.Height == heightOf("h")
	})
}

// limitedLink narrows a viewer's link to 1.2 Mbit/s, then 300 kbit/s, and frees it
// again. The layer follows, and the picture does not freeze.
func limitedLink(t *testing.T, wire *netwire.Wire, r *recording) {
	t.Helper()
	const (
		settled = 4 * time.Second // at each rate
		down    = 4 * time.Second // the target is 2 s on a machine that does nothing else
		up      = 20 * time.Second
		freeze  = 1500 * time.Millisecond // the target is 500 ms
	)
	r.wait(t, time.Second)
	for _, step := range []struct {
		rate  int
		layer string
		limit time.Duration
	}{
		{1_200_000, "h", down},
		{300_000, "q", down},
		{0, "f", up},
	} {
		from := r.now()
		wire.Set(netwire.Settings{Delay: oneWay, Rate: step.rate})
		took := r.until(t, step.limit, "layer "+step.layer, func(m moment) bool { return m.Viewer.Layer == step.layer && m.At > from })
		shown := r.until(t, step.limit, "its picture", func(m moment) bool { return m.Sight.Height == heightOf(step.layer) })
		if step.rate > 0 {
			r.wait(t, settled)
		} else {
			r.wait(t, time.Second)
		}
		longest, flaps := r.worst(from, r.now())
		median, most := r.apart(from, r.now())
		t.Logf("at %d bit/s: layer %s after %v, on the screen after %v, longest time without a new picture %v, %d changes of layer; sound and picture %v apart, at most %v",
			step.rate, step.layer, (took - from).Round(sampling), (shown - from).Round(sampling), longest.Round(time.Millisecond), flaps, median, most)
		if longest > freeze {
			t.Errorf("the picture froze for %v", longest)
		}
		if m, _ := r.last(); m.Viewer.Layer != step.layer {
			t.Errorf("layer %s does not stay, it is %q: %s", step.layer, m.Viewer.Layer, m.Viewer.Reason)
		}
	}
}

// lossyLink loses packets at random in both directions.
func lossyLink(t *testing.T, wire *netwire.Wire, r *recording) {
	t.Helper()
	const together = 90 * time.Millisecond // sound and picture, the median; the target is 45 ms on a machine that does nothing else
	for _, c := range []struct {
		loss      float64
		frozen    float64 // of the time, at most
		fps       float64 // at least
		concealed float64 // of the sound, at most
	}{
		{0.05, 0.05, 25, 0.01}, // the target is 0.01 frozen on a machine that does nothing else
		{0.10, 0.15, 20, 0.02},
	} {
		wire.Set(netwire.Settings{Delay: oneWay, Loss: c.loss})
		r.wait(t, time.Second)
		before, _ := r.last()
		r.wait(t, 8*time.Second)
		after, _ := r.last()
		seconds := (after.At - before.At).Seconds()
		frozen := (after.Sight.Frozen - before.Sight.Frozen) / seconds
		fps := float64(after.Sight.Decoded-before.Sight.Decoded) / seconds
		resent := float64(after.Viewer.Resent - before.Viewer.Resent)
		media := float64(after.Viewer.PacketsSent-before.Viewer.PacketsSent) - resent
		longest, flaps := r.worst(before.At, after.At)
		median, most := r.apart(before.At, after.At)
		concealed := (after.Sight.Concealed - before.Sight.Concealed) / (after.Sight.Sound - before.Sight.Sound)
		t.Logf("at %.0f %% loss: frozen %.2f %% of the time, %.1f frames/s, longest time without a new picture %v, resent %.1f %% of the packets, %d PLIs, layer %s after %d changes, %.2f %% of the sound concealed, %.0f ms in the jitter buffer, sound and picture %v apart, at most %v",
			100*c.loss, 100*frozen, fps, longest.Round(time.Millisecond), 100*resent/media,
			after.Sight.PLIs-before.Sight.PLIs, after.Viewer.Layer, flaps, 100*concealed, after.Sight.Delay, median, most)
		if frozen > c.frozen || fps < c.fps {
			t.Errorf("not watchable: frozen %.2f of the time at %.1f frames/s", frozen, fps)
		}
		if concealed > c.concealed {
			t.Errorf("%.3f of the sound is made up", concealed)
		}
		if median > together {
			t.Errorf("sound and picture are %v apart", median)
		}
		if resent > media/4 {
			t.Errorf("%.0f packets were sent again beside %.0f of media", resent, media)
		}
	}
}
