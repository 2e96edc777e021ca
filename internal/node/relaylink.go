package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu"
	"github.com/sluice-live/sluice/signaling"
	"github.com/sluice-live/sluice/whep/relay"
)

const (
	// linkCheck is how often a link is looked at.
	linkCheck = 100 * time.Millisecond
	// stoodStill is how long no link may have been looked at until this node is taken
	// to have stood still itself.
	stoodStill = 500 * time.Millisecond
	// A link is broken when neither news nor media have come for this long, or no
	// news alone for deafTime.
	newsTimeout  = 1500 * time.Millisecond
	mediaTimeout = time.Second
	deafTime     = 5 * time.Second
	// pausedTime is how long a stream may be without a publisher before a new home
	// of it is looked for, each lookInterval: the other node looks too.
	pausedTime   = 700 * time.Millisecond
	lookInterval = 500 * time.Millisecond
	// readyTime is how long a new link may take until it can replace one that
	// works.
	readyTime = 2 * time.Second
	// viewersInterval is the least time between two counts of viewers.
	viewersInterval = time.Second
	// postponed is how long after a failure to replace a link it is tried again.
	postponed = 500 * time.Millisecond
	// endTime is how long the other node may take to hear that a link ends.
	endTime = 500 * time.Millisecond
)

// takenError says that the stream has got a publisher on this node meanwhile.
type takenError struct{ told *sluice.Error }

// Error implements error.
func (e takenError) Error() string { return e.told.Error() }

// Unwrap returns what callers are told.
func (e takenError) Unwrap() error { return e.told }

// link is one relay of a stream from one node: its media, and the other node's
// news of it.
type link struct {
	pull   *pull
	node   string
	media  *sfu.Relay
	remote *relay.Link

	news   atomic.Pointer[sluice.RelayNews]
	began  time.Time
	heard  atomic.Int64  // when news came, since began
	fresh  chan struct{} // holds a token when there is news
	cut    chan struct{} // closed when no more news come
	cancel context.CancelFunc
	ended  sync.WaitGroup

	idle, paused    time.Time // since when
	looked, counted time.Time // when last
	until           time.Time // not to be replaced before
	judged, awake   time.Time // when last, and since when without a pause
	viewers         int       // told last
	telling         atomic.Bool
}

// try links to one node.
func (p *pull) try(ctx context.Context, parent signaling.Edge, old *link) (_ *link, err error) {
	r := p.relays
	media, err := r.media.Relay(ctx, p.stream)
	if err != nil {
		return nil, err
	}
	l := &link{pull: p, node: parent.Node, media: media, began: time.Now(), fresh: make(chan struct{}, 1), cut: make(chan struct{}), viewers: -1}
	defer func() {
		if err != nil {
			l.close("not used")
		}
	}()
	remote, answer, err := r.client.Ask(ctx, parent.Node, parent.URL, p.stream, media.Offer(), r.region)
	if err != nil {
		return nil, err
	}
	l.remote = remote
	if slices.Contains(answer.News.Path, r.self) {
		return nil, sluice.Errorf(sluice.CodeForbidden, "node %s gets the stream through this one", parent.Node)
	}
	if err := media.Accept(answer.RelayAnswer, answer.News.Stream); err != nil {
		return nil, err
	}
	l.take(answer.News)
	follow, cancel := context.WithCancel(r.ctx)
	l.cancel = cancel
	l.ended.Go(func() { l.follow(follow) })
	if old != nil || p.over {
		if err := l.settle(ctx); err != nil {
			return nil, err
		}
	}
	if !media.Attach(p.over) {
		return nil, takenError{&sluice.Error{Code: sluice.CodeUnavailable, Detail: "the stream is being published here", RetryAfter: time.Second}}
	}
	p.over = false
	r.log.Info("stream is pulled", "stream", p.stream, "node", parent.Node, "hops", len(answer.News.Path))
	return l, nil
}

