package signaling

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
)

// Lease is this node's claim to a stream, or to its recording. It is renewed until it is released or
// lost.
type Lease struct {
	registry   *Registry
	stream     string
	generation uint64
	lost       chan struct{}
	lose       func()    // closes lost, once
	counted    time.Time // when the counter's expiry was last put off; of the heartbeat
}

func newLease(r *Registry, stream string, generation uint64) *Lease {
	l := &Lease{registry: r, stream: stream, generation: generation, lost: make(chan struct{}), counted: time.Now()}
	l.lose = sync.OnceFunc(func() { close(l.lost) })
	return l
}

// Stream is the stream that the lease is for.
func (l *Lease) Stream() string { return l.stream }

// Generation orders the leases of one stream: a later one is higher.
func (l *Lease) Generation() uint64 { return l.generation }

// Lost is closed when someone else holds the stream, or this node has acquired
// it anew. The holder must stop: what it writes is out of date. Redis being
// unreachable does not close it, nor does Release.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the stream up. The claim of a newer holder is left alone. When
// Redis does not answer, the lease is no longer renewed and ends by itself.
func (l *Lease) Release(ctx context.Context) error {
	r := l.registry
	r.forget(l)
	return r.call(ctx, "release lease", func(ctx context.Context) error {
		_, err := readVerdict(r.releaseScript.Run(ctx, r.client, leaseKeys(l.stream), r.releaseArgs(l)...))
		return err
	})
}

// Owner is who holds a stream.
type Owner struct {
	Node       string
	Generation uint64
}

// Acquire claims stream for this node. Errors: CodeInvalid for a bad name,
// CodeStreamBusy when another node holds it, CodeUnavailable when Redis does not
// answer or the registry is closed.
//
// A node that acquires what it holds already gets a new generation, and its
// former lease is lost: so a publisher replaces its own dead session.
func (r *Registry) Acquire(ctx context.Context, stream string) (*Lease, error) {
	return r.AcquireFrom(ctx, stream, "")
}

// AcquireFrom is Acquire, but also takes the stream from one other node, which
// thereby loses it: a node that drains hands its streams over so.
func (r *Registry) AcquireFrom(ctx context.Context, stream, owner string) (*Lease, error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return nil, err
	}
	return r.acquire(ctx, stream, owner)
}

func (r *Registry) acquire(ctx context.Context, stream, owner string) (*Lease, error) {
	var v verdict
	err := r.call(ctx, "acquire lease", func(ctx context.Context) (err error) {
		v, err = readVerdict(r.acquireScript.Run(ctx, r.client, leaseKeys(stream), r.cfg.NodeID, r.cfg.LeaseTTL.Milliseconds(), genTTL.Milliseconds(), owner))
		return err
	})
	if err != nil {
		return nil, err
	}
	if !v.mine {
		detail := "the stream is published on another node"
		if strings.HasSuffix(stream, recording) {
			detail = "another node records the stream"
		}
		return nil, &sluice.Error{Code: sluice.CodeStreamBusy, Detail: detail, RetryAfter: max(v.left, time.Second)}
	}
	l := newLease(r, stream, v.gen)
	if err := r.remember(l); err != nil {
		return nil, err
	}
	return l, nil
}

// Lookup returns who holds stream. Errors: CodeInvalid, CodeNotFound when nobody
// does, CodeUnavailable.
func (r *Registry) Lookup(ctx context.Context, stream string) (Owner, error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return Owner{}, err
	}
	return r.lookup(ctx, stream)
}

func (r *Registry) lookup(ctx context.Context, stream string) (Owner, error) {
	var fields []any
	err := r.call(ctx, "look up lease", func(ctx context.Context) (err error) {
		fields, err = r.client.HMGet(ctx, leaseKeys(stream)[0], "owner", "gen").Result()
		return err
	})
	if err != nil {
		return Owner{}, err
	}
	owner, _ := fields[0].(string)
	if owner == "" {
		return Owner{}, sluice.Errorf(sluice.CodeNotFound, "no node holds the stream")
	}
	gen, _ := fields[1].(string)
	n, err := strconv.ParseUint(gen, 10, 64)
	if err != nil {
		return Owner{}, fmt.Errorf("lease of %s: %w", stream, err)
	}
	return Owner{Node: owner, Generation: n}, nil
}

