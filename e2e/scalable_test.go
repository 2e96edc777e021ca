package e2e

import (
	_ "embed"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

//go:embed testdata/scalable.js
var scalableScript string

// scaled is what the page of scalable.js says.
type scaled struct {
	Decoded, Encoded, Width, Freezes, PLIs, NACKs, Lost, Received, Dropped, Packets int
	FPS, Frozen, At                                                                 float64
	Sent                                                                            string
}

// TestScalableLayers publishes spatial and temporal layers from a browser. A
// viewer is limited to the lowest of them and comes back to all, and its decoder
// never stops.
func TestScalableLayers(t *testing.T) {
	for _, tt := range []struct {
		name, codec, encodings string
		descriptor             bool
		lowest                 string  // choice
		width, low             int     // of the picture, all layers and the lowest
		share                  float64 // of the pictures, the lowest temporal layer, at most
		spatial                int     // layers of a picture, each of which the browser counts as encoded
	}{
		{"VP9 L3T3_KEY", "VP9", `[{scalabilityMode: 'L3T3_KEY', maxBitrate: 1200000}]`, false, `{"spatialLayerId":0,"temporalLayerId":0}`, 960, 240, 0.4, 3},
		{"AV1 L3T3_KEY", "AV1", `[{scalabilityMode: 'L3T3_KEY', maxBitrate: 1200000}]`, true, `{"spatialLayerId":0,"temporalLayerId":0}`, 960, 240, 0.4, 3},
		{"AV1 L1T3 without the descriptor", "AV1", `[{scalabilityMode: 'L1T3', maxBitrate: 600000}]`, false, `{"maxTemporalLayerId":0}`, 960, 960, 0.4, 1},
		{"VP8 simulcast", "VP8", `[{rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150000, scalabilityMode: 'L1T3'}, {rid: 'f', maxBitrate: 800000, scalabilityMode: 'L1T3'}]`, false, `{"encodingId":"q","temporalLayerId":0}`, 960, 240, 0.4, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := startNode(t)
			b := newBrowser(t)
			b.open(n.URL + "/publish/demo") // which may use the camera
			b.exec(scalableScript)
			b.exec("await scalable.publish('" + n.URL + "/whip/demo', '" + tt.codec + "', " + tt.encodings + ", 960, 540)")
			n.live(t, "demo", max(1, countRIDs(tt.encodings)))
			b.exec("await scalable.watch('" + n.URL + "/whep/demo', " + map[bool]string{true: "true", false: "false"}[tt.descriptor] + ")")
			look := func() scaled { return eval[scaled](b, "scalable.stats()") }
			until := func(what string, ok func(scaled) bool) {
				t.Helper()
				var last scaled
				defer func() {
					if t.Failed() {
						v, err := viewerOf(t.Context(), n, "demo")
						t.Logf("%s: %+v\n%+v %v", what, last, v, err)
						st, err := n.stream("demo")
						t.Logf("%+v %v", st.Layers, err)
					}
				}()
				poll(t, patience, 250*time.Millisecond, what, func() bool { last = look(); return ok(last) })
			}
			// The share of what the publisher encodes, which depends on the machine.
			share := func() float64 {
				from := look()
				var to scaled
				until("enough pictures", func(s scaled) bool { to = s; return s.At > from.At+1.5 && s.Encoded >= from.Encoded+40 })
				return float64((to.Decoded-from.Decoded)*tt.spatial) / float64(to.Encoded-from.Encoded)
			}
			until("the whole picture", func(s scaled) bool { return s.Width == tt.width && s.Decoded > 30 })
			until("measured operating points", func(scaled) bool {
				st, err := n.stream("demo")
				return err == nil && len(st.Layers) > 0 && len(st.Layers[0].Points) > 1
			})
			whole := share()
			before := look()

			b.exec("await scalable.choose(" + tt.lowest + ")")
			until("the lowest layer", func(s scaled) bool { return s.Width == tt.low })
			if v, err := viewerOf(t.Context(), n, "demo"); err != nil || v.Wanted == nil || *v.Wanted != (sluice.Scale{}) {
				t.Errorf("viewer wants %+v, %v", v.Wanted, err)
			}
			until("the lowest operating point", func(scaled) bool {
				v, err := viewerOf(t.Context(), n, "demo")
				return err == nil && v.Now != nil && *v.Now == (sluice.Scale{})
			})
			low := share()
			if low > tt.share || low < tt.share/4 {
				t.Errorf("%.2f of the pictures with the lowest layers, %.2f with all", low, whole)
			}

			b.exec("await scalable.choose({})")
			until("the whole picture again", func(s scaled) bool { return s.Width == tt.width })
			again := share()
			if again < 0.7 || whole < 0.7 {
				t.Errorf("%.2f of the pictures after it, %.2f before", again, whole)
			}
			after := look()
			t.Logf("%.2f, %.2f, %.2f of the pictures; frozen %.2f s, %d PLIs, %d NACKs", whole, low, again, after.Frozen-before.Frozen, after.PLIs-before.PLIs, after.NACKs-before.NACKs)
			if tt.descriptor {
				pageTakesLayers(b, n, tt.low, tt.width)
			}
		})
	}
}

// pageTakesLayers watches by the page, whose menu lists the spatial layers.
func pageTakesLayers(b *tab, n *running, low, whole int) {
	b.t.Helper()
	page := openTab(b.t, b.ctx)
	page.open(n.URL + "/watch/demo")
	const width = element + ".video.videoWidth"
	page.until("the page shows the whole picture", state+" === 'live' && "+decoded+" > 30 && "+width+" === "+strconv.Itoa(whole))
	page.exec(element + ".selectQuality('/0')")
	page.until("the page shows the lowest layer", width+" === "+strconv.Itoa(low))
	grows(page, "it goes on", decoded)
}

func countRIDs(encodings string) (n int) {
	for i := range len(encodings) - 4 {
		if encodings[i:i+4] == "rid:" {
			n++
		}
	}
	return n
}
