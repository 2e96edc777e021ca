package signaling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
)

// DefaultLeaseTTL is how long the cluster takes a silent node's streams for its own.
// It leaves a publisher that asks again and again time to be taken within 3 s.
const DefaultLeaseTTL = 2800 * time.Millisecond

// beatsPerLease makes a heartbeat a second of the default.
const beatsPerLease = 2.8

// beat is the time between two heartbeats.
func (c Config) beat() time.Duration { return time.Duration(float64(c.LeaseTTL) / beatsPerLease) }

// batch is how many leases are renewed in one exchange.
const batch = 100

// settleBatch is how many leases are written anew in one: each is a script.
const settleBatch = 25

// Config configures a Registry.
type Config struct {
	NodeID string // 1 to 64 of [A-Za-z0-9._-], unique in the cluster
	Region string // where it is, of the same characters; "": "default"
	URL    string // where other nodes and clients reach this one; see SetURL
	// Describe fills in what the node says of itself beside ID, Region, URL and
	// clocks. It is called at each heartbeat, must not block and may be nil.
	Describe func(*Node)
	// Order takes what operators ask of this node through Redis. It is called by
	// the heartbeat, must not block and may be nil.
	Order func(Order)
	// LeaseTTL is how long a lease lasts without renewal; a node's record lasts
	// twice as long, and both are renewed 2.8 times per LeaseTTL.
	// 0: DefaultLeaseTTL; at least 30 ms.
	LeaseTTL time.Duration
}

// Validate returns what is wrong with c.
func (c Config) Validate() error {
	if err := checkNodeID(c.NodeID); err != nil {
		return err
	}
	if c.Region != "" && checkNodeID(c.Region) != nil {
		return fmt.Errorf("signaling: region %q is not 1 to 64 letters, digits, '.', '_' and '-'", c.Region)
	}
	if c.LeaseTTL != 0 && c.LeaseTTL < 30*time.Millisecond {
		return fmt.Errorf("signaling: lease time %s is under 30ms", c.LeaseTTL)
	}
	return nil
}

// Registry keeps this node's record and leases in Redis and reads the others'.
type Registry struct {
	client        redis.UniversalClient
	cfg           Config
	log           *slog.Logger
	acquireScript *redis.Script
	renewScript   *redis.Script
	releaseScript *redis.Script
	started       time.Time

	sharded bool // one part of Redis may be away while the others answer

	url     atomic.Pointer[string]
	losses  atomic.Uint64
	census  atomic.Pointer[map[string]Census]
	failure atomic.Pointer[error] // why Redis is away; nil while it answers

	kick   chan struct{} // asks for a heartbeat now
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	mu     sync.Mutex
	leases map[string]*Lease // by stream
	closed bool
}

// NewRegistry returns a registry and starts its heartbeat. The caller keeps
// client, and closes it after the registry.
func NewRegistry(client redis.UniversalClient, cfg Config, log *slog.Logger) (*Registry, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = DefaultLeaseTTL
	}
	if cfg.Region == "" {
		cfg.Region = "default"
	}
	if cfg.Describe == nil {
		cfg.Describe = func(*Node) {}
	}
	if cfg.Order == nil {
		cfg.Order = func(Order) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{
		client:        client,
		cfg:           cfg,
		log:           log,
		acquireScript: redis.NewScript(acquireLua),
		renewScript:   redis.NewScript(renewLua),
		releaseScript: redis.NewScript(releaseLua),
		started:       time.Now(),
		kick:          make(chan struct{}, 1),
		cancel:        cancel,
		done:          make(chan struct{}),
		leases:        map[string]*Lease{},
	}
	_, r.sharded = client.(*redis.ClusterClient)
	r.url.Store(&cfg.URL)
	r.census.Store(&map[string]Census{})
	go r.run(ctx)
	return r, nil
}

func (r *Registry) run(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(r.cfg.beat())
	defer tick.Stop()
	for {
		r.heartbeat(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.kick:
		}
	}
}

// heartbeat writes the node's record and renews its leases. It runs whether or
// not Redis answered the last time, and so finds out when Redis is back.
func (r *Registry) heartbeat(ctx context.Context) {
	err := r.writeNode(ctx)
	if err == nil || r.sharded { // the leases may be where Redis does answer
		err = r.renewAll(ctx, err)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.away(err)
	case r.failure.Swap(nil) != nil:
		r.log.Info("redis is back")
		fallthrough
	default:
		r.count(ctx)
	}
}