// remember starts renewing l, and lets go of the node's former lease of the same
// stream.
//
// When the registry was closed meanwhile, l is not renewed and ends by itself.
func (r *Registry) remember(l *Lease) error {
	r.mu.Lock()
	former := r.leases[l.stream]
	closed := r.closed
	switch {
	case closed:
	case former == nil || former.generation < l.generation:
		r.leases[l.stream] = l
	default: // a concurrent call acquired later and was here first
		former = l
	}
	r.mu.Unlock()
	if closed {
		return unavailable("this node is shutting down", nil)
	}
	if former != nil {
		former.lose()
	}
	return nil
}

// forget stops renewing l and reports whether it was renewed until now.
func (r *Registry) forget(l *Lease) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leases[l.stream] != l {
		return false
	}
	delete(r.leases, l.stream)
	return true
}

func (r *Registry) held() []*Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	leases := make([]*Lease, 0, len(r.leases))
	for _, l := range r.leases {
		leases = append(leases, l)
	}
	return leases
}

func (r *Registry) releaseArgs(l *Lease) []any {
	return []any{r.cfg.NodeID, l.generation, genTTL.Milliseconds()}
}

// renew extends some leases in one exchange, two commands for each, and returns
// those that do not stand. Plain commands do for one that does; only the others need
// the script (settle). Should another node take the lease between the commands, its
// own time is extended once, which harms nobody.
//
// Of a Redis Cluster, some may not answer: their leases are left as they are.
func (r *Registry) renew(ctx context.Context, leases []*Lease) (fallen []*Lease, err error) {
	held := make([]*redis.SliceCmd, len(leases))
	extended := make([]*redis.BoolCmd, len(leases))
	now := time.Now()
	err = r.try(ctx, "renew leases", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, l := range leases {
				keys := leaseKeys(l.stream)
				held[i] = p.HMGet(ctx, keys[0], "owner", "gen")
				extended[i] = p.PExpire(ctx, keys[0], r.cfg.LeaseTTL)
				if now.Sub(l.counted) > genTTL/8 {
					p.PExpire(ctx, keys[1], genTTL)
					l.counted = now
				}
			}
			return nil
		})
		if slices.ContainsFunc(held, func(c *redis.SliceCmd) bool { return c.Err() == nil || answered(c.Err()) }) {
			return nil // one key is spoiled, or in a part that is away; the others count
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, l := range leases {
		if err := held[i].Err(); err != nil && !answered(err) {
			continue
		}
		if !extended[i].Val() || !l.is(held[i].Val()) {
			fallen = append(fallen, l)
		}
	}
	return fallen, nil
}

// is reports whether owner and generation in Redis are those of l.
func (l *Lease) is(held []any) bool {
	return len(held) == 2 && held[0] == l.registry.cfg.NodeID && held[1] == strconv.FormatUint(l.generation, 10)
}

// settle asserts leases that do not stand in Redis, in one exchange, and ends those
// to which someone else has a better claim. One by one, the first would have run
// out again before the last is written.
func (r *Registry) settle(ctx context.Context, leases []*Lease) error {
	verdicts := make([]*redis.Cmd, len(leases))
	err := r.try(ctx, "assert leases", func(ctx context.Context) error {
		_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, l := range leases { // by its text, as a pipeline cannot load a script that is missing
				verdicts[i] = r.renewScript.Eval(ctx, p, leaseKeys(l.stream), r.cfg.NodeID, l.generation, r.cfg.LeaseTTL.Milliseconds(), genTTL.Milliseconds())
			}
			return nil
		})
		if answered(err) {
			return nil // one key is spoiled; the others count
		}
		return err
	})
	for i, l := range leases {
		v, bad := readVerdict(verdicts[i])
		switch {
		case answered(bad), bad != nil && err == nil && !r.sharded:
			r.log.Warn("stream lease cannot be renewed", "stream", l.stream, "err", bad)
		case bad != nil: // of a part that is away, or err says why
		case !v.mine && r.forget(l):
			r.losses.Add(1)
			r.log.Warn("stream lease lost", "stream", l.stream, "owner", v.owner, "generation", v.gen)
			l.lose()
		}
	}
	return err
}

// parseVerdict reads a script's answer: what Redis holds may have been written by
// anyone.
func parseVerdict(fields []string) (verdict, error) {
	if len(fields) < 3 {
		return verdict{}, fmt.Errorf("lease script answered %d fields", len(fields))
	}
	gen, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		return verdict{}, fmt.Errorf("generation: %w", err)
	}
	v := verdict{mine: fields[0] == "1", owner: fields[1], gen: gen}
	if len(fields) > 3 {
		if ms, err := strconv.ParseInt(fields[3], 10, 32); err == nil && ms > 0 {
			v.left = time.Duration(ms) * time.Millisecond
		}
	}
	return v, nil
}
