package node

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice/signaling"
)

// cluster is this node's place among others: its Redis, its record, and its
// claims to streams.
type cluster struct {
	id       string
	embedded *signaling.Embedded // nil when redis.url is set
	client   redis.UniversalClient
	registry *signaling.Registry
	journal  *signaling.Journal
	log      *slog.Logger
	watching sync.WaitGroup // goroutines of hold
	relays   *relays        // nil on a node alone

	mu     sync.Mutex
	claims map[string]*claim // by stream
}

// claim is the lease of a stream that publishers on this node share: which of
// them may publish is the media plane's decision.
type claim struct {
	uses  int           // guarded by cluster.mu
	ready chan struct{} // closed when lease and err are set
	lease *signaling.Lease
	err   error
}

func (c *claim) lost() bool {
	select {
	case <-c.ready:
	default:
		return false
	}
	if c.err != nil {
		return true
	}
	select {
	case <-c.lease.Lost():
		return true
	default:
		return false
	}
}

// openCluster connects to Redis, or starts one, and signs on.
func (n *Node) openCluster() error {
	c := &cluster{id: n.config.Node.ID, log: n.log, claims: map[string]*claim{}}
	if c.id == "" {
		c.id = "node-" + strings.ToLower(rand.Text()[:8])
	}
	n.cluster = c
	url := string(n.config.Redis.URL)
	if url == "" {
		var err error
		if c.embedded, err = signaling.NewEmbedded(); err != nil {
			return err
		}
		url = c.embedded.URL()
	}
	var err error
	if c.client, err = signaling.Connect(context.Background(), url); err != nil {
		return err
	}
	c.registry, err = signaling.NewRegistry(c.client, signaling.Config{
		NodeID: c.id, Region: n.config.Node.Region, URL: n.config.HTTP.PublicURL,
		Describe: n.describe, Order: n.obey,
	}, n.log)
	if err != nil {
		return err
	}
	if c.journal, err = signaling.NewJournal(c.client, c.id, n.log); err != nil {
		return err
	}
	if c.embedded == nil {
		n.place = newPlacer(c.id, n.config.Node.Region, c.registry)
	}
	return errors.Join(
		n.metrics.CounterFunc("sluice_lease_losses_total", "Streams that another node has taken from this one.", nil,
			func() float64 { return float64(c.registry.LeaseLosses()) }),
		n.metrics.GaugeFunc("sluice_leases", "Streams whose lease this node holds.", nil,
			func() float64 { return float64(c.registry.Leases()) }),
		n.metrics.GaugeFunc("sluice_redis_up", "1 while Redis answers.", nil, func() float64 {
			if c.registry.Err() != nil {
				return 0
			}
			return 1
		}),
	)
}

// generation is that of this node's lease of a stream, 0 when it has none.
func (c *cluster) generation(stream string) uint64 {
	c.mu.Lock()
	held := c.claims[stream]
	c.mu.Unlock()
	if held == nil {
		return 0
	}
	select {
	case <-held.ready:
	default:
		return 0
	}
	if held.err != nil {
		return 0
	}
	return held.lease.Generation()
}

// take claims stream for this node. The caller gives the claim back.
func (c *cluster) take(ctx context.Context, stream string) (*claim, error) {
	return c.takeFrom(ctx, stream, "")
}

// takeFrom is take, but takes the stream from another node if need be.
func (c *cluster) takeFrom(ctx context.Context, stream, owner string) (*claim, error) {
	c.mu.Lock()
	held, ok := c.claims[stream]
	if !ok || held.lost() {
		ok = false
		held = &claim{ready: make(chan struct{})}
		c.claims[stream] = held
	}
	held.uses++
	c.mu.Unlock()
	if !ok {
		// Others may wait for this answer, so it does not end with this caller.
		held.lease, held.err = c.registry.AcquireFrom(context.WithoutCancel(ctx), stream, owner)
		close(held.ready)
	}
	select {
	case <-held.ready:
	case <-ctx.Done():
		c.give(stream, held)
		return nil, ctx.Err()
	}
	if held.err != nil {
		c.give(stream, held)
		return nil, held.err
	}
	return held, nil
}

// give gives a claim back; the last user releases the lease.
func (c *cluster) give(stream string, held *claim) {
	c.mu.Lock()
	held.uses--
	last := held.uses == 0
	if last && c.claims[stream] == held {
		delete(c.claims, stream)
	}
	c.mu.Unlock()
	if !last {
		return
	}
	<-held.ready
	if held.err != nil {
		return
	}
	if err := held.lease.Release(context.Background()); err != nil {
		c.log.Warn("lease is not released and will expire", "stream", stream, "err", err)
	}
}

// published is a publisher's session as far as its lease is concerned.
type published interface {
	Done() <-chan struct{}
	Close(reason string)
	Watched() bool // viewers still see what it sends
}

// hold keeps the claim until the session ends, and ends the session when the
// lease is lost.
func (c *cluster) hold(stream string, held *claim, session published) {
	c.watching.Go(func() {
		select {
		case <-session.Done():
		case <-held.lease.Lost():
			if c.relays != nil && c.relays.succeed(stream) == nil {
				drain(c.relays.ctx, session)
			}
			session.Close("another node has taken the stream")
		}
		c.give(stream, held)
		if c.relays != nil {
			c.relays.seek(stream)
		}
	})
}

// close waits until every claim is given back, which the end of all sessions
// brings about, and signs off.
func (c *cluster) close(ctx context.Context) error {
	c.watching.Wait()
	var errs []error
	if c.journal != nil {
		c.journal.Close()
	}
	if c.registry != nil {
		errs = append(errs, c.registry.Close(ctx))
	}
	if c.client != nil {
		errs = append(errs, c.client.Close())
	}
	if c.embedded != nil {
		c.embedded.Close()
	}
	return errors.Join(errs...)
}
