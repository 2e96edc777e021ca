//go:build linux

package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluice-live/sluice/e2e/netwire"
)

// TestLimitedLinkOfScalableLayers narrows the link of a viewer of layers that a
// browser publishes, and frees it again. What is forwarded follows, and the
// picture goes on.
func TestLimitedLinkOfScalableLayers(t *testing.T) {
	for _, tt := range []struct{ name, codec, encodings string }{
		{"VP9 L3T3_KEY", "VP9", `[{scalabilityMode: 'L3T3_KEY', maxBitrate: 2000000}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire := openWire(t, netwire.Settings{Delay: oneWay})
			n := nodeOn(t, wire)
			camera := newBrowser(t, chromedp.Flag("unsafely-treat-insecure-origin-as-secure", n.URL))
			camera.open(n.URL + "/publish/demo")
			camera.exec(scalableScript)
			camera.exec("await scalable.publish('" + n.URL + "/whip/demo', '" + tt.codec + "', " + tt.encodings + ", 960, 540)")
			n.live(t, "demo", max(1, countRIDs(tt.encodings)))
			b := farBrowser(t, wire)
			b.open(n.URL + "/watch/demo")
			b.until("the picture plays", state+" === 'live' && "+decoded+" > 30 && "+height+" === 540")
			r := record(t, n, b, "demo")
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("\n%s", r)
				}
			})
			r.wait(t, 2*time.Second)
			for _, step := range []struct {
				rate, least, most int // heights of the picture
				after             time.Duration
			}{
				{300_000, 135, 270, 4 * time.Second},
				{0, 540, 540, time.Second},
			} {
				from := r.now()
				wire.Set(netwire.Settings{Delay: oneWay, Rate: step.rate})
				shown := r.until(t, unhurried, "its picture", func(m moment) bool {
					return m.At > from && m.Sight.Height >= step.least && m.Sight.Height <= step.most
				})
				r.wait(t, step.after)
				longest, flaps := worst(r.quiet(from, r.now()))
				m, _ := r.last()
				t.Logf("at %d bit/s: on the screen after %v, longest time without a new picture %v, %d changes of layer; %+v: %s",
					step.rate, (shown - from).Round(sampling), longest.Round(time.Millisecond), flaps, m.Viewer.Now, m.Viewer.Reason)
				aim(t, longest <= freeze, "the picture froze for %v", longest)
				r.goesOn(t)
			}
		})
	}
}
