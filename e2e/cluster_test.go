package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/signaling"
)

// TestCluster runs nodes as processes on one Redis, one test after the other: they
// measure, or have many viewers.
func TestCluster(t *testing.T) {
	built := &cluster{program: buildSluice(t)}
	t.Run("relayed", func(t *testing.T) { testRelayed(t, built) })
	t.Run("origin killed", func(t *testing.T) { testOriginKilled(t, built) })
	t.Run("edge killed", func(t *testing.T) { testEdgeKilled(t, built) })
	t.Run("cost of a hop", func(t *testing.T) { testHopCost(t, built) })
	t.Run("crowd", func(t *testing.T) { testCrowd(t, built) })
}

// TestClusterFaults does so beside other tests: these mostly wait. The longest come
// first.
func TestClusterFaults(t *testing.T) {
	t.Parallel()
	built := &cluster{program: buildSluice(t)}
	t.Run("recorder killed", func(t *testing.T) { testRecorderKilled(t, built) }) // three beside each other
	for _, c := range []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"redis gone", testRedisGone},
		{"redis sentinel", testSentinel},
		{"redis cluster", testRedisCluster},
		{"one origin", testOneOrigin},
		{"one address", testOneAddress},
		{"parent leaves", testParentLeaves},
		{"parent killed", testParentKilled},
		{"publisher moves", testPublisherMoves},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, built)
		})
	}
}

// testRelayed publishes at one node and watches at two others.
func testRelayed(t *testing.T, built *cluster) {
	nodes := built.on(t)
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, true)})
	a.live(t, "demo", 3)
	viewers := append(watchClip(t, b.url+"/whep/demo", 2), watchClip(t, c.url+"/whep/demo", 3)...)
	for i, v := range viewers {
		within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > 30 && v.Stats().Audio.Packets > 30 })
		t.Logf("viewer %d: first frame after %v", i, v.Stats().Video.FirstFrame)
	}
	for _, m := range []*member{a, b, c} {
		s := m.until(t, patience, "all viewers are counted", "demo", func(s sluice.Stream) bool { return s.Viewers == 5 && len(s.Layers) == 3 })
		if s.State != sluice.StreamLive || s.Publisher == nil || s.Relayed != (m != a) {
			t.Errorf("%s: %+v", m.id, s)
		}
	}
	clean(t, viewers)
}

// testOriginKilled kills the node that a stream is published at. The publisher
// posts to another one, and the viewers of the third see pictures again without a
// new session.
func testOriginKilled(t *testing.T, built *cluster) {
	var taken, back, dark []time.Duration
	for range runs(t, 1) {
		t.Run("run", func(t *testing.T) {
			nodes := built.on(t)
			a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
			clip := pattern(t, clips.H264, true)
			publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
			a.live(t, "demo", 3)
			near, far := watchClip(t, b.url+"/whep/demo", 3), watchClip(t, c.url+"/whep/demo", 3)
			all := append(near, far...)
			for _, v := range all {
				within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > 30 })
			}
			killed := time.Now()
			a.kill(t)
			p := publishAgain(t, client.PublisherConfig{URL: b.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true}, 100*time.Millisecond)
			taken = append(taken, time.Since(killed))
			<-p.Connected()
			first := time.Now()
			for _, v := range all {
				within(t, patience, "pictures again", func() bool { return !v.keyAfter(first).IsZero() })
			}
			for _, v := range far {
				back = append(back, v.keyAfter(first).Sub(first))
				dark = append(dark, v.keyAfter(first).Sub(killed))
			}
			c.live(t, "demo", 3)
			samePictures(t, all)
		})
	}
	if len(back) > 0 {
		t.Logf("publisher taken after the kill: %s", quantiles(taken))
		t.Logf("pictures at the third node after the publisher's connection: %s", quantiles(back))
		t.Logf("pictures at the third node after the kill: %s", quantiles(dark))
	}
}

// watched publishes at the first node and watches at the others, n viewers each.
func watched(t *testing.T, n int, nodes ...*member) (viewers [][]*loadViewer) {
	t.Helper()
	publishClip(t, client.PublisherConfig{URL: nodes[0].url + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	nodes[0].live(t, "demo", 3)
	for _, m := range nodes[1:] {
		some := watchClip(t, m.url+"/whep/demo", n)
		for _, v := range some {
			within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > 30 })
		}
		viewers = append(viewers, some)
	}
	return viewers
}

