package sfu

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
)

const (
	// monitorInterval is how often a stream looks at its own state.
	monitorInterval = 250 * time.Millisecond
	// measureInterval is how often the rates of layers are computed.
	measureInterval = int64(time.Second)
	// silence is how long a stream counts as live without a packet.
	silence = int64(2 * time.Second)
	// viewersPerShard is how many viewers a shard takes before the stream
	// starts another one, up to the number of CPUs.
	viewersPerShard = 100
)

// stream is what one publisher sends and its viewers see. It lasts while a
// publisher, a viewer or the grace time uses it.
type stream struct {
	name string
	sfu  *SFU
	log  *slog.Logger
	uses int // guarded by SFU.mu

	sources atomic.Pointer[sources]
	shards  atomic.Pointer[[]*shard]
	taps    atomic.Pointer[[]*Tap]

	told atomic.Bool // those outside have heard of it

	stop    chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	claimed   bool // a publisher is being let in
	publisher *Publisher
	state     sluice.StreamState
	since     time.Time
	grace     *time.Timer
	viewers   map[*Viewer]struct{}
	branches  map[*Branch]struct{}
	changed   chan struct{}
}

func newStream(s *SFU, name string) *stream {
	st := &stream{
		name: name, sfu: s, log: s.log.With("stream", name), stop: make(chan struct{}),
		state: sluice.StreamOffline, since: time.Now(), viewers: map[*Viewer]struct{}{}, branches: map[*Branch]struct{}{},
		changed: make(chan struct{}),
	}
	st.sources.Store(&sources{})
	st.shards.Store(&[]*shard{})
	st.taps.Store(&[]*Tap{})
	st.running.Go(st.monitor)
	return st
}

// close ends what runs for the stream. Nobody uses it any more.
func (st *stream) close() {
	close(st.stop)
	st.running.Wait()
	st.mu.Lock()
	st.notify()
	st.mu.Unlock()
}

// wake tells the shards, or the taps, that rings have grown or the choice of
// layers has changed.
func (st *stream) wake(u urgency) {
	if u == frameTapped {
		now := st.sfu.now()
		for _, t := range *st.taps.Load() {
			t.notice(now)
		}
		return
	}
	for _, sh := range *st.shards.Load() {
		sh.signal(u)
	}
}

// notify tells who holds a snapshot that it is out of date. mu is held.
func (st *stream) notify() {
	close(st.changed)
	st.changed = make(chan struct{})
}

// setState enters a state. mu is held.
func (st *stream) setState(state sluice.StreamState) {
	if st.state == state {
		return
	}
	st.state, st.since = state, time.Now()
	st.log.Info("stream state", "state", string(state))
	st.notify()
}

// publish lets a publisher in, in the place of its own dead session or, when
// configured, of a live one.
func (st *stream) publish(ctx context.Context, o sluice.Offer) (*Publisher, error) {
	busy := sluice.Errorf(sluice.CodeStreamBusy, "another publisher sends this stream")
	busy.RetryAfter = 2 * time.Second
	st.mu.Lock()
	if st.claimed {
		st.mu.Unlock()
		return nil, busy
	}
	st.claimed = true
	old := st.publisher
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		st.claimed = false
		st.mu.Unlock()
	}()
	if old != nil && old.relay == nil && !st.sfu.cfg.Takeover {
		if old.identity != o.Grant.Identity || old.alive(ctx) {
			return nil, busy
		}
	}
	p, err := newPublisher(ctx, st, o)
	if err != nil {
		return nil, err
	}
	if !st.attach(p) {
		return nil, sluice.Errorf(sluice.CodeUnavailable, "the session ended during its set-up")
	}
	return p, nil
}

