package e2e

import (
	"slices"
	"testing"
)

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
	publishFrom(camera, n.URL+"/publish/clock?clock=1")
	viewer := newBrowser(t)
	viewer.open(n.URL + "/watch/clock")
	viewer.until("the encoder is warm", decoded+" > 150 && "+height+" === 720")

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
}