// leaseLasts is for how long a node keeps its streams without saying so.
const leaseLasts = signaling.DefaultLeaseTTL

// longest is the longest time between two pictures that a viewer has seen since.
func (v *loadViewer) longest(since time.Time) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	var gap time.Duration
	last := since
	for _, f := range v.frames {
		if f.At.After(last) {
			gap = max(gap, f.At.Sub(last))
			last = f.At
		}
	}
	return gap
}

// goOn waits for n more pictures.
func goOn(t testing.TB, viewers []*loadViewer, n uint64, what string) {
	t.Helper()
	for _, v := range viewers {
		want := v.Stats().Video.Frames + n
		within(t, patience, what, func() bool { return v.Stats().Video.Frames >= want })
	}
}

// testPublisherMoves ends the publisher's session and begins one at another node,
// which relays the stream already: the first node then pulls from there.
func testPublisherMoves(t *testing.T, built *cluster) {
	nodes := built.on(t)
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	clip := pattern(t, clips.H264, true)
	p := publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
	a.live(t, "demo", 3)
	var all []*loadViewer
	for _, m := range []*member{a, b, c} {
		all = append(all, watchClip(t, m.url+"/whep/demo", 1)...)
	}
	goOn(t, all, 20, "pictures")
	for _, next := range []*member{b, a} {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		// Until then a publisher is sent to where the stream was.
		within(t, patience, "the lease is released", func() bool {
			return status(t, next.url+"/api/v1/streams/demo/nodes") == http.StatusNotFound
		})
		began := time.Now()
		p = publishAgain(t, client.PublisherConfig{URL: next.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true}, 50*time.Millisecond)
		for i, v := range all {
			within(t, patience, "pictures again", func() bool { return !v.keyAfter(began).IsZero() })
			t.Logf("publisher at %s: viewer %d has pictures after %v", next.id, i, v.keyAfter(began).Sub(began).Round(time.Millisecond))
		}
		for _, m := range []*member{a, b, c} {
			m.until(t, patience, "the publisher is where it is", "demo", func(s sluice.Stream) bool {
				return s.State == sluice.StreamLive && s.Relayed == (m != next) && s.Viewers == 3
			})
		}
		goOn(t, all, 10, "more pictures")
	}
	samePictures(t, all)
}

// chain starts three nodes that can only pull from one another in a row.
func chain(t *testing.T, built *cluster) (a, b, c *member) {
	t.Helper()
	nodes := built.on(t)
	return nodes.join(t, "a", "--relay.max_children=1"), nodes.join(t, "b", "--relay.max_children=1"), nodes.join(t, "c", "--relay.max_children=1")
}

func testParentKilled(t *testing.T, built *cluster) {
	a, b, c := chain(t, built)
	all := watched(t, 2, a, b, c)
	far := all[1]
	killed := time.Now()
	b.kill(t)
	goOn(t, far, 60, "pictures through another parent")
	for i, v := range far {
		t.Logf("viewer %d: longest time between pictures %v", i, v.longest(killed).Round(time.Millisecond))
	}
	samePictures(t, far)
}

func testParentLeaves(t *testing.T, built *cluster) {
	nodes := built.on(t)
	// a has room for two, but c comes while d takes the second place.
	a, b := nodes.join(t, "a", "--relay.max_children=2"), nodes.join(t, "b")
	c, d := nodes.join(t, "c"), nodes.join(t, "d")
	all := watched(t, 2, a, b, d, c)
	far := all[2]
	left := time.Now()
	for _, m := range []*member{d, b} { // one of them is its parent, and then maybe the other
		if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-m.ended
		goOn(t, far, 30, "pictures through another parent")
	}
	for i, v := range far {
		t.Logf("viewer %d: longest time between pictures %v", i, v.longest(left).Round(time.Millisecond))
	}
	clean(t, far)
}

