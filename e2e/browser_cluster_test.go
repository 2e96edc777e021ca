package e2e

import (
	"testing"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// TestClusterPage looks at two nodes, and drains one by its button.
func TestClusterPage(t *testing.T) {
	nodes := (&cluster{program: buildSluice(t)}).on(t)
	a, b := nodes.join(t, "a"), nodes.join(t, "b")
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.VP8, false)})
	a.live(t, "demo", 1)
	watchClip(t, b.url+"/whep/demo", 1)
	page := newBrowser(t)
	page.open(b.url + "/cluster")
	page.until("two nodes are shown", "document.querySelectorAll('tbody th[scope=row]').length >= 2")
	page.until("the stream is shown with its places", "[...document.querySelectorAll('tr')].some((r) => /^demo\\ta\\tb/.test([...r.cells].map((c) => c.textContent).join('\\t')))")
	page.exec("document.querySelector('button[data-node=a]').focus(); document.querySelector('button[data-node=a]').click()")
	page.until("the node drains", "/Draining/.test(document.querySelector('button[data-node=a]')?.closest('tr').textContent)")
	page.until("the button has kept the focus", "document.activeElement?.dataset?.node === 'a'")
	page.exec("document.querySelector('button[data-node=a]').click()")
	page.until("the node serves again", "/Serving/.test(document.querySelector('button[data-node=a]')?.closest('tr').textContent)")
}
