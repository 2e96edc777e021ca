package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Progress is what a run tells while it goes on.
type Progress struct {
	Elapsed   time.Duration
	Phase     string // "publishing", "joining", "measuring", "leaving"
	Connected int
	Failed    int
	Wanted    int
	Packets   uint64 // received since the start
	Bytes     uint64
}

// run is one run.
type run struct {
	cfg      Config
	http     *http.Client
	identity identity
	reactors []*reactor
	tallies  []*tally
	client   process
	server   *process // nil without a PID

	started    time.Time
	phase      atomic.Value // string
	wanted     atomic.Int64
	connected  atomic.Int64
	publishers []*publisher
	idleRSS    int64         // of the server, before viewers
	joinCPU    time.Duration // of the server, until all viewers have joined

	mu      sync.Mutex
	viewers []*viewer // that have joined
	errors  map[string]int
	failed  int
	srtp    map[string]int
}

// leaving bounds how long sessions take to end.
const leaving = 20 * time.Second

// Run loads the server and reports. progress, when not nil, is called about
// once a second from another goroutine. When ctx ends early, what was measured
// until then is reported.
func Run(ctx context.Context, cfg Config, progress func(Progress)) (_ *Report, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &run{
		cfg: cfg, client: newProcess(os.Getpid()), errors: map[string]int{}, srtp: map[string]int{}, started: time.Now(),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: 30 * time.Second}},
	}
	r.phase.Store("publishing")
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	if err := r.open(); err != nil {
		return nil, err
	}
	if progress != nil {
		stop := r.tell(progress)
		defer stop()
	}
	if err := r.publish(ctx); err != nil {
		return nil, err
	}
	if r.server != nil {
		if r.idleRSS, err = r.server.resident(); err != nil {
			return nil, fmt.Errorf("the server's process: %w", err)
		}
	}
	r.phase.Store("joining")
	if cfg.Search.Step > 0 {
		return r.search(ctx)
	}
	if err := r.spend(func() error { return r.join(ctx, cfg.Viewers) }); err != nil {
		return nil, err
	}
	r.phase.Store("measuring")
	return r.measure(ctx), nil
}

func (r *run) open() error {
	var err error
	if r.identity, err = newIdentity(); err != nil {
		return err
	}
	for range max(r.cfg.Reading.Readers, 1) {
		reactor, err := newReactor(r.cfg.Reading)
		if err != nil {
			return err
		}
		r.reactors = append(r.reactors, reactor)
		r.tallies = append(r.tallies, &tally{})
	}
	if r.cfg.PID > 0 {
		p := newProcess(r.cfg.PID)
		r.server = &p
	}
	return nil
}

// tell calls progress until the returned function is called.
func (r *run) tell(progress func(Progress)) (stop func()) {
	quit := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				progress(r.progress())
			}
		}
	})
	return func() { close(quit); told.Wait() }
}

func (r *run) progress() Progress {
	p := Progress{
		Elapsed: time.Since(r.started), Phase: r.phase.Load().(string),
		Connected: int(r.connected.Load()), Wanted: int(r.wanted.Load()),
	}
	for _, t := range r.tallies {
		p.Packets += t.packets.Load()
		p.Bytes += t.bytes.Load()
	}
	r.mu.Lock()
	p.Failed = r.failed
	r.mu.Unlock()
	return p
}

// publish starts the publishers and waits until each sends.
func (r *run) publish(ctx context.Context) error {
	for n := range r.cfg.Publishers {
		side, err := newSide(ctx, r.cfg.Target.whip(n, r.cfg.Publishers), r.cfg.Target.Token, r.http, r.identity)
		if err != nil {
			return err
		}
		p := &publisher{peer: peer{side: side, reactor: r.reactors[0]}}
		r.publishers = append(r.publishers, p)
		if err := p.publish(ctx, r.cfg, rand.Uint32()); err != nil {
			return fmt.Errorf("publisher %d: %w", n+1, err)
		}
	}
	return nil
}

// spend notes what a part of the run costs the server.
func (r *run) spend(part func() error) error {
	if r.server == nil {
		return part()
	}
	from, err := r.server.cpu()
	if err != nil {
		return fmt.Errorf("the server's process: %w", err)
	}
	if err := part(); err != nil {
		return err
	}
	to, err := r.server.cpu()
	r.joinCPU = to - from
	return err
}

// join adds n viewers at the ramp's rate, and returns when each has joined or
// failed.
func (r *run) join(ctx context.Context, n int) error {
	streams := max(r.cfg.Publishers, 1)
	sides := make([]*side, streams)
	for i := range sides {
		var err error
		if sides[i], err = newSide(ctx, r.cfg.Target.whep(i, r.cfg.Publishers), r.cfg.Target.Token, r.http, r.identity); err != nil {
			return err
		}
	}
	first := int(r.wanted.Load())
	var joining sync.WaitGroup
	defer joining.Wait()
	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		if r.cfg.Ramp > 0 {
			timer.Reset(time.Until(begun.Add(time.Duration(float64(i) / float64(r.cfg.Ramp) * float64(time.Second)))))
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		index := first + i
		v := &viewer{
			peer:  peer{side: sides[index%streams], reactor: r.reactors[index%len(r.reactors)]},
			probe: r.cfg.probes(index), codec: r.cfg.Codec, feedback: r.cfg.Feedback, tally: r.tallies[index%len(r.reactors)],
		}
		r.wanted.Add(1)
		joining.Go(func() { r.admit(ctx, v) })
	}
	return nil
}

// admit joins one viewer and notes how it went.
func (r *run) admit(ctx context.Context, v *viewer) {
	err := v.join(ctx, rand.Uint32())
	if err != nil {
		leaveCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
		defer cancel()
		_ = v.leave(leaveCtx) // the first error counts
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed++
		r.errors[err.Error()]++
		return
	}
	r.connected.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.viewers = append(r.viewers, v)
	r.srtp[v.profile]++
}

// leaversAtOnce are the sessions that are ended at the same time.
const leaversAtOnce = 64

// close ends all sessions and frees everything.
func (r *run) close(ctx context.Context) error {
	r.phase.Store("leaving")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	slots := make(chan struct{}, leaversAtOnce)
	var leavers sync.WaitGroup
	for _, v := range r.viewers {
		slots <- struct{}{}
		leavers.Go(func() {
			_ = v.leave(ctx) // the server may have ended it
			<-slots
		})
	}
	leavers.Wait()
	for _, p := range r.publishers {
		_ = p.leave(ctx)
	}
	r.http.CloseIdleConnections()
	var errs []error
	for _, reactor := range r.reactors {
		errs = append(errs, reactor.close())
	}
	return errors.Join(errs...)
}