// attach makes p the stream's publisher, unless p has ended already. A publisher
// holds a use of its stream.
func (st *stream) attach(p *Publisher) bool {
	st.mu.Lock()
	if p.gone {
		st.mu.Unlock()
		return false
	}
	old := st.publisher
	st.publisher = p
	st.sfu.use(st)
	st.countPublisher(p, 1)
	graceEnded := st.grace != nil && st.grace.Stop()
	st.grace = nil
	st.notify()
	st.mu.Unlock()
	if graceEnded {
		st.sfu.unuse(st)
	}
	if old != nil {
		st.countPublisher(old, -1)
		if p.relay == nil {
			old.Close("replaced by a new session")
		} // else its layers are shown until those of the relay can be
		st.sfu.unuse(st)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	st.setSources(p, p.layers)
	return true
}

// detach takes a publisher that has ended away. Its use of the stream passes
// to the grace time, if the stream has been live.
func (st *stream) detach(p *Publisher) {
	st.mu.Lock()
	p.gone = true
	if st.publisher != p {
		st.mu.Unlock()
		return
	}
	st.publisher = nil
	st.countPublisher(p, -1)
	neverLive := st.state == sluice.StreamOffline || p.relay != nil && st.idle()
	st.sources.Store(&sources{})
	st.notify()
	if !neverLive {
		st.setState(sluice.StreamPaused)
		st.grace = time.AfterFunc(st.sfu.cfg.Grace, st.graceOver)
	}
	st.mu.Unlock()
	st.wake(choices)
	if neverLive {
		st.sfu.unuse(st)
	}
}

// countPublisher counts real publishers.
func (st *stream) countPublisher(p *Publisher, by int64) {
	if p.relay == nil {
		st.sfu.counters.publishers.Add(by)
	}
}

// graceOver ends a stream whose publisher did not return.
func (st *stream) graceOver() {
	st.mu.Lock()
	var leaving []interface{ Close(reason string) }
	if st.publisher == nil {
		st.setState(sluice.StreamOffline)
		if !st.sfu.cfg.Wait {
			for v := range st.viewers {
				leaving = append(leaving, v)
			}
			for b := range st.branches {
				leaving = append(leaving, b)
			}
		}
	}
	st.mu.Unlock()
	for _, v := range leaving {
		v.Close("the stream has ended")
	}
	st.mu.Lock()
	if st.publisher == nil {
		st.tellEnded()
	}
	st.mu.Unlock()
	st.sfu.unuse(st)
}

// setSources replaces what shards choose from, unless p is not the publisher.
func (st *stream) setSources(p *Publisher, layers []*layer) {
	next := &sources{publisher: p, layered: p.layered()}
	for _, l := range layers {
		switch {
		case l.codec.Video():
			next.video = append(next.video, l)
		case next.audio == nil:
			next.audio = l
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.publisher != p {
		return
	}
	st.sources.Store(next)
	st.notify()
	st.wake(choices)
}

// monitor follows packet flow: live and paused, rates, layers that come and go.
func (st *stream) monitor() {
	tick := time.NewTicker(monitorInterval)
	defer tick.Stop()
	var measured int64
	active := map[*layer]bool{}
	for {
		select {
		case <-tick.C:
		case <-st.stop:
			return
		}
		now := st.sfu.now()
		st.sfu.vigil.look(now)
		src := st.sources.Load()
		if now-measured >= measureInterval {
			measured = now
			for _, l := range src.all() {
				l.measure(now)
				if p := l.ring.At(l.ring.Head() - 1); p != nil {
					l.clock.advance(p.Timestamp)
				}
			}
		}
		st.follow(src, active, now)
	}
}

// follow compares the layers with how they were and tells of changes.
func (st *stream) follow(src *sources, active map[*layer]bool, now int64) {
	var last int64
	changed := false
	for _, l := range src.all() {
		last = max(last, l.lastArrival.Load())
		if l.codec.Video() && l.remote == nil && l.active(now) && l.keyframes.test(now) {
			l.askKeyframe(now)
		}
		if is := l.active(now); is != active[l] {
			active[l] = is
			changed = true
		}
	}
	if len(active) > 2*maxLayers {
		clear(active) // layers of publishers that are gone
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.prune(now)
	switch {
	case st.publisher != nil && st.publisher.relay != nil:
		if told := st.publisher.relay.told.Load(); told.State != "" {
			st.setState(told.State)
		}
	case st.publisher == nil || last == 0:
	case now-last < silence:
		st.setState(sluice.StreamLive)
	case st.sfu.vigil.silent(now, last) >= silence:
		st.setState(sluice.StreamPaused)
	}
	if changed {
		st.notify()
		st.wake(choices)
	}
}

// layered reports whether viewers have, or may come to have, a choice of layers.
// A publisher's layers come one by one: what it has offered counts.
func (st *stream) layered() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.publisher == nil || st.publisher.layered()
}

// shardFor returns the shard that takes the next viewer, starting one when the
// others are full. mu is held.
func (st *stream) shardFor() *shard {
	shards := *st.shards.Load()
	var least *shard
	for _, sh := range shards {
		if least == nil || sh.viewers.Load() < least.viewers.Load() {
			least = sh
		}
	}
	if least == nil || least.viewers.Load() >= viewersPerShard && len(shards) < runtime.GOMAXPROCS(0) {
		least = newShard(st)
		grown := append(append([]*shard(nil), shards...), least)
		st.shards.Store(&grown)
		st.running.Go(least.run)
	}
	return least
}

// snapshot describes the stream and returns the channel that is closed when it
// has changed.
func (st *stream) snapshot() (sluice.Stream, <-chan struct{}) {
	now := st.sfu.now()
	src := st.sources.Load()
	out := sluice.Stream{Name: st.name, Layers: []sluice.Layer{}}
	for _, l := range ranked(src.video) {
		out.Layers = append(out.Layers, l.video(now))
	}
	if a := src.audio; a != nil {
		out.Audio = &sluice.Audio{Codec: a.codec.String(), Active: a.active(now)}
		if r := a.rate.Load(); r != nil {
			out.Audio.Bitrate = r.bitrate
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	out.State, out.Since, out.Viewers = st.state, st.since, st.audience()
	if p := st.publisher; p != nil && p.relay != nil {
		told := p.relay.told.Load()
		out.Relayed, out.Publisher, out.Tier = true, told.Publisher, told.Tier
		out.Viewers += told.Viewers
	} else if p != nil {
		out.Publisher, out.Tier = &sluice.Publisher{ID: p.id, Identity: p.identity, Since: p.since}, p.tier
	}
	return out, st.changed
}

// endGrace ends the wait for a publisher's return.
func (st *stream) endGrace() {
	st.mu.Lock()
	waiting := st.grace != nil && st.grace.Stop()
	st.grace = nil
	st.mu.Unlock()
	if waiting {
		st.sfu.unuse(st)
	}
}
