//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

const (
	oneWay = 20 * time.Millisecond
	// Targets on a machine that does nothing else.
	freeze   = 500 * time.Millisecond
	together = 45 * time.Millisecond // sound and picture, the median
	// What no machine may miss, in the samples that no stall has touched.
	watchable = 12                     // frames/s of 30
	audible   = 0.1                    // of the sound, made up
	separate  = 250 * time.Millisecond // sound and picture, the median
)

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
		if t.Failed() || os.Getenv("LINKS") == "all" {
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
// again. The layer follows, and the picture goes on.
func limitedLink(t *testing.T, wire *netwire.Wire, r *recording) {
	t.Helper()
	r.wait(t, time.Second)
	for _, step := range []struct {
		rate   int
		layer  string
		target time.Duration // until the layer
		settle time.Duration // at this rate
	}{
		{1_200_000, "h", 2 * time.Second, 4 * time.Second},
		{300_000, "q", 2 * time.Second, 4 * time.Second},
		{0, "f", 10 * time.Second, 2 * time.Second},
	} {
		from := r.now()
		wire.Set(netwire.Settings{Delay: oneWay, Rate: step.rate})
		took := r.until(t, unhurried, "layer "+step.layer, func(m moment) bool { return m.Viewer.Layer == step.layer && m.At > from })
		shown := r.until(t, unhurried, "its picture", func(m moment) bool { return m.Sight.Height == heightOf(step.layer) })
		quiet := r.settle(t, from, step.settle)
		longest, flaps := worst(quiet)
		median, most95, most := apart(quiet)
		t.Logf("at %d bit/s: layer %s after %v, on the screen after %v, longest time without a new picture %v, %d changes of layer; sound and picture %v apart, 95 %% of the time at most %v, at most %v (%d samples)",
			step.rate, step.layer, (took - from).Round(sampling), (shown - from).Round(sampling), longest.Round(time.Millisecond), flaps, median, most95, most, len(quiet))
		aim(t, took-from <= step.target, "layer %s after %v", step.layer, took-from)
		aim(t, longest <= freeze, "the picture froze for %v", longest)
		aim(t, median <= together, "sound and picture are %v apart", median)
		if m, _ := r.last(); m.Viewer.Layer != step.layer {
			aim(t, false, "layer %s does not stay, it is %q: %s", step.layer, m.Viewer.Layer, m.Viewer.Reason)
			r.until(t, unhurried, "layer "+step.layer+" again", func(m moment) bool { return m.Viewer.Layer == step.layer })
		}
		r.goesOn(t)
	}
}

// lossyLink loses packets at random in both directions. On any machine the picture
// is watchable, little sound is made up, and what is sent again stays in its bounds.
func lossyLink(t *testing.T, wire *netwire.Wire, r *recording) {
	t.Helper()
	for _, c := range []struct {
		loss      float64
		frozen    float64 // of the time, a target
		fps       float64 // a target
		concealed float64 // of the sound, a target
	}{
		{0.05, 0.01, 25, 0.01},
		{0.10, 0.15, 20, 0.02},
	} {
		wire.Set(netwire.Settings{Delay: oneWay, Loss: c.loss})
		r.wait(t, time.Second)
		before, _ := r.last()
		quiet := r.settle(t, before.At, 8*time.Second)
		after, _ := r.last()
		resent := float64(after.Viewer.Resent - before.Viewer.Resent)
		media := float64(after.Viewer.PacketsSent-before.Viewer.PacketsSent) - resent
		longest, flaps := worst(quiet)
		median, most95, most := apart(quiet)
		sum := add(quiet)
		frozen, fps, concealed := sum.frozen/sum.seconds, sum.decoded/sum.seconds, sum.concealed/sum.sound
		t.Logf("at %.0f %% loss: frozen %.2f %% of the time, %.1f frames/s, longest time without a new picture %v, resent %.1f %% of the packets, %d PLIs, layer %s after %d changes, %.2f %% of the sound concealed, %.0f ms in the jitter buffer, sound and picture %v apart, 95 %% of the time at most %v, at most %v (%d samples)",
			100*c.loss, 100*frozen, fps, longest.Round(time.Millisecond), 100*resent/media,
			after.Sight.PLIs-before.Sight.PLIs, after.Viewer.Layer, flaps, 100*concealed, after.Sight.Delay, median, most95, most, len(quiet))
		aim(t, frozen <= c.frozen && fps >= c.fps, "frozen %.2f of the time at %.1f frames/s", frozen, fps)
		aim(t, concealed <= c.concealed, "%.3f of the sound is made up", concealed)
		aim(t, median <= together, "sound and picture are %v apart", median)
		if len(quiet) >= enough {
			if fps < watchable {
				t.Errorf("not watchable: %.1f frames/s", fps)
			}
			if concealed > audible {
				t.Errorf("%.3f of the sound is made up", concealed)
			}
		}
		if r.calm(before.At, after.At) && median > separate {
			t.Errorf("sound and picture are %v apart", median)
		}
		if resent > media/4 {
			t.Errorf("%.0f packets were sent again beside %.0f of media", resent, media)
		}
		r.goesOn(t)
	}
}
