package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

const (
	// searchInterval is how often a lost publisher is looked for, and slowInterval
	// after searchLong.
	searchInterval = 150 * time.Millisecond
	searchLong     = 10 * time.Second
	slowInterval   = time.Second
	// edgeSample is how many of a stream's edges are looked at for a parent, and
	// maxTries how many of them are asked.
	edgeSample = 24
	maxTries   = 5
	// badTime is how long a node that did not answer is left out, unless the
	// stream's lease changes.
	badTime = 3 * time.Second
	// steadyTime is how long a link has to last for the next one to be made at
	// once, and maxPause the longest rest before one.
	steadyTime = 5 * time.Second
	maxPause   = 2 * time.Second
)

// pace keeps links that end soon after they began from following each other
// without rest: two nodes that do not agree about a stream may not keep each other
// busy, whatever the reason. The zero value is ready.
type pace struct{ pause time.Duration }

// ended notes how long a link has lasted, and returns how long to rest before the
// next one.
func (p *pace) ended(lasted time.Duration) time.Duration {
	if lasted >= steadyTime {
		p.pause = 0
		return 0
	}
	rest := p.pause
	p.pause = min(max(2*p.pause, searchInterval), maxPause)
	return rest
}

// pull is a stream on its way from another node to this one, through one link
// after the other.
type pull struct {
	relays *relays
	stream string
	over   bool          // takes the place of this node's own publisher, whose lease is lost
	found  bool          // it has had a publisher, and looks for it until the stream ends
	ready  chan struct{} // closed when the first link is there or has failed
	err    error         // then

	link   atomic.Pointer[link] // nil while it looks for one
	bad    map[badNode]time.Time
	owner  signaling.Owner  // when Redis answered last, and the nodes that had the stream
	listed []signaling.Edge // then
}

// badNode is a node that did not answer, while a lease lasts.
type badNode struct {
	node  string
	lease uint64
}

func newPull(r *relays, stream string, found bool) *pull {
	p := &pull{relays: r, stream: stream, found: found, ready: make(chan struct{}), bad: map[badNode]time.Time{}}
	if found {
		close(p.ready)
	}
	return p
}

// run pulls until nobody needs the stream here, or it has ended.
func (p *pull) run() {
	defer p.relays.withdraw(p.stream)
	defer p.relays.forget(p)
	ctx := p.relays.ctx
	var l *link
	var pace pace
	if !p.found {
		l, p.err = p.find(ctx, nil)
		p.found = true
		close(p.ready)
		if p.err != nil {
			return
		}
	}
	for {
		if l == nil {
			if l = p.search(ctx); l == nil {
				return
			}
		}
		switch l.hold(ctx) {
		case linkUnneeded:
			p.link.Store(nil)
			l.close("the stream is not pulled any more")
			if p.finished() || !sleep(ctx, pace.ended(time.Since(l.began))) {
				return
			}
			l = nil // somebody has come at the last moment
		case linkStale:
			next, err := p.find(ctx, l)
			if err != nil {
				l.postpone(err)
				continue
			}
			p.relays.reparented.Add(1)
			old := l
			p.relays.running.Go(func() {
				drain(ctx, old.media)
				old.close("replaced by another relay")
			})
			l = next
			l.until = time.Now().Add(pace.ended(time.Since(old.began)))
		case linkBroken:
			p.link.Store(nil)
			p.relays.reparented.Add(1)
			l.close("the relay is broken")
			if !sleep(ctx, pace.ended(time.Since(l.began))) {
				return
			}
			l = nil
		}
	}
}

// drainTime is how long a replaced publisher or relay is kept for viewers that wait
// for a keyframe of the new one.
const drainTime = 3 * time.Second

// drain waits until nobody sees what a replaced publisher sends.
func drain(ctx context.Context, old interface{ Watched() bool }) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for old.Watched() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// search looks for the stream until it is found; nil when it has ended, or has
// got a publisher here.
func (p *pull) search(ctx context.Context) *link {
	began := time.Now()
	for {
		if p.finished() {
			return nil
		}
		l, err := p.find(ctx, nil)
		if err == nil {
			return l
		}
		p.relays.log.Debug("look for the stream", "stream", p.stream, "err", err)
		interval := searchInterval
		if time.Since(began) > searchLong {
			interval = slowInterval
		}
		if !sleep(ctx, interval+rand.N(interval/4)) {
			return nil
		}
	}
}