// testEdgeKilled kills the node that viewers are at: they go on at others, of which
// they were told when they came.
func testEdgeKilled(t *testing.T, built *cluster) {
	const viewers = 20
	nodes := built.on(t)
	a, _ := nodes.join(t, "a"), nodes.join(t, "b")
	c := nodes.join(t, "c")
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	a.live(t, "demo", 3)
	// Nodes look for each other every few seconds.
	poll(t, patience, 50*time.Millisecond, "viewers are told of other nodes", func() bool {
		v, err := client.Watch(t.Context(), client.ViewerConfig{URL: c.url + "/whep/demo", HTTP: clientHTTP(t)})
		if err != nil {
			return false
		}
		defer v.Close()
		return len(v.Backups()) == 2
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	all := make([]*loadViewer, viewers)
	for i := range all {
		v := &loadViewer{}
		all[i] = v
		places := &client.Failover{}
		cfg := client.ViewerConfig{URL: c.url + "/whep/demo", NACK: true, HTTP: clientHTTP(t), OnFrame: func(f client.FrameInfo) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.frames = append(v.frames, f)
		}}
		running.Go(func() {
			_ = client.Keep(ctx, nil, func(ctx context.Context) (client.Session, error) { return places.Watch(ctx, cfg) }, func(s client.Session) {
				select {
				case <-s.Done():
				case <-ctx.Done():
				}
			})
		})
	}
	c.until(t, patience, "all watch here", "demo", func(s sluice.Stream) bool { return s.Viewers == viewers })
	for _, v := range all {
		within(t, patience, "pictures", func() bool { return !v.keyAfter(time.Time{}).IsZero() })
	}
	browser := newBrowser(t)
	browser.open(c.url + "/watch/demo")
	browser.until("the picture plays", state+" === 'live' && "+decoded+" > 30")
	browser.exec(gaps + `const send = window.fetch;
		window.fetch = async (url, ...more) => {
			const answer = await send(url, ...more);
			if (String(url).endsWith('/api/v1/nodes/unreachable')) window.reported = answer.status;
			return answer;
		};`)
	killed := time.Now()
	c.kill(t)
	var back []time.Duration
	for _, v := range all {
		within(t, patience, "pictures at another node", func() bool { return !v.keyAfter(killed.Add(100 * time.Millisecond)).IsZero() })
		back = append(back, v.keyAfter(killed.Add(100*time.Millisecond)).Sub(killed))
	}
	t.Logf("pictures at another node after the kill: %s", quantiles(back))
	browser.until("the page goes on at another node", fmt.Sprintf("%s && !%s.startsWith('%s') && performance.now() - window.gaps.last < 300", session, session, c.url))
	report := readGaps(browser)
	t.Logf("longest time without a picture in a browser: %.0f ms", report.Worst)
	report.check(t)
	browser.until("it says which node is gone", "window.reported === 200")
	a.until(t, patience, "all are counted again", "demo", func(s sluice.Stream) bool { return s.Viewers == viewers+1 })
}

// testOneOrigin has two publishers race for one name. A node that stood still for
// longer than its lease lasts has lost what it won to the other: both are let in then,
// and the session of the first one ends.
func testOneOrigin(t *testing.T, built *cluster) {
	nodes := built.on(t)
	members := []*member{nodes.join(t, "a"), nodes.join(t, "b")}
	clip := pattern(t, clips.H264, false)
	won := map[string]int{}
	for i := range 100 {
		name := "race-" + strconv.Itoa(i)
		var got [2]*client.Publisher
		var errs [2]error
		var racing sync.WaitGroup
		start := make(chan struct{})
		for j, m := range members {
			racing.Go(func() {
				<-start
				got[j], errs[j] = client.Publish(t.Context(), client.PublisherConfig{URL: m.url + "/whip/" + name, Clip: clip, HTTP: clientHTTP(t)})
			})
		}
		began := time.Now()
		close(start)
		racing.Wait()
		if took := time.Since(began); got[0] != nil && got[1] != nil && took > leaseLasts {
			t.Logf("race %d took %v", i, took)
			select {
			case <-got[0].Done():
			case <-got[1].Done():
			case <-time.After(patience):
				t.Fatalf("race %d: both publish", i)
			}
		} else if (got[0] == nil) == (got[1] == nil) {
			t.Fatalf("race %d: %v and %v", i, errs[0], errs[1])
		}
		for j, p := range got {
			if p == nil {
				var status *client.StatusError
				if !errors.As(errs[j], &status) || status.Status != http.StatusConflict {
					t.Errorf("race %d: the loser is told %v", i, errs[j])
				}
				continue
			}
			won[members[j].id]++
			select {
			case <-p.Done():
				continue
			default:
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("won: %v", won)
}