// renewAll renews every lease. former is the error of the exchange before: the
// answer is nil when one of them all succeeded.
//
// Those that stand come before those that must be written anew, and what a beat is
// too short for is left for the next heartbeat: otherwise the first would run out
// again before the last is written, where there are many or Redis is slow.
func (r *Registry) renewAll(ctx context.Context, former error) error {
	began := time.Now()
	var fallen []*Lease
	for some := range slices.Chunk(r.held(), batch) {
		down, err := r.renew(ctx, some)
		if err != nil && (former != nil || !r.sharded) {
			return err
		}
		if err == nil {
			former = nil
		}
		fallen = append(fallen, down...)
	}
	for some := range slices.Chunk(fallen, settleBatch) {
		if err := r.settle(ctx, some); err != nil && !r.sharded {
			return err
		}
		if time.Since(began) > r.cfg.beat() {
			break
		}
	}
	return former
}

// Err returns why Redis is away, nil while it answers. Running streams do not
// depend on it, so neither should a node's readiness.
func (r *Registry) Err() error {
	if err := r.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Uptime is how long the node has run.
func (r *Registry) Uptime() time.Duration { return time.Since(r.started) }

// Leases returns how many streams this node holds.
func (r *Registry) Leases() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for name := range r.leases {
		if !strings.HasSuffix(name, recording) {
			n++
		}
	}
	return n
}

// LeaseLosses returns how many leases other nodes have taken from this one.
func (r *Registry) LeaseLosses() uint64 { return r.losses.Load() }

// Beat asks for a heartbeat now, because what the node says of itself has changed.
func (r *Registry) Beat() {
	select {
	case r.kick <- struct{}{}:
	default: // one is asked for already
	}
}

// Close releases all leases, removes the node's record and ends the heartbeat.
// It does not close the client. After it Acquire fails. The error says that the
// others will notice only when the record expires.
func (r *Registry) Close(ctx context.Context) error {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	<-r.done
	if again {
		return nil
	}
	leases := r.held()
	for _, l := range leases {
		r.forget(l)
	}
	return r.call(ctx, "sign off", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, l := range leases {
				p.Eval(ctx, releaseLua, leaseKeys(l.stream), r.releaseArgs(l)...)
			}
			p.Del(ctx, nodeKey(r.cfg.NodeID))
			p.HDel(ctx, regionKey(r.cfg.Region), r.cfg.NodeID)
			return nil
		})
		return err
	})
}

// call runs f against Redis unless Redis is known to be away: then it fails at
// once instead of making every caller wait. One call without an answer is enough
// for that; of a Redis Cluster, a heartbeat that no part of it has answered. The
// heartbeat also finds out when Redis is back.
func (r *Registry) call(ctx context.Context, what string, f func(context.Context) error) error {
	if err := r.Err(); err != nil {
		return unavailable(what, err)
	}
	return r.try(ctx, what, f)
}

func (r *Registry) try(ctx context.Context, what string, f func(context.Context) error) error {
	began := time.Now()
	err := limited(ctx, f)
	if late := time.Since(began) > callTimeout+stoodStill; late && err != nil && !answered(err) && ctx.Err() == nil {
		err = limited(ctx, f)
	}
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return nil
	case ctx.Err() != nil: // the caller gave up: no news about Redis
		return fmt.Errorf("%s: %w", what, err)
	case !answered(err) && !r.sharded:
		r.away(err)
	}
	return unavailable(what, err)
}

// limited runs f for callTimeout at most.
func limited(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f(ctx)
}

// away notes that Redis cannot be used, and says so once.
func (r *Registry) away(err error) {
	if r.failure.Swap(&err) == nil {
		r.log.Error("redis cannot be used; running streams go on", "err", err)
	}
}

// answered reports whether err is Redis's own reply: it is there, and refuses.
func answered(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

func unavailable(what string, cause error) *sluice.Error {
	if cause != nil {
		cause = fmt.Errorf("%s: %w", what, cause)
		what = "the directory of streams does not answer"
	}
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: what, RetryAfter: 2 * time.Second, Err: cause}
}
