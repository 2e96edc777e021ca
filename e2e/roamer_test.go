package e2e

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
)

// roamer is a viewer that goes where it is told: it opens a new session before it
// leaves the old one, and finds another node when a session ends by itself.
type roamer struct {
	reconnects atomic.Int32 // sessions after the first one
	forced     atomic.Int32 // of these, without having been told
	frames     atomic.Int64
	last       atomic.Int64 // when the last frame came, UnixNano
	longest    atomic.Int64 // longest time without a frame, nanoseconds
}

// roam runs n roamers over the WHEP endpoints given until the test's end or stop.
func roam(t testing.TB, n int, endpoints func() []string) (roamers []*roamer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	http := clientHTTP(t)
	for i := range n {
		r := &roamer{}
		roamers = append(roamers, r)
		wg.Go(func() {
			var next call
			var old *client.Viewer
			for turn := i; ctx.Err() == nil; turn++ {
				url := next.URL
				if url == "" {
					all := endpoints()
					url = all[turn%len(all)]
				}
				v, err := client.Watch(ctx, client.ViewerConfig{URL: url, NACK: true, HTTP: http, OnFrame: r.frame})
				if err != nil {
					if time.Now().After(next.until) {
						next = call{}
					}
					rest(ctx, 200*time.Millisecond)
					continue
				}
				if old != nil {
					select {
					case <-v.Connected():
					case <-v.Done():
					case <-ctx.Done():
					}
					_ = old.Close()
				}
				next = r.follow(ctx, v)
				r.reconnects.Add(1)
				if old = v; next.URL == "" {
					r.forced.Add(1)
					_ = v.Close()
					old = nil
				}
			}
			if old != nil {
				_ = old.Close()
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return roamers, stop
}

func (r *roamer) frame(client.FrameInfo) {
	now := time.Now().UnixNano()
	if last := r.last.Swap(now); last != 0 && now-last > r.longest.Load() {
		r.longest.Store(now - last)
	}
	r.frames.Add(1)
}

// call is where a node has told a viewer to go.
type call struct {
	URL   string
	Wait  float64   // seconds for which there may be no answer
	until time.Time // when it is over
}

// follow watches until the node says where to go, or the session ends.
func (r *roamer) follow(ctx context.Context, v *client.Viewer) call {
	events, err := v.Events(ctx, "reconnect")
	if err == nil {
		for e := range events {
			var told call
			if json.Unmarshal([]byte(e.Data), &told) == nil && told.URL != "" {
				told.until = time.Now().Add(time.Duration(told.Wait * float64(time.Second)))
				return told
			}
		}
	}
	select {
	case <-v.Done():
	case <-ctx.Done():
	}
	return call{}
}

// flowing waits until every roamer has got frames since then.
func flowing(t testing.TB, limit time.Duration, what string, roamers []*roamer) {
	t.Helper()
	since := time.Now().UnixNano()
	poll(t, limit, 20*time.Millisecond, what, func() bool {
		for _, r := range roamers {
			if r.last.Load() < since {
				return false
			}
		}
		return true
	})
}

// sums tells how often roamers have reconnected: in all, the most of one, and
// without having been told.
func sums(roamers []*roamer) (total, most, forced int, longest time.Duration) {
	for _, r := range roamers {
		n := int(r.reconnects.Load())
		total, most, forced = total+n, max(most, n), forced+int(r.forced.Load())
		longest = max(longest, time.Duration(r.longest.Load()))
	}
	return total, most, forced, longest
}
