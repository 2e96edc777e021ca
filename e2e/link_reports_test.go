//go:build linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/e2e/netwire"
)

// withoutReports takes lines out of the offers of a page, as players send them that
// do not know these reports.
func withoutReports(b *tab, lines string) {
	b.t.Helper()
	b.early(`
const fetched = window.fetch;
window.fetch = (url, init) => {
  if (init?.method === 'POST' && typeof init.body === 'string' && init.body.startsWith('v=0'))
    init = {...init, body: init.body.split('\r\n').filter((l) => !/` + lines + `/.test(l)).join('\r\n')};
  return fetched(url, init);
};`)
}

// TestLimitedLinkByOtherReports is viewers whose links become narrow and free
// again, and that send no transport-wide feedback: a client that sends receiver
// reports alone, and with LINKS=all a browser that sends its own estimate, and more
// rates.
func TestLimitedLinkByOtherReports(t *testing.T) {
	t.Parallel()
	all := os.Getenv("LINKS") == "all"
	t.Run("loss", func(t *testing.T) {
		t.Parallel()
		wire := openWire(t, netwire.Settings{Delay: oneWay})
		n := nodeOn(t, wire)
		publishLadder(t, n, laddered(t))
		startChild(t, "ip", "netns", "exec", wire.Namespace, buildSluice(t), "watch", "--url", n.URL+"/whep/demo", "--no-twcc", "--duration", "5m")
		narrowAndFree(t, n, wire, "loss", all)
	})
	if !all {
		return
	}
	t.Run("remb", func(t *testing.T) {
		t.Parallel()
		wire := openWire(t, netwire.Settings{Delay: oneWay})
		n := nodeOn(t, wire)
		publishLadder(t, n, laddered(t))
		b := farBrowser(t, wire)
		withoutReports(b, "transport-cc|transport-wide")
		b.open(n.URL + "/watch/demo")
		b.until("the picture plays", state+" === 'live' && "+decoded+" > 30 && "+height+" === 720")
		narrowAndFree(t, n, wire, "remb", true)
	})
}

// narrowAndFree follows the layer of a viewer by what its reports say.
func narrowAndFree(t *testing.T, n *running, wire *netwire.Wire, by string, all bool) {
	t.Helper()
	var v sluice.Viewer
	layer := func(want ...string) {
		t.Helper()
		reason := ""
		within(t, unhurried, fmt.Sprint("layer ", want), func() bool {
			var err error
			v, err = viewerOf(t.Context(), n, "demo")
			if v.Reason != reason {
				reason = v.Reason
				t.Logf("layer %s, %d kbit/s by %s: %s", v.Layer, v.Estimate/1000, v.EstimateBy, reason)
			}
			return err == nil && slices.Contains(want, v.Layer)
		})
	}
	layer("f")
	for _, step := range []struct {
		rate  int
		layer []string
		long  bool
	}{{1_200_000, []string{"h"}, true}, {300_000, []string{"q"}, false}, {0, []string{"h", "f"}, false}, {0, []string{"f"}, true}} {
		if step.long && !all {
			continue
		}
		began := time.Now()
		wire.Set(netwire.Settings{Delay: oneWay, Rate: step.rate})
		layer(step.layer...)
		t.Logf("at %d bit/s: layer %s after %v; %d kbit/s by %s: %s", step.rate, v.Layer, time.Since(began).Round(sampling), v.Estimate/1000, v.EstimateBy, v.Reason)
	}
	if v.EstimateBy != by {
		t.Errorf("measured by %q", v.EstimateBy)
	}
}
