package e2e

import (
	_ "embed"
	"math"
	"slices"
	"strconv"
	"testing"
)

//go:embed testdata/sync.js
var syncScript string

// sampleClock reads the drawn clock in n frames; unreadable ones are left out.
const sampleClock = `(async () => {
  const player = document.querySelector('live-player');
  const out = [];
  for (let i = 0; i < 120; i++) {
    const sample = await player.readClock().catch(() => null);
    if (sample) out.push(sample.latency);
  }
  return out;
})()`

// TestBrowserLatency measures glass to glass: the publish page draws a clock,
// the watch page reads it. It reports the figures; it asserts only that they
// can be measured, since the machine may be busy.
func TestBrowserLatency(t *testing.T) {
	n := startNode(t)
	camera := newBrowser(t)
	camera.early(syncScript + "beep();") // the page makes its sound as soon as it knows the devices
	camera.open(n.URL + "/publish/clock?clock=1")
	camera.exec(goLive)
	camera.until("three layers are sent", layersOn)
	viewer := newBrowser(t)
	viewer.open(n.URL + "/watch/clock")
	viewer.until("the encoder is warm", decoded+" > 150 && "+largest)

	samples := eval[[]float64](viewer, sampleClock)
	if len(samples) < 60 {
		t.Fatalf("only %d of 120 frames could be read", len(samples))
	}
	slices.Sort(samples)
	at := func(q float64) float64 { return samples[int(q*float64(len(samples)-1))] }
	badge := eval[string](viewer, inside+".querySelector('.badge-text').textContent")
	t.Logf("glass to glass over %d frames: p50 %.0f ms, p95 %.0f ms, max %.0f ms; the badge says %q", len(samples), at(0.5), at(0.95), at(1), badge)
	if p50 := at(0.5); p50 <= 0 || p50 > 5000 {
		t.Errorf("p50 of %.0f ms is not credible", p50)
	}
	t.Run("sound and picture", func(t *testing.T) { staysTogether(t, camera.in(t), viewer.in(t)) })
}

// staysTogether switches layers. What is played is reported, since it is a matter of
// the machine too; the timestamps of pictures must not depend on the layer.
func staysTogether(t *testing.T, camera, viewer *tab) {
	const (
		limit = 45.0 // milliseconds
		heard = 3    // beeps at each layer, two in a second
	)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("published:", eval[string](camera, describe))
		}
	})
	viewer.exec(syncScript + "perceive(" + element + ")")
	viewer.until("beeps", "beeps.length > 0")
	viewer.until("pictures with a clock", "pictures.length > 0")
	before, lag := math.NaN(), eval[float64](camera, "lag()")
	for _, step := range []struct{ choice, height string }{{"f", largest}, {"q", smallest}, {"h", middle}, {"f", largest}} {
		pickLayer(viewer, step.choice)
		viewer.until("layer "+step.choice+" is decoded", step.height)
		viewer.exec("anew()")
		viewer.until("enough of it", "enough("+strconv.Itoa(heard)+")")
		got := eval[struct {
			Played, Moved float64
			Pictures      int
		}](viewer, "together()")
		if math.IsNaN(before) {
			before = got.Moved
		}
		t.Logf("layer %s: sound %+.0f ms after the picture; timestamps have moved by %+.1f ms, over %d pictures", step.choice, got.Played-lag, got.Moved-before, got.Pictures)
		if math.Abs(got.Moved-before) > limit {
			t.Errorf("%s: pictures are that far from their sound", step.choice)
		}
	}
}
