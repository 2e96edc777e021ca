package node

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/overload"
	"github.com/sluice-live/sluice/sfu"
)

// governInterval is how often a node measures itself.
const governInterval = time.Second

// governor measures what the node carries, and decides how far it goes to carry
// it. It runs one goroutine.
type governor struct {
	capacity CapacityConfig
	config   overload.Config
	counters func() sfu.Counters
	// platform is the share of the platform's cap that all nodes use together.
	platform func() float64
	apply    func(before, now sluice.Step)
	log      *slog.Logger

	cancel context.CancelFunc
	done   chan struct{}

	changes [sluice.StepRefuse + 1]atomic.Uint64 // to each step

	mu      sync.Mutex
	load    sluice.NodeLoad
	step    sluice.Step
	stepped chan struct{} // closed when there is another step
}

// start measures until stop.
func (g *governor) start() {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.done = cancel, make(chan struct{})
	go g.run(ctx)
}

func (g *governor) stop() {
	if g.cancel == nil {
		return // never started
	}
	g.cancel()
	<-g.done
}

func (g *governor) run(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(governInterval)
	defer tick.Stop()
	var state overload.State
	began := time.Now()
	last := reading{at: began, cpu: processTime(), sent: sent(g.counters())}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := reading{at: time.Now(), cpu: processTime(), sent: sent(g.counters())}
		load := now.since(last, g.counters())
		last = now
		g.take(load, state.Decide(g.facts(now.at.Sub(began), load), g.config))
	}
}

// reading is of counters that only grow.
type reading struct {
	at   time.Time
	cpu  time.Duration
	sent uint64
}

// sent is what goes out of the node: to viewers and to other nodes.
func sent(c sfu.Counters) uint64 {
	return c.BytesOut[sfu.Video] + c.BytesOut[sfu.Audio] + c.RelayedOut
}

func (r reading) since(last reading, c sfu.Counters) sluice.NodeLoad {
	wall := r.at.Sub(last.at).Seconds() // monotonic
	if wall <= 0 {
		wall = governInterval.Seconds()
	}
	return withCounts(c, sluice.NodeLoad{
		CPU:  (r.cpu - last.cpu).Seconds() / wall / float64(runtime.GOMAXPROCS(0)),
		Mbps: float64(r.sent-last.sent) * 8 / 1e6 / wall,
	})
}

// withCounts returns load with what is here now.
func withCounts(c sfu.Counters, load sluice.NodeLoad) sluice.NodeLoad {
	load.Streams, load.Publishers, load.Viewers, load.Relays = int(c.StreamsNow), int(c.PublishersNow), int(c.ViewersNow), int(c.RelaysNow)
	return load
}

func (g *governor) facts(now time.Duration, load sluice.NodeLoad) overload.Facts {
	f := overload.Facts{Now: now, CPU: load.CPU * 100 / float64(g.capacity.CPU), Platform: g.platform()}
	if g.capacity.Mbps > 0 {
		f.Egress = load.Mbps / float64(g.capacity.Mbps)
	}
	return f
}

func (g *governor) take(load sluice.NodeLoad, step sluice.Step) {
	g.mu.Lock()
	before := g.step
	g.load, g.step = load, step
	if before != step {
		close(g.stepped)
		g.stepped = make(chan struct{})
	}
	g.mu.Unlock()
	if before == step {
		return
	}
	g.changes[step].Add(1)
	level := slog.LevelWarn
	if step < before {
		level = slog.LevelInfo
	}
	g.log.Log(context.Background(), level, "overload step", "step", step.String(), "before", before.String(),
		"cpu", fmt.Sprintf("%.2f", load.CPU), "mbps", fmt.Sprintf("%.1f", load.Mbps))
	g.apply(before, step)
}

// now returns what the node carries, its CPU and Mbit/s as of the last second, and
// the step.
func (g *governor) now() (sluice.NodeLoad, sluice.Step) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return withCounts(g.counters(), g.load), g.step
}

// watch returns the step, and a channel that is closed when there is another.
func (g *governor) watch() (sluice.Step, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.step, g.stepped
}
