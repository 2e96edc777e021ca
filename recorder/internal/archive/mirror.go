package archive

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
)

// Spool is what of this node's recordings waits on its disk for the shared store.
type Spool struct {
	Limit int64 // bytes that may wait

	waiting           atomic.Int64
	stored, failed    atomic.Int64
	refusing, refused atomic.Int64
}

// SpoolCounters is a snapshot of a Spool.
type SpoolCounters struct {
	Waiting  int64 // bytes
	Stored   int64 // segments that the store has taken
	Failed   int64 // requests that it did not answer or refused; they are repeated
	Refusing int64 // recordings whose last request failed
	Refused  int64 // recordings that another node has taken over
}

// Counters returns the totals.
func (s *Spool) Counters() SpoolCounters {
	return SpoolCounters{s.waiting.Load(), s.stored.Load(), s.failed.Load(), s.refusing.Load(), s.refused.Load()}
}

var errSpool = errors.New("too much waits for the shared store: data.spool_mb")

// Space is why nothing more may wait, or nil.
func (s *Spool) Space() error {
	if s.waiting.Load() >= s.Limit {
		return errSpool
	}
	return nil
}

const (
	// keepLocal is how long segments stay on the disk that the store has.
	keepLocal = 2 * time.Minute
	// batchItems is how many items are sent before the log is written, and
	// uploads how many of them at once.
	batchItems, uploads = 64, 4
	// firstWait and longestWait bound the time between two attempts.
	firstWait, longestWait = 200 * time.Millisecond, 10 * time.Second
)

// item is one thing that the store is to have.
type item struct {
	rendition string
	entry
	from      uint64 // with Removed: the first that goes
	thumbnail bool
	number    uint64 // of the thumbnail
}

// Mirror brings one recording of this node's disk into the shared store, in order
// and for as long as this node may write it. Its methods do not wait for the store.
type Mirror struct {
	remote *Remote
	local  *Archive
	spool  *Spool
	log    *slog.Logger
	cancel context.CancelFunc
	poke   chan struct{} // there is something to do
	lost   chan struct{} // closed when another node has taken over
	ended  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	queue   []item
	meta    *Meta // to be written
	closing bool
	rest    bool // all has been sent

	state mirrored // of the goroutine
}

// NewMirror starts to mirror a recording. past is what there was of it when this
// node took it over (Remote.Succeed), or nil; resumed says that an earlier process of
// this node may have written some of the term.
func NewMirror(r *Remote, local *Archive, spool *Spool, t Term, past *View, resumed bool, log *slog.Logger) *Mirror {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Mirror{
		remote: r, local: local, spool: spool, log: log.With("session", t.ID), cancel: cancel,
		poke: make(chan struct{}, 1), lost: make(chan struct{}), ended: make(chan struct{}),
		state: mirrored{term: t, past: past, known: past != nil, behind: resumed, inits: map[string]bool{}, kept: map[string][]sluice.Segment{}},
	}
	go m.run(ctx)
	return m
}

// Segment sends a segment of the disk, or a gap.
func (m *Mirror) Segment(o Outcome) {
	s := o.Segment
	m.add(item{rendition: o.Rendition, entry: entry{Segment: &s, CRC: o.CRC}})
}

// Thumbnail sends a picture of the disk.
func (m *Mirror) Thumbnail(n uint64) { m.add(item{thumbnail: true, number: n}) }

// Remove takes the segments from a number to before another away.
func (m *Mirror) Remove(rendition string, from, before uint64) {
	m.add(item{rendition: rendition, entry: entry{Removed: before}, from: from})
}

// Meta sends what the recording is.
func (m *Mirror) Meta(meta Meta) {
	meta.Renditions = slices.Clone(meta.Renditions)
	m.mu.Lock()
	m.meta = &meta
	m.mu.Unlock()
	m.wake()
}

func (m *Mirror) add(i item) {
	if i.Segment != nil {
		m.spool.waiting.Add(i.Segment.Size)
	}
	m.mu.Lock()
	m.queue = append(m.queue, i)
	m.mu.Unlock()
	m.wake()
}

func (m *Mirror) wake() {
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// Lost is closed when another node has taken the recording over.
func (m *Mirror) Lost() <-chan struct{} { return m.lost }

// Close sends what is waiting until ctx ends, and reports whether the store has
// everything. What it has not stays on the disk.
func (m *Mirror) Close(ctx context.Context) bool {
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	m.wake()
	select {
	case <-m.ended:
	case <-ctx.Done():
	}
	m.cancel()
	<-m.ended
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.queue {
		if i.Segment != nil {
			m.spool.waiting.Add(-i.Segment.Size)
		}
	}
	m.queue = nil
	return m.rest
}

// due returns what is to be sent next; done says that there is and will be nothing.
func (m *Mirror) due() (batch []item, meta *Meta, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch = slices.Clone(m.queue[:min(len(m.queue), batchItems)])
	if len(batch) == len(m.queue) { // it may say that all is there
		meta = m.meta
	}
	done = m.closing && len(batch) == 0 && m.meta == nil && !m.state.behind
	m.rest = done
	return batch, meta, done
}

// sent takes away what has been sent.
func (m *Mirror) sent(batch []item, meta *Meta) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = m.queue[len(batch):]
	if m.meta == meta {
		m.meta = nil
	}
	for _, i := range batch {
		if i.Segment != nil {
			m.spool.waiting.Add(-i.Segment.Size)
		}
	}
}

func (m *Mirror) run(ctx context.Context) {
	defer close(m.ended)
	failing, wait := false, firstWait
	fails := func(now bool) {
		if now != failing {
			m.spool.refusing.Add(map[bool]int64{true: 1, false: -1}[now])
		}
		failing = now
	}
	defer func() { fails(false) }()
	for ctx.Err() == nil {
		batch, meta, done := m.due()
		if done {
			return
		}
		if len(batch) == 0 && meta == nil && !m.state.behind {
			select {
			case <-m.poke:
			case <-ctx.Done():
			}
			continue
		}
		err := m.send(ctx, batch, meta)
		switch {
		case errors.Is(err, ErrLaterTerm):
			m.spool.refused.Add(1)
			m.log.Warn("another node has taken the recording over: what this one has not stored by then does not count")
			close(m.lost)
			return
		case ctx.Err() != nil:
			return
		case err != nil:
			m.spool.failed.Add(1)
			if !failing {
				m.log.Error("the shared store takes nothing: the recording waits on the disk", "err", err)
			}
			fails(true)
			select {
			case <-time.After(wait/2 + rand.N(wait)):
			case <-ctx.Done():
			}
			wait = min(2*wait, longestWait)
			continue
		case failing:
			m.log.Info("the shared store takes the recording again", "waiting", m.spool.waiting.Load())
		}
		fails(false)
		wait = firstWait
		m.sent(batch, meta)
	}
}
