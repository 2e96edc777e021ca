package hlsfallback

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
)

// show is one recording as it is served.
type show struct {
	rec     sluice.Recording
	config  Config
	archive bool          // everything, from the shelf: no parts, no reload
	loaded  chan struct{} // closed when the past has been read
	first   chan struct{} // closed when there is a segment
	once    sync.Once     // closes first
	longest atomic.Int64  // duration of the longest segment, in whole seconds, where over config.Target
	mixed   atomic.Bool   // not every segment of video begins with a keyframe

	mu     sync.RWMutex
	order  []string // renditions as described
	tracks map[string]*track
	over   bool
	ushers *ushers
}

func newShow(rec sluice.Recording, config Config, by *ushers) *show {
	return &show{
		rec: rec, config: config, ushers: by,
		loaded: make(chan struct{}), first: make(chan struct{}),
		tracks: map[string]*track{},
	}
}

// wait returns when until is closed, or why it does not wait any longer.
func (s *show) wait(ctx context.Context, done, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	default:
	}
	timer := time.NewTimer(s.config.patience())
	defer timer.Stop()
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return errStopping()
	case <-timer.C:
		return errTimeout()
	}
}

func errStopping() error {
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node is stopping"}
}

func errTimeout() error {
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "no new media came in time", RetryAfter: time.Second}
}

// whole reports whether the past is there. Before, nothing is removed, or what
// was removed could not be counted.
func (s *show) whole() bool {
	select {
	case <-s.loaded:
		return true
	default:
		return false
	}
}

func (s *show) begun() { s.once.Do(func() { close(s.first) }) }

// describe adds and updates renditions. fresh values replace known ones.
func (s *show) describe(renditions []sluice.Rendition, fresh bool) {
	for _, r := range renditions {
		if t := s.enter(r); fresh {
			t.describe(r)
		}
	}
}

// enter returns the track of a rendition, a new one where there is none.
func (s *show) enter(r sluice.Rendition) *track {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.tracks[r.ID]
	if !known {
		t = newTrack(s, r)
		t.over = s.over
		s.tracks[r.ID] = t
		s.order = append(s.order, r.ID)
	}
	return t
}

func (s *show) track(id string) *track {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tracks[id]
}

// list returns the tracks in the order of their description.
func (s *show) list() []*track {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tracks := make([]*track, 0, len(s.order))
	for _, id := range s.order {
		tracks = append(tracks, s.tracks[id])
	}
	return tracks
}

func (s *show) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	for _, t := range s.list() {
		t.end()
	}
	s.begun()
}

// target is the target duration of every rendition: the configured one, or that
// of the longest segment where a publisher sends keyframes more seldom.
func (s *show) target() time.Duration {
	return max(s.config.Target, time.Duration(s.longest.Load()))
}

// stretch makes room for a segment that is longer than the target duration, and
// reports whether that changed it. A segment may round down to the target (RFC
// 8216bis section 4.4.3.1).
func (s *show) stretch(d time.Duration) bool {
	rounded := d.Round(time.Second)
	for {
		was := s.longest.Load()
		if rounded <= max(s.config.Target, time.Duration(was)) {
			return false
		}
		if s.longest.CompareAndSwap(was, int64(rounded)) {
			return true
		}
	}
}

// begins notes with what the media of a segment begin: EXT-X-INDEPENDENT-SEGMENTS
// stands in playlists only while all begin with a keyframe (RFC 8216bis section 4.4.2.1).
func (s *show) begins(parts []sluice.Part) {
	for _, p := range parts {
		if p.Gap {
			continue
		}
		if !p.Independent {
			s.mixed.Store(true)
		}
		return
	}
}

// appendVersion begins a playlist.
func (s *show) appendVersion(b []byte, version string) []byte {
	b = append(b, "#EXTM3U\n#EXT-X-VERSION:"...)
	b = append(b, version...)
	if !s.mixed.Load() {
		b = append(b, "\n#EXT-X-INDEPENDENT-SEGMENTS"...)
	}
	return append(b, '\n')
}
