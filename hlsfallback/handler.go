package hlsfallback

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/obs"
)

// Handler serves running shows and recordings. Its methods Begin to End are the
// recorder's: they do not block, and come in order for each recording.
type Handler struct {
	deps      Deps
	config    Config
	done      chan struct{} // closed by Close
	closing   sync.Once
	loading   sync.WaitGroup
	ushers    ushers
	parked    atomic.Int64
	stats     counters
	grants    grants
	ids       *obs.RequestIDs
	constants *constants
	packers   *sync.Pool // of *gzip.Writer
	timers    sync.Pool  // of *time.Timer, stopped
	old       *segmentCache
	shelved   *shelved
	ctx       context.Context // of loading; ends with Close
	cancel    context.CancelFunc

	mu     sync.RWMutex
	shows  map[string]*show // running, by recording
	stream map[string]*show // running, by stream: the newest
	ended  []*show          // the last that ended, for players that still read them
}

// keepEnded is how many ended shows stay as they were at their end.
const keepEnded = 16

// New returns a Handler. Close ends it.
func New(deps Deps, config Config) (*Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	h := &Handler{
		deps: deps, config: config, done: make(chan struct{}), ids: obs.NewRequestIDs(),
		shows: map[string]*show{}, stream: map[string]*show{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.packers = newPackers()
	h.constants = config.constants()
	h.old = newSegmentCache(deps.Shelf, config.Cache)
	h.shelved = newShelved(deps.Shelf, config)
	return h, nil
}

// Close ends parked requests with 503 and waits for the goroutines.
func (h *Handler) Close() {
	h.closing.Do(func() {
		close(h.done)
		h.cancel()
	})
	h.loading.Wait()
	h.ushers.leave()
}

// Begin takes note of a recording that starts, or goes on after a restart: what
// there is of it is read from the shelf before anybody sees it.
func (h *Handler) Begin(rec sluice.Recording) {
	s := newShow(rec, h.config, &h.ushers)
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.done:
		return
	default:
	}
	h.shows[rec.ID] = s
	h.stream[rec.Stream] = s
	h.loading.Go(func() { h.load(s) })
}

// load gives a show its past and shows it to callers.
func (h *Handler) load(s *show) {
	defer close(s.loaded)
	ctx, cancel := context.WithTimeout(h.ctx, time.Minute)
	defer cancel()
	renditions, segments, err := h.deps.Shelf.Timeline(ctx, s.rec.ID)
	if err != nil {
		if sluice.CodeOf(err) != sluice.CodeNotFound {
			h.deps.Log.Warn("the past of a recording cannot be read: its playlists begin now", "stream", s.rec.Stream, "err", err)
		}
		return
	}
	s.describe(renditions, false)
	for id, past := range segments {
		if t := s.track(id); t != nil {
			t.prepend(past)
		}
	}
}

// Describe names the renditions of a recording.
func (h *Handler) Describe(rec string, renditions []sluice.Rendition) {
	if s := h.running(rec); s != nil {
		s.describe(renditions, true)
	}
}

// Init takes an init section. data is kept.
func (h *Handler) Init(rec, rendition string, version int, data []byte) {
	if t := h.track(rec, rendition); t != nil {
		t.addInit(version, data)
	}
}

// Part takes a part that exists now. data is kept. growing is the segment that
// it belongs to, as far as it is known.
func (h *Handler) Part(rec, rendition string, growing sluice.Segment, p sluice.Part, data []byte) {
	if t := h.track(rec, rendition); t != nil {
		t.addPart(growing, p, data)
	}
}

// Segment takes a finished segment.
func (h *Handler) Segment(rec, rendition string, seg sluice.Segment) {
	s := h.running(rec)
	if s == nil {
		return
	}
	t := s.track(rendition)
	if t == nil {
		return
	}
	if longer := t.addSegment(seg); longer {
		h.deps.Log.Warn("a segment is longer than the target duration", "stream", s.rec.Stream, "rendition", rendition, "seconds", seg.Duration.Seconds())
	}
	s.begun()
}

// Leave takes note that another node goes on with a recording: what is new of it
// comes from the shelf.
func (h *Handler) Leave(rec string) {
	h.mu.Lock()
	h.take(rec)
	h.mu.Unlock()
	h.shelved.forget(rec)
}

// Forget lets go of all copies of a recording that has been removed.
func (h *Handler) Forget(rec string) {
	h.mu.Lock()
	h.ended = slices.DeleteFunc(h.ended, func(s *show) bool { return s.rec.ID == rec })
	h.mu.Unlock()
	h.shelved.forget(rec)
	h.old.forget(rec)
}

// take returns a show and forgets it, or nil. mu is held.
func (h *Handler) take(rec string) *show {
	s := h.shows[rec]
	if s == nil {
		return nil
	}
	delete(h.shows, rec)
	if h.stream[s.rec.Stream] == s {
		delete(h.stream, s.rec.Stream)
	}
	return s
}

// End takes note that a recording is complete.
func (h *Handler) End(rec string) {
	h.mu.Lock()
	s := h.take(rec)
	if s == nil {
		h.mu.Unlock()
		return
	}
	h.ended = append(h.ended, s)
	if len(h.ended) > keepEnded {
		h.ended = append([]*show(nil), h.ended[len(h.ended)-keepEnded:]...)
	}
	h.mu.Unlock()
	s.end()
	h.shelved.forget(rec)
}

func (h *Handler) running(rec string) *show {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.shows[rec]
}

func (h *Handler) track(rec, rendition string) *track {
	if s := h.running(rec); s != nil {
		return s.track(rendition)
	}
	return nil
}

// live returns the running show of a stream, its past included. One that runs on
// another node is as it is on the shelf: without parts, and a target duration late.
func (h *Handler) live(ctx context.Context, stream string) (*show, error) {
	h.mu.RLock()
	s := h.stream[stream]
	h.mu.RUnlock()
	if s == nil {
		if rec, err := h.deps.Shelf.Running(ctx, stream); err == nil {
			return h.shelved.show(ctx, rec.ID)
		}
		return nil, &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "nobody publishes this stream", RetryAfter: 2 * time.Second}
	}
	return s, s.wait(ctx, h.done, s.loaded)
}

// recording returns a show by its recording: running, just ended, or as it is
// on the shelf. whole asks for everything from the start, which a running show
// in memory may have let go.
func (h *Handler) recording(ctx context.Context, rec string, whole bool) (*show, error) {
	if !whole {
		h.mu.RLock()
		s := h.shows[rec]
		for _, e := range h.ended {
			if s == nil && e.rec.ID == rec {
				s = e
			}
		}
		h.mu.RUnlock()
		if s != nil {
			return s, s.wait(ctx, h.done, s.loaded)
		}
	}
	s, err := h.shelved.show(ctx, rec)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return s, nil
}
