package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

const (
	churnTime    = 8 * time.Second // unless CHURN says otherwise, such as 30m
	churnStreams = 2
	churnViewers = 5
	churnCall    = 20 * time.Second // a session's set-up, at most
	churnKept    = 32 << 20         // bytes at most that stay in memory of shows that have ended
)

// vitals is what the node says of itself.
type vitals struct {
	goroutines, fds, heap, resident, cpu float64
	viewers, publishers, pending         float64
}

func (v vitals) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f descriptors, heap %.1f MiB, resident %.1f MiB, %.1f CPU seconds, %.0f publishers, %.0f viewers, %.0f connecting",
		v.goroutines, v.fds, v.heap/(1<<20), v.resident/(1<<20), v.cpu, v.publishers, v.viewers, v.pending)
}

// churning is a run of TestChurn.
type churning struct {
	t    *testing.T
	http *http.Client
	base string // of the public port
	ops  string

	joins, leaves, switches, restarts, refused, failures, frames atomic.Int64
}

// get reads a page of the ops port.
func (c *churning) get(url string) string {
	resp, err := c.http.Get(url)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(text)
}

// vitals reads the metrics; with collect set after a garbage collection.
func (c *churning) vitals(collect bool) vitals {
	if collect {
		c.get(strings.TrimSuffix(c.ops, "/metrics") + "/debug/pprof/heap?gc=1")
	}
	values := map[string]float64{}
	for line := range strings.Lines(c.get(c.ops)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			values[name] = n
		}
	}
	return vitals{
		goroutines: values["go_goroutines"], fds: values["process_open_fds"], heap: values["go_memstats_heap_alloc_bytes"],
		resident: values["process_resident_memory_bytes"], cpu: values["process_cpu_seconds_total"],
		viewers: values["sluice_viewers"], publishers: values["sluice_publishers"], pending: values["sluice_sessions_pending"],
	}
}

// rest returns after d or when ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func between(low, high time.Duration) time.Duration { return low + rand.N(high-low) }

// publish starts a publisher again and again. Sometimes the next one comes while
// the last is still there, as after a crash.
func (c *churning) publish(ctx context.Context, stream int, clip *clips.Clip) {
	var old *client.Publisher
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, churnCall)
		p, err := client.Publish(call, client.PublisherConfig{
			URL: fmt.Sprintf("%s/whip/churn-%d", c.base, stream), Clip: clip, HTTP: c.http, KeyframesOnRequest: rand.IntN(2) == 0,
		})
		cancel()
		if old != nil {
			_ = old.Close() // it may have been replaced
			old = nil
		}
		if err != nil {
			c.note(ctx, "publish", err)
			rest(ctx, 500*time.Millisecond)
			continue
		}
		c.restarts.Add(1)
		rest(ctx, between(3*time.Second, 9*time.Second))
		if rand.IntN(3) == 0 {
			old = p
		} else {
			_ = p.Close() // the server may have ended it
			rest(ctx, between(0, 2*time.Second))
		}
	}
	if old != nil {
		_ = old.Close()
	}
}

// watch joins and leaves again and again, and asks for other layers meanwhile.
func (c *churning) watch(ctx context.Context) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, churnCall)
		v, err := client.Watch(call, client.ViewerConfig{
			URL: fmt.Sprintf("%s/whep/churn-%d", c.base, rand.IntN(churnStreams)), HTTP: c.http,
			NACK: rand.IntN(2) == 0, TransportCC: rand.IntN(2) == 0, NoAudio: rand.IntN(8) == 0,
			OnFrame: func(client.FrameInfo) { c.frames.Add(1) },
		})
		cancel()
		if err != nil {
			c.note(ctx, "watch", err)
			rest(ctx, 500*time.Millisecond)
			continue
		}
		c.joins.Add(1)
		for range rand.IntN(4) {
			rest(ctx, between(300*time.Millisecond, 1500*time.Millisecond))
			rid := []string{"q", "h", "f", ""}[rand.IntN(4)]
			if v.SelectLayer(ctx, client.Layer{RID: rid}) == nil { // fails between two publishers
				c.switches.Add(1)
			}
		}
		_ = v.Close() // the stream may have ended
		c.leaves.Add(1)
	}
}

// abandon posts offers of clients that never connect.
func (c *churning) abandon(ctx context.Context, offer string) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/whep/churn-0", strings.NewReader(offer))
		if err != nil {
			c.t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/sdp")
		if resp, err := c.http.Do(req); err == nil {
			_ = resp.Body.Close()
		}
		rest(ctx, between(time.Second, 3*time.Second))
	}
}

