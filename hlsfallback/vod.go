package hlsfallback

import (
	"container/list"
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
)

// shelved keeps the playlists of recordings as they are on the shelf: ended ones
// until others need the room, running ones for a target duration.
type shelved struct {
	shelf  Shelf
	config Config
	now    func() time.Time

	mu      sync.Mutex
	held    map[string]*list.Element // of *shelf entries, by recording
	recent  *list.List               // front: asked for last
	entries int
}

type shelvedShow struct {
	rec   string
	until time.Time // zero: it does not change any more
	ready chan struct{}
	show  *show
	size  int
	err   error
}

func newShelved(shelf Shelf, config Config) *shelved {
	config.Window = 1 << 62 // everything from the start
	return &shelved{
		shelf: shelf, config: config, now: time.Now,
		held: map[string]*list.Element{}, recent: list.New(),
	}
}

func (v *shelved) show(ctx context.Context, rec string) (*show, error) {
	v.mu.Lock()
	if e, ok := v.held[rec]; ok {
		item := e.Value.(*shelvedShow)
		if item.until.IsZero() || v.now().Before(item.until) {
			v.recent.MoveToFront(e)
			v.mu.Unlock()
			select {
			case <-item.ready:
				return item.show, item.err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		v.drop(e)
	}
	item := &shelvedShow{rec: rec, ready: make(chan struct{})}
	e := v.recent.PushFront(item)
	v.held[rec] = e
	v.mu.Unlock()

	s, size, err := v.load(context.WithoutCancel(ctx), rec)
	v.mu.Lock()
	defer v.mu.Unlock()
	defer close(item.ready)
	if item.show, item.err = s, err; err != nil {
		if v.held[rec] == e {
			v.drop(e)
		}
		return nil, err
	}
	if v.held[rec] != e {
		return s, nil // forgotten meanwhile
	}
	if !s.over {
		item.until = v.now().Add(v.config.Target)
	}
	item.size = size
	v.entries += size
	for last := v.recent.Back(); v.entries > v.config.Entries && last != nil && last != e; {
		next := last.Prev()
		if last.Value.(*shelvedShow).size > 0 {
			v.drop(last)
		}
		last = next
	}
	return s, nil
}

func (v *shelved) drop(e *list.Element) {
	item := e.Value.(*shelvedShow)
	v.entries -= item.size
	delete(v.held, item.rec)
	v.recent.Remove(e)
}

// forget makes the next caller read the recording again.
func (v *shelved) forget(rec string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.held[rec]; ok {
		v.drop(e)
	}
}

func (v *shelved) load(ctx context.Context, rec string) (*show, int, error) {
	about, err := v.shelf.Recording(ctx, rec)
	if err != nil {
		return nil, 0, err
	}
	renditions, segments, err := v.shelf.Timeline(ctx, rec)
	if err != nil {
		return nil, 0, err
	}
	s := newShow(about, v.config, &ushers{})
	s.archive = true
	s.describe(renditions, false)
	size := 1
	for id, past := range segments {
		if t := s.track(id); t != nil {
			past = ending(past, about.Ended)
			t.prepend(past)
			size += len(past)
		}
	}
	if s.over = !about.Ended.IsZero(); s.over {
		s.end()
	}
	s.begun()
	close(s.loaded)
	return s, size, nil
}

// ending leaves out the gaps behind the end of a recording: nobody came back. They
// begin there as far as the ticks of a rendition can say.
func ending(segments []sluice.Segment, end time.Time) []sluice.Segment {
	n := len(segments)
	for !end.IsZero() && n > 0 && segments[n-1].Gap && end.Sub(segments[n-1].Start) < time.Millisecond {
		n--
	}
	return segments[:n]
}

// archived returns the playlist of everything, of a show from the shelf: to be seen
// from its start, or as a stream that runs on another node.
func (t *track) archived(start bool) *body {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := &t.whole
	if !start {
		whole = &t.followed
	}
	if *whole != nil {
		return *whole
	}
	kind := ""
	switch {
	case t.over:
		kind = "#EXT-X-PLAYLIST-TYPE:VOD\n"
	case start:
		kind = "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n"
	}
	b := make([]byte, 0, 512+len(t.lines))
	b = append(t.show.appendVersion(b, "8"), "#EXT-X-TARGETDURATION:"...)
	b = strconv.AppendInt(b, int64(t.show.target()/time.Second), 10)
	b = append(b, '\n')
	b = append(b, kind...)
	b = t.appendCounts(b)
	if init := t.initBefore(0); init >= 0 {
		b = appendMap(b, init)
	}
	b = append(b, t.lines...)
	if t.over {
		b = append(b, "#EXT-X-ENDLIST\n"...)
	}
	*whole = newBody(b)
	return *whole
}
