package e2e

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// balancer is one address for some nodes. Each request goes to the next of them,
// whatever connection it comes by.
type balancer struct {
	url string

	mu    sync.Mutex
	nodes []*member
	turn  int
	amiss int // requests for a session that went to a node without it
}

func newBalancer(t *testing.T, nodes ...*member) *balancer {
	t.Helper()
	b := &balancer{nodes: slices.Clone(nodes)}
	server := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		to, err := url.Parse(b.next(r.In.URL.Path))
		if err != nil {
			t.Error(err)
			return
		}
		r.SetURL(to)
		r.SetXForwarded()
	}})
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *balancer) next(path string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn++
	m := b.nodes[b.turn%len(b.nodes)]
	if _, owner, ok := strings.Cut(path, "."); ok && strings.HasPrefix(path, "/wh") {
		if owner, _, _ = strings.Cut(owner, "/"); owner != m.id {
			b.amiss++
		}
	}
	return m.url
}

// lose takes a node out, as a health check does.
func (b *balancer) lose(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = slices.DeleteFunc(b.nodes, func(o *member) bool { return o == m })
}

// testOneAddress reaches three nodes by one address: what is said about a session
// comes to any of them.
func testOneAddress(t *testing.T, built *cluster) {
	nodes := built.on(t)
	flag := "--http.trusted_proxies=127.0.0.1"
	members := []*member{nodes.join(t, "a", flag), nodes.join(t, "b", flag), nodes.join(t, "c", flag)}
	all := newBalancer(t, members...)
	p := publishClip(t, client.PublisherConfig{URL: all.url + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	found(t, &member{url: all.url})
	viewers := watchClip(t, all.url+"/whep/demo", 3)
	goOn(t, viewers, 20, "pictures")
	for _, v := range viewers {
		events, err := v.Events(t.Context(), "active", "viewercount")
		if err != nil {
			t.Fatal(err)
		}
		if e := <-events; e.Type != "active" {
			t.Errorf("the first event is %+v", e)
		}
		if err := v.SelectLayer(t.Context(), client.Layer{RID: "q"}); err != nil {
			t.Error(err)
		}
	}
	patchSession(t, all.url)
	if got := strangersRequest(t, members[0], viewers[0].URL()); got != http.StatusUnauthorized {
		t.Errorf("a request that no node has signed gets %d", got)
	}
	if err := viewers[0].Close(); err != nil {
		t.Error(err)
	}
	balancedPage(t, all, members, p.URL()[strings.LastIndex(p.URL(), ".")+1:])
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	t.Logf("%d requests came to a node that does not have the session", all.amiss)
	if all.amiss == 0 {
		t.Error("every request came to the right node: nothing was passed on")
	}
}

// strangersRequest pretends to be another node.
func strangersRequest(t *testing.T, m *member, session string) int {
	t.Helper()
	at, err := url.Parse(session)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, m.url+at.Path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sluice-Ticket", "forged")
	req.Header.Set("Sluice-Remote", "192.0.2.1")
	resp, err := clientHTTP(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// balancedPage watches in a browser, whose node then dies.
func balancedPage(t *testing.T, all *balancer, members []*member, origin string) {
	t.Helper()
	page := newBrowser(t)
	owner := origin
	for owner == origin {
		for range rand.IntN(len(members)) {
			all.next("") // else a page with as many requests comes to the same node again and again
		}
		page.open(all.url + "/watch/demo")
		page.until("the picture plays", state+" === 'live' && "+decoded+" > 30")
		owner = eval[string](page, session+".split('.').pop()")
	}
	page.until("events come", element+".player.layers.length === 3 && "+element+".player.viewers > 0")
	pickLayer(page, "q")
	page.until("the layer is decoded", height+" === 180")
	i := slices.IndexFunc(members, func(m *member) bool { return m.id == owner })
	page.exec(gaps)
	all.lose(members[i])
	members[i].kill(t)
	page.until("the page goes on at another node", session+" && !"+session+".endsWith('."+owner+"') && performance.now() - window.gaps.last < 300")
	report := readGaps(page)
	t.Logf("longest time without a picture in a browser: %.0f ms", report.Worst)
}
