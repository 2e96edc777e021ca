package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// TestClusterPage looks at two nodes, drains one by its button, and then while a page
// publishes there.
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
	publisherIsHandedOver(t, nodes, a, b, openTab(t, page.ctx))
}

// publisherIsHandedOver drains the node that a page publishes at: the page goes to
// another one, and viewers see no gap.
func publisherIsHandedOver(t *testing.T, nodes *cluster, a, b *member, camera *tab) {
	t.Helper()
	publishFrom(camera, a.url+"/publish/page")
	camera.exec("studio.publisher.addEventListener('statechange', ({detail}) => (studio.left ??= detail.state))")
	viewers := watchClip(t, b.url+"/whep/page", 2)
	goOn(t, viewers, 30, "pictures")
	began := time.Now()
	nodes.node(t, b, "drain", "a", "--wait")
	t.Logf("a was empty after %v", time.Since(began).Round(time.Millisecond))
	b.until(t, patience, "the publisher is here", "page", func(s sluice.Stream) bool { return !s.Relayed && s.State == sluice.StreamLive })
	goOn(t, viewers, 30, "pictures")
	if left := eval[string](camera, "studio.left ?? ''"); left != "" {
		t.Errorf("the page was %q meanwhile", left)
	}
	for i, v := range viewers {
		t.Logf("viewer %d: longest time between pictures %v", i, v.longest(began).Round(time.Millisecond))
	}
	samePictures(t, viewers)
}