// sleep reports whether so much time has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// finished reports whether there is nothing to look for: the publisher is here, or
// nobody needs the stream.
func (p *pull) finished() bool {
	snapshot, _ := p.relays.media.Stream(p.stream)
	return snapshot.Publisher != nil && !snapshot.Relayed || p.relays.media.Unused(p.stream)
}

// find links to a node that has the stream, and puts the link in the place of old
// when that is given: without a gap when old still works.
func (p *pull) find(ctx context.Context, old *link) (*link, error) {
	parents, err := p.parents(ctx, old)
	if err != nil {
		return nil, err
	}
	last := error(&sluice.Error{Code: sluice.CodeStreamOffline, Detail: "nobody publishes this stream", RetryAfter: 2 * time.Second})
	for _, parent := range parents[:min(len(parents), maxTries)] {
		l, err := p.try(ctx, parent, old)
		if err == nil {
			p.link.Store(l)
			p.relays.tell(p.stream)
			return l, nil
		}
		if _, taken := errors.AsType[takenError](err); taken || ctx.Err() != nil {
			return nil, err
		}
		p.relays.failed.Add(1)
		p.relays.log.Debug("pull from node", "stream", p.stream, "node", parent.Node, "err", err)
		if e, ok := errors.AsType[*sluice.Error](err); ok && (e.Code == sluice.CodeStreamOffline || e.Code == sluice.CodeUnavailable) {
			last = e // it is there, and says why not
			continue
		}
		p.bad[badNode{parent.Node, parent.Lease}] = time.Now().Add(badTime)
		last = &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node that has the stream does not answer", RetryAfter: time.Second, Err: err}
	}
	return nil, last
}

// parents lists the nodes to pull from, the best first: of this region before
// others, near the origin before far from it, and at last the origin itself.
func (p *pull) parents(ctx context.Context, old *link) ([]signaling.Edge, error) {
	r := p.relays
	owner, listed, err := p.lookup(ctx)
	switch {
	case sluice.CodeOf(err) == sluice.CodeNotFound || err == nil && owner.Node == r.self:
		p.listed = nil
		return nil, &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "nobody publishes this stream", RetryAfter: 2 * time.Second}
	case err == nil:
		p.owner, p.listed = owner, listed
	case sluice.CodeOf(err) == sluice.CodeUnavailable && p.listed != nil:
		owner, listed = p.owner, p.listed // those of before may have it still: a parent is asked itself
	default:
		return nil, err
	}
	now := time.Now()
	edges := slices.DeleteFunc(slices.Clone(listed), func(e signaling.Edge) bool {
		origin := e.Node == owner.Node
		return e.Node == r.self || e.Lease != owner.Generation || e.Depth >= r.cfg.MaxHops || e.Free == 0 && !origin ||
			now.Before(p.bad[badNode{e.Node, e.Lease}]) || old != nil && old.leaving() && e.Node == old.node
	})
	for b, until := range p.bad {
		if now.After(until) {
			delete(p.bad, b)
		}
	}
	rank := func(e signaling.Edge) int {
		rank := e.Depth
		if e.Region != r.region {
			rank += 2 * r.cfg.MaxHops
		}
		if e.Free == 0 {
			rank += 4 * r.cfg.MaxHops
		}
		return rank
	}
	rand.Shuffle(len(edges), func(i, j int) { edges[i], edges[j] = edges[j], edges[i] })
	slices.SortStableFunc(edges, func(a, b signaling.Edge) int { return rank(a) - rank(b) })
	return edges, nil
}

// lookup returns who holds the stream, and the nodes that have it: its edges and
// the owner itself.
func (p *pull) lookup(ctx context.Context) (signaling.Owner, []signaling.Edge, error) {
	r := p.relays.registry
	owner, err := r.Lookup(ctx, p.stream)
	if err != nil || owner.Node == p.relays.self {
		return owner, nil, err
	}
	edges, err := r.Edges(ctx, p.stream, edgeSample)
	if err != nil {
		return owner, nil, err
	}
	if !slices.ContainsFunc(edges, func(e signaling.Edge) bool { return e.Node == owner.Node && e.Lease == owner.Generation }) {
		url, err := r.NodeURL(ctx, owner.Node)
		if err != nil {
			return owner, nil, err
		}
		edges = slices.DeleteFunc(edges, func(e signaling.Edge) bool { return e.Node == owner.Node })
		edges = append(edges, signaling.Edge{Node: owner.Node, URL: url, Free: 1, Lease: owner.Generation})
	}
	return owner, edges, nil
}