// settle waits until the link can replace another without a gap, or for
// readyTime. It fails when the link does.
func (l *link) settle(ctx context.Context) error {
	limit := time.NewTimer(readyTime)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !l.media.Ready() {
		select {
		case <-tick.C:
		case <-limit.C:
			return nil
		case <-l.media.Done():
			return errors.New("the relay did not connect")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// take notes news.
func (l *link) take(news sluice.RelayNews) {
	l.heard.Store(int64(time.Since(l.began)))
	l.news.Store(&news)
	l.media.Tell(news.Stream)
	select {
	case l.fresh <- struct{}{}:
	default:
	}
}

// follow takes news until there are no more. A connection that breaks is made
// anew once: only the node itself may be gone for good.
func (l *link) follow(ctx context.Context) {
	defer close(l.cut)
	for {
		began := time.Now()
		err := l.remote.Follow(ctx, l.take)
		l.pull.relays.log.Debug("news have ended", "stream", l.pull.stream, "node", l.node, "err", err)
		if ctx.Err() != nil || time.Since(began) < newsTimeout || l.news.Load().Stream.State == sluice.StreamOffline {
			return
		}
	}
}

func (l *link) leaving() bool { return l.news.Load().Leaving }

// postpone notes that no link was found to replace this one.
func (l *link) postpone(err error) {
	l.pull.relays.log.Debug("relay is not replaced", "stream", l.pull.stream, "node", l.node, "err", err)
	l.until = time.Now().Add(postponed)
}

// linkEnd is why a link is not held any longer.
type linkEnd int

const (
	linkUnneeded linkEnd = iota // nobody needs it
	linkStale                   // another should take its place; it still works
	linkBroken                  // it does not work
)

// hold keeps the link until something is the matter with it.
func (l *link) hold(ctx context.Context) linkEnd {
	tick := time.NewTicker(linkCheck)
	defer tick.Stop()
	l.judged = time.Now() // nobody looks while another link is sought
	cut := l.cut
	for {
		select {
		case <-ctx.Done():
			return linkUnneeded
		case <-l.media.Done():
			if l.pull.finished() {
				return linkUnneeded
			}
			return linkBroken
		case <-cut:
			if l.news.Load().Stream.State != sluice.StreamOffline {
				return linkBroken
			}
			cut = nil
			continue
		case <-l.fresh:
		case <-tick.C:
		}
		if end, over := l.judge(ctx, time.Now()); over {
			return end
		}
	}
}

// judge looks at the link.
func (l *link) judge(ctx context.Context, now time.Time) (end linkEnd, over bool) {
	r, news := l.pull.relays, l.news.Load()
	if news.Stream.State == sluice.StreamOffline && len(news.Tracks) == 0 {
		l.media.Close("the stream has ended")
		r.media.Expire(l.pull.stream)
		return linkUnneeded, true
	}
	deaf := l.deaf(now)
	defer func() { l.judged = time.Now() }()
	switch silent := l.media.Silent(); {
	case slices.Contains(news.Path, r.self), deaf > newsTimeout && silent > mediaTimeout, deaf > deafTime:
		return linkBroken, true
	}
	if !l.media.Idle() {
		l.idle = time.Time{}
	} else if l.idle.IsZero() {
		l.idle = now
	} else if now.Sub(l.idle) > r.cfg.Linger {
		return linkUnneeded, true
	}
	l.count(now)
	if now.Before(l.until) {
		return 0, false
	}
	if news.Leaving || len(news.Tracks) > 0 && !l.media.Carries(news.Tracks) || l.moved(ctx, news, now) {
		return linkStale, true
	}
	return 0, false
}

// deaf is how long no news have come while this node listened: a node that stood
// still itself, since its machine did, has not heard those that did come.
func (l *link) deaf(now time.Time) time.Duration {
	if now.Sub(l.judged) > stoodStill {
		l.awake = now
	}
	return min(now.Sub(l.awake), now.Sub(l.began)-time.Duration(l.heard.Load()))
}

// moved reports whether the stream has a new home, which the other node does not
// know of.
func (l *link) moved(ctx context.Context, news *sluice.RelayNews, now time.Time) bool {
	if news.Stream.State == sluice.StreamLive && len(news.Tracks) > 0 {
		l.paused = time.Time{}
		return false
	}
	if l.paused.IsZero() {
		l.paused = now
	}
	if now.Sub(l.paused) < pausedTime || now.Sub(l.looked) < lookInterval {
		return false
	}
	l.looked = now
	owner, err := l.pull.relays.registry.Lookup(ctx, l.pull.stream)
	return err == nil && owner.Generation > news.Lease && owner.Node != l.pull.relays.self
}

// count tells the other node how many viewers are behind this one. It does not
// wait.
func (l *link) count(now time.Time) {
	n := l.media.Audience()
	if n == l.viewers || now.Sub(l.counted) < viewersInterval || l.telling.Swap(true) {
		return
	}
	l.viewers, l.counted = n, now
	ctx := l.pull.relays.ctx
	l.ended.Go(func() {
		defer l.telling.Store(false)
		if err := l.remote.SetViewers(ctx, n); err != nil {
			l.pull.relays.log.Debug("tell the number of viewers", "stream", l.pull.stream, "node", l.node, "err", err)
		}
	})
}

// close ends the link, and tells the other node.
func (l *link) close(reason string) {
	l.media.Close(reason)
	if l.cancel != nil {
		l.cancel()
	}
	if l.remote != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.pull.relays.ctx), endTime)
		if err := l.remote.End(ctx); err != nil && sluice.CodeOf(err) != sluice.CodeNotFound {
			l.pull.relays.log.Debug("end relay", "stream", l.pull.stream, "node", l.node, "err", err)
		}
		cancel()
	}
	l.ended.Wait()
}
