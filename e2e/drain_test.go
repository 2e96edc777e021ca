package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// nodes asks a node for all nodes, by id.
func (m *member) nodes(t testing.TB) map[string]sluice.Node {
	t.Helper()
	res, err := clientHTTP(t).Get(m.url + "/api/v1/nodes")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var page struct{ Items []sluice.Node }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	all := map[string]sluice.Node{}
	for _, n := range page.Items {
		all[n.ID] = n
	}
	return all
}

// node runs `sluice node` against the member.
func (c *cluster) node(t testing.TB, m *member, args ...string) string {
	t.Helper()
	args = append([]string{"node"}, append(args, "--url", m.url, "--data.dir", t.TempDir())...)
	out, err := exec.CommandContext(t.Context(), c.program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("sluice %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// keepPublishing publishes a clip, where it is told to, and again and elsewhere
// whenever it ends. It counts the ends.
func keepPublishing(t testing.TB, clip *clips.Clip, endpoints func() []string) (ends *atomic.Int32) {
	t.Helper()
	ends = &atomic.Int32{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	transport := clientHTTP(t)
	wg.Go(func() {
		for turn := 0; ctx.Err() == nil; turn++ {
			all := endpoints()
			p, err := client.PublishMoving(ctx, client.PublisherConfig{URL: all[turn%len(all)], Clip: clip, HTTP: transport, KeyframesOnRequest: true})
			if err != nil {
				rest(ctx, 200*time.Millisecond)
				continue
			}
			select {
			case <-p.Done():
				ends.Add(1)
			case <-ctx.Done():
			}
			_ = p.Close()
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return ends
}

// TestDrain drains the node of some viewers, and takes it back.
func TestDrain(t *testing.T) {
	t.Parallel()
	nodes := (&cluster{program: buildSluice(t)}).on(t)
	flags := []string{"--drain.spread=1s"}
	a, b, c := nodes.join(t, "a", flags...), nodes.join(t, "b", flags...), nodes.join(t, "c", flags...)
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, false)})
	a.live(t, "demo", 1)
	roamers, _ := roam(t, 10, func() []string { return []string{b.url + "/whep/demo"} })
	flowing(t, patience, "all see the stream", roamers)

	began := time.Now()
	if out := nodes.node(t, c, "drain", "b", "--wait"); !strings.Contains(out, "b is empty") {
		t.Errorf("drain prints %q", out)
	}
	t.Logf("b was empty after %v", time.Since(began).Round(time.Millisecond))
	flowing(t, patience, "all see the stream elsewhere", roamers)
	total, most, forced, longest := sums(roamers)
	t.Logf("%d reconnects of 10 viewers, at most %d of one, %d untold; longest time without a picture %v", total, most, forced, longest.Round(time.Millisecond))
	if total != 10 || most != 1 || forced != 0 {
		t.Errorf("%d reconnects, at most %d of one, %d untold; want one each, told", total, most, forced)
	}
	if n := a.nodes(t)["b"]; n.State != sluice.NodeDraining {
		t.Errorf("b is %+v", n)
	}
	if status(t, b.url+"/readyz") != http.StatusServiceUnavailable {
		t.Error("a node that drains is ready")
	}
	// Who comes to it is sent on.
	more := watchClip(t, b.url+"/whep/demo", 2)
	for _, v := range more {
		within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > 5 })
	}
	elsewhere, err := client.Publish(t.Context(), client.PublisherConfig{URL: b.url + "/whip/other", Clip: pattern(t, clips.VP8, false), HTTP: clientHTTP(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = elsewhere.Close() })
	if list := nodes.node(t, a, "list"); !strings.Contains(list, "draining") || strings.Count(list, "serving") != 2 {
		t.Errorf("list prints\n%s", list)
	}

	nodes.node(t, b, "undrain", "b")
	within(t, patience, "b is ready again", func() bool { return status(t, b.url+"/readyz") == http.StatusOK })
	back := watchClip(t, b.url+"/whep/demo", 1)
	within(t, patience, "frames", func() bool { return back[0].Stats().Video.Frames > 5 })
}

// TestRollingRestart stops and starts each node of three in turn, under viewers and a
// publisher that go where they are told. Each viewer reconnects once, and the
// publisher never ends.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	nodes := (&cluster{program: buildSluice(t)}).on(t)
	var mu sync.Mutex
	members := map[string]*member{}
	join := func(id string, more ...string) *member {
		m := nodes.join(t, id, append([]string{"--drain.spread=1s", "--drain.back=20s"}, more...)...)
		mu.Lock()
		defer mu.Unlock()
		members[id] = m
		return m
	}
	endpoints := func(path string) func() []string {
		return func() (all []string) {
			mu.Lock()
			defer mu.Unlock()
			for _, id := range []string{"a", "b", "c"} {
				if m := members[id]; m != nil {
					all = append(all, m.url+path)
				}
			}
			return all
		}
	}
	a := join("a")
	join("b")
	join("c")
	ends := keepPublishing(t, pattern(t, clips.H264, true), endpoints("/whip/demo"))
	a.live(t, "demo", 3)
	roamers, _ := roam(t, 45, endpoints("/whep/demo"))
	flowing(t, patience, "all see the stream", roamers)
	before := 0
	for _, id := range []string{"a", "b", "c"} {
		mu.Lock()
		m := members[id]
		mu.Unlock()
		began := time.Now()
		if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-m.ended:
			if err != nil {
				t.Errorf("%s ended with %v", id, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s does not end after SIGTERM", id)
		}
		took := time.Since(began)
		join(id, "--http.addr", strings.TrimPrefix(m.url, "http://"))
		flowing(t, patience, "all see the stream after "+id, roamers)
		total, most, forced, longest := sums(roamers)
		t.Logf("%s stopped within %v: %d reconnects, at most %d of one viewer in all, %d untold; longest time without a picture %v; the publisher's session ended %d times",
			id, took.Round(time.Millisecond), total-before, most, forced, longest.Round(time.Millisecond), ends.Load())
		before = total
	}
	total, most, forced, _ := sums(roamers)
	if most != 1 || total != len(roamers) || forced != 0 {
		t.Errorf("%d reconnects of %d viewers, at most %d of one, %d untold; want one each, told", total, len(roamers), most, forced)
	}
	if n := ends.Load(); n != 0 {
		t.Errorf("the publisher's session ended %d times", n)
	}
}
