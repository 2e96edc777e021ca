package recorder

import (
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// TestListedInTime: whatever a publisher brings when it comes back, and however late its
// first picture, no rendition waits longer than one and a half target durations for its
// next segment (S-04), not even those that nobody feeds any more.
func TestListedInTime(t *testing.T) {
	t.Parallel()
	layers := []*source{film(t, 1, "q", "H264", 160, true), film(t, 2, "h", "H264", 320, true), film(t, 3, "f", "H264", 640, true)}
	single, sound := film(t, 4, "", "H264", 320, true), tone(5)
	cfg := config()
	cfg.Segment, cfg.Part = time.Second, 200*time.Millisecond
	nobody := newStudio()
	nobody.set(sluice.StreamOffline)
	media := newStudio(append(layers, sound)...)
	media.step = 40 * time.Millisecond
	sink := &board{media: media, came: map[string][]time.Time{}}
	r, stop := newRecorder(t, cfg, nobody, memoryStore(), sink)
	defer stop()
	s := newShow(r, "demo", media)
	play := func(d time.Duration) {
		for until := media.Now().Add(d); media.Now().Before(until); {
			s.follow(media.Read(s.take))
			if media.State() == sluice.StreamPaused {
				media.mu.Lock()
				media.now += media.step
				media.mu.Unlock()
				s.pause(s.now())
			} else {
				s.keepTime(s.now())
			}
		}
	}
	id := uint64(10)
	change := func(silent time.Duration, sources ...*source) {
		at := media.Now().Sub(media.start)
		var next []*source
		publisher := string(rune('a' + id))
		for _, was := range sources {
			is := was.again(id, at)
			is.track.Publisher = publisher
			first := is.next
			is.lost = func(frame, _ int) bool { return is.track.Video && is.at(frame) < is.at(first)+silent }
			next = append(next, is)
			id++
		}
		media.set(sluice.StreamLive, next...)
	}
	const target = 2 * time.Second // of segments that last up to one and a half seconds
	play(5 * time.Second)
	for _, step := range []struct {
		what    string
		away    time.Duration
		late    time.Duration // of the first picture
		sources []*source
	}{
		{"one layer, long after its sound", 500 * time.Millisecond, 4 * time.Second, []*source{single, sound}},
		{"sound only, at once", 0, 0, []*source{sound}},
		{"and again", 0, 0, []*source{sound}},
		{"pictures only", 0, 0, layers},
		{"pictures only, after a pause", 3 * time.Second, 2 * time.Second, layers[:1]},
		{"all, at once, and late", 0, 3 * time.Second, append(layers, sound)},
	} {
		from := media.Now()
		if step.away > 0 {
			media.set(sluice.StreamPaused)
			play(step.away)
		}
		change(step.late, step.sources...)
		play(6 * time.Second)
		for _, o := range s.outputs {
			was := from
			if len(sink.since(o.id, from)) == len(sink.since(o.id, time.Time{})) {
				continue // it is new
			}
			for _, at := range append(sink.since(o.id, from), media.Now()) {
				if late := at.Sub(was); late > target*3/2 {
					t.Errorf("%s: %s waits %v for a segment, from %v on", step.what, o.id, late, was.Sub(from))
				}
				was = at
			}
		}
	}
	s.finish(ended)
	ids := []string{"vq", "vh", "vf", "v", soundID}
	matching(t, r, ids...)
	for _, id := range ids {
		decodes(t, r, id)
		lengths(t, id, durable(t, r, id), cfg.Part)
	}
}

// board is a Sink that notes when segments come.
type board struct {
	nobody
	media *studio

	mu   sync.Mutex
	came map[string][]time.Time
}

// Segment implements Sink.
func (b *board) Segment(_, rendition string, _ sluice.Segment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.came[rendition] = append(b.came[rendition], b.media.Now())
}

func (b *board) since(rendition string, from time.Time) (after []time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, at := range b.came[rendition] {
		if at.After(from) {
			after = append(after, at)
		}
	}
	return after
}
