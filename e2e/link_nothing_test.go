//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/e2e/netwire"
)

// TestLinkThatCarriesNothing is a viewer without sound whose link is too narrow for
// any layer: there is no video for a while rather than a broken one, nothing at all is
// sent but what finds out that the link is free again, and then it comes back.
func TestLinkThatCarriesNothing(t *testing.T) {
	wire := openWire(t, netwire.Settings{Delay: oneWay})
	n := nodeOn(t, wire)
	clip := *laddered(t)
	clip.Audio = nil
	publishLadder(t, n, &clip)
	b := farBrowser(t, wire)
	b.open(n.URL + "/watch/demo")
	b.until("the picture plays", state+" === 'live' && "+decoded+" > 30 && "+height+" === 720")
	r := record(t, n, b, "demo")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("\n%s", r)
		}
	})
	r.until(t, pageTimeout, "the path is measured", func(m moment) bool { return m.Viewer.EstimateBy == "transport-cc" && m.Viewer.Layer == "f" })
	from := r.now()
	wire.Set(netwire.Settings{Delay: oneWay, Rate: 80_000})
	paused := r.until(t, unhurried, "a pause", func(m moment) bool { return m.Viewer.Layer == "" && m.Viewer.Waiting == "bandwidth" })
	m, _ := r.last()
	t.Logf("paused after %v: %s", (paused - from).Round(sampling), m.Viewer.Reason)
	r.wait(t, 4*time.Second)
	from = r.now()
	wire.Set(netwire.Settings{Delay: oneWay})
	back := r.until(t, unhurried, "the best layer", func(m moment) bool { return m.Viewer.Layer == "f" && m.Sight.Height == heightOf("f") })
	t.Logf("the best layer is back after %v", (back - from).Round(sampling))
	r.goesOn(t)
}
