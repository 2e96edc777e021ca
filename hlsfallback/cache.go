package hlsfallback

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sluice-live/sluice"
)

// segmentKey names a finished segment or, with its init set, an init section.
type segmentKey struct {
	recording, rendition string
	number               uint64
	init                 bool
}

// segmentCache keeps bytes of the shelf that were asked for lately. Callers that
// want the same at once read it once.
type segmentCache struct {
	shelf Shelf
	most  int64 // bytes

	mu     sync.Mutex
	held   map[segmentKey]*list.Element // of *cached
	recent *list.List                   // front: asked for last
	bytes  int64
}

type cached struct {
	key     segmentKey
	ready   chan struct{} // closed when the rest is set
	payload *payload
	err     error
}

// maxSegment is the largest segment that is served, in bytes.
const maxSegment = 256 << 20

func newSegmentCache(shelf Shelf, most int64) *segmentCache {
	return &segmentCache{shelf: shelf, most: most, held: map[segmentKey]*list.Element{}, recent: list.New()}
}

func (c *segmentCache) get(ctx context.Context, key segmentKey) (*payload, error) {
	c.mu.Lock()
	if e, ok := c.held[key]; ok {
		c.recent.MoveToFront(e)
		c.mu.Unlock()
		item := e.Value.(*cached)
		select {
		case <-item.ready:
			return item.payload, item.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	item := &cached{key: key, ready: make(chan struct{})}
	e := c.recent.PushFront(item)
	c.held[key] = e
	c.mu.Unlock()

	// Others may wait for the answer, so it does not end with this caller.
	data, err := c.read(context.WithoutCancel(ctx), key)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(item.ready)
	if item.err = err; err != nil {
		c.drop(e)
		return nil, err
	}
	item.payload = newPayload(data)
	c.bytes += int64(len(data))
	for last := c.recent.Back(); c.bytes > c.most && last != nil; {
		next := last.Prev()
		if old := last.Value.(*cached); old.payload != nil {
			c.bytes -= int64(len(old.payload.data))
			c.drop(last)
		}
		last = next
	}
	return item.payload, nil
}

// drop forgets an element. mu is held.
func (c *segmentCache) drop(e *list.Element) {
	delete(c.held, e.Value.(*cached).key)
	c.recent.Remove(e)
}

// forget drops what is held of a recording.
func (c *segmentCache) forget(rec string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.held {
		if item := e.Value.(*cached); key.recording == rec && item.payload != nil {
			c.bytes -= int64(len(item.payload.data))
			c.drop(e)
		}
	}
}

func (c *segmentCache) read(ctx context.Context, key segmentKey) ([]byte, error) {
	if key.init {
		return c.shelf.InitSection(ctx, key.recording, key.rendition, int(key.number))
	}
	file, err := c.shelf.Segment(ctx, key.recording, key.rendition, key.number)
	if err != nil {
		return nil, err
	}
	data, err := readAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return data, nil
}

// readAll reads a file into memory of its size.
func readAll(file io.ReadSeeker) ([]byte, error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size > maxSegment {
		return nil, sluice.Errorf(sluice.CodeTooLarge, "the segment has more than %d bytes", maxSegment)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = io.ReadFull(file, data)
	return data, err
}

// media returns a segment or init section: from memory near the live edge, else
// from the shelf. Only what is listed in the index, or was, is on the shelf.
func (h *Handler) media(ctx context.Context, t *track, kind fileKind, number uint64) (*payload, error) {
	if p, err := t.nearby(kind, number); p != nil || err != nil {
		return p, err
	}
	return h.old.get(ctx, segmentKey{t.show.rec.ID, t.id, number, kind == fileInit})
}

func (t *track) nearby(kind fileKind, number uint64) (*payload, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind == fileInit {
		return t.inits[int(number)], nil
	}
	if seg, ok := t.find(number); ok && seg.Gap {
		return nil, errGap()
	}
	if t.growing != nil && number >= t.growing.seg.Sequence {
		return nil, sluice.Errorf(sluice.CodeNotFound, "the segment is not finished")
	}
	for i := len(t.near) - 1; i >= 0; i-- {
		if t.near[i].seg.Sequence == number {
			return t.near[i].data, nil
		}
	}
	return nil, nil
}
