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
	listed  map[string]sluice.Recording
	asked   time.Time // when listed was read
}

type shelvedShow struct {
	rec   string
	until time.Time // zero: it does not change any more
	ready chan struct{}
	show  *show
	size  int
	err   error
}

// listEvery bounds how often the shelf is asked for its list because of
// recordings that nobody knows.
const listEvery = time.Second

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
	v.asked = time.Time{}
	if e, ok := v.held[rec]; ok {
		v.drop(e)
	}
}

func (v *shelved) load(ctx context.Context, rec string) (*show, int, error) {
	about, err := v.lookup(ctx, rec)
	if err != nil {
		return nil, 0, err
	}
	renditions, segments, err := v.shelf.Timeline(ctx, rec)
	if err != nil {
		return nil, 0, err
	}
	s := newShow(about, v.config)
	s.archive = true
	s.describe(renditions, false)
	size := 1
	for id, past := range segments {
		if t := s.track(id); t != nil {
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

// lookup finds a recording in the list, which is read again when it is not in it.
func (v *shelved) lookup(ctx context.Context, rec string) (sluice.Recording, error) {
	v.mu.Lock()
	about, ok := v.listed[rec]
	fresh := v.now().Sub(v.asked) < listEvery
	v.mu.Unlock()
	if ok && (!about.Ended.IsZero() || fresh) {
		return about, nil
	}
	unknown := sluice.Errorf(sluice.CodeNotFound, "there is no such recording")
	if fresh {
		return about, unknown
	}
	all, err := v.shelf.Recordings(ctx)
	if err != nil {
		return about, err
	}
	byID := make(map[string]sluice.Recording, len(all))
	for _, r := range all {
		byID[r.ID] = r
	}
	v.mu.Lock()
	v.listed, v.asked = byID, v.now()
	v.mu.Unlock()
	if about, ok = byID[rec]; !ok {
		return about, unknown
	}
	return about, nil
}

// archived returns the playlist of everything, of a show from the shelf.
func (t *track) archived() *body {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.whole != nil {
		return t.whole
	}
	kind := "EVENT\n#EXT-X-START:TIME-OFFSET=0,PRECISE=YES"
	if t.over {
		kind = "VOD"
	}
	b := make([]byte, 0, 512+len(t.lines))
	b = append(t.show.appendVersion(b, "8"), "#EXT-X-TARGETDURATION:"...)
	b = strconv.AppendInt(b, int64(t.show.target()/time.Second), 10)
	b = append(b, "\n#EXT-X-PLAYLIST-TYPE:"...)
	b = append(b, kind...)
	b = append(b, '\n')
	b = t.appendCounts(b)
	if init := t.initBefore(0); init >= 0 {
		b = appendMap(b, init)
	}
	b = append(b, t.lines...)
	if t.over {
		b = append(b, "#EXT-X-ENDLIST\n"...)
	}
	t.whole = newBody(b)
	return t.whole
}