// note counts a session that could not be had: between two publishers that is
// the right answer.
func (c *churning) note(ctx context.Context, what string, err error) {
	var status *client.StatusError
	if errors.As(err, &status) && (status.Status == http.StatusConflict || status.Status == http.StatusUnprocessableEntity) {
		c.refused.Add(1)
	} else if ctx.Err() == nil {
		c.failures.Add(1)
		c.t.Logf("%s: %v", what, err)
	}
}

// churnSlack is how many goroutines and descriptors may come and go by
// themselves.
const churnSlack = 5

// settle waits until nobody is connected and all that ran for them has ended:
// until no more is left than of a rest before, or nothing changes any more.
func (c *churning) settle(before vitals) vitals {
	poll(c.t, patience, 200*time.Millisecond, "everybody has left", func() bool {
		v := c.vitals(false)
		return v.viewers+v.publishers+v.pending == 0
	})
	last := c.vitals(true)
	for still := 0; still < 5; still++ {
		now := c.vitals(true)
		if now.goroutines <= before.goroutines+churnSlack && now.fds <= before.fds+churnSlack {
			return now
		}
		if now.goroutines != last.goroutines || now.fds != last.fds {
			still = 0
		}
		last = now
		rest(c.t.Context(), time.Second)
	}
	return last
}

// run lets everybody come and go for a while, and returns what was seen every
// interval.
func (c *churning) run(length, interval time.Duration, clip *clips.Clip, offer string) []vitals {
	ctx, cancel := context.WithTimeout(c.t.Context(), length)
	defer cancel()
	var busy sync.WaitGroup
	for i := range churnStreams {
		busy.Go(func() { c.publish(ctx, i, clip) })
	}
	for range churnViewers {
		busy.Go(func() { c.watch(ctx) })
	}
	busy.Go(func() { c.abandon(ctx, offer) })
	var seen []vitals
	for rest(ctx, interval); ctx.Err() == nil; rest(ctx, interval) {
		seen = append(seen, c.vitals(false))
		c.t.Log(seen[len(seen)-1])
	}
	busy.Wait()
	return seen
}

// TestChurn lets publishers and viewers come, go and change for a while, and
// wants the node's memory, goroutines and descriptors back. CHURN=30m lengthens
// it.
func TestChurn(t *testing.T) {
	t.Parallel()
	length := churnTime
	if text := os.Getenv("CHURN"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := os.ReadFile("../internal/wish/testdata/chromium-156-whep-offer.sdp")
	if err != nil {
		t.Fatal(err)
	}
	s := serveSluice(t, "--stream.grace=2s", "--stream.takeover=true", "--limits.handshake_timeout=3s", "--log.level=error")
	c := &churning{t: t, http: clientHTTP(t), ops: s.find(t, `Metrics +(\S+)`), base: strings.TrimSuffix(s.find(t, `Watch +(\S+)`), "/watch/demo")}
	clip := pattern(t, clips.VP8, true)
	c.run(min(length/4, time.Minute), length/4, clip, string(offer)) // grows caches and pools
	c.http.CloseIdleConnections()
	before := c.settle(vitals{})
	began := time.Now()
	c.run(length, max(length/30, time.Second), clip, string(offer))
	took := time.Since(began).Seconds()
	c.http.CloseIdleConnections()
	after := c.settle(before)
	t.Logf("before: %v\n after: %v\nin %.0f s: %d joins, %d leaves, %d changes of layer, %d publishers, %d refused, %d failures, %d frames, server at %.1f %% of a CPU",
		before, after, took, c.joins.Load(), c.leaves.Load(), c.switches.Load(), c.restarts.Load(), c.refused.Load(), c.failures.Load(), c.frames.Load(), 100*(after.cpu-before.cpu)/took)
	if after.goroutines > before.goroutines+churnSlack || after.fds > before.fds+churnSlack {
		t.Error("goroutines or descriptors are left over")
	}
	if after.heap > before.heap+churnKept {
		t.Error("the heap has grown")
	}
	if after.resident > 1.5*before.resident+32<<20 {
		t.Error("the resident memory has grown")
	}
	if c.joins.Load() < int64(length.Seconds()/2) || c.restarts.Load() < 2 || c.switches.Load() == 0 || c.frames.Load() == 0 {
		t.Error("too little came and went")
	}
	if c.failures.Load() > c.joins.Load()/50 {
		t.Errorf("%d sessions failed", c.failures.Load())
	}
}
