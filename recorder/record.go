package recorder

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// record is a running recording as others see it: what is durable, and the end of
// it that is in memory too. Its show and its writer write it.
type record struct {
	writer *archive.Writer
	mirror *archive.Mirror // nil: the recording stays on the disk
	log    *slog.Logger
	count  *counters

	mu       sync.Mutex
	meta     archive.Meta
	segments map[string][]sluice.Segment // durable, by rendition
	flying   map[string][]sluice.Segment // on their way to the disk
	inits    map[string]map[int][]byte
	recent   map[string][]memory
	failing  bool
}

// memory is a finished segment.
type memory struct {
	seq  uint64
	data [][]byte
}

// done notes what became of a segment. The writer calls it.
func (c *record) done(o archive.Outcome) {
	c.mu.Lock()
	c.segments[o.Rendition] = append(c.segments[o.Rendition], o.Segment)
	c.flying[o.Rendition] = slices.DeleteFunc(c.flying[o.Rendition], func(s sluice.Segment) bool { return s.Sequence <= o.Segment.Sequence })
	changed := c.failing != (o.Err != nil)
	c.failing = o.Err != nil
	c.mu.Unlock()
	if c.mirror != nil {
		c.mirror.Segment(o)
	}
	if o.Err != nil {
		c.count.failed.Add(1)
	} else if !o.Segment.Gap {
		c.count.segments.Add(1)
	}
	switch {
	case changed && o.Err != nil:
		c.log.Error("the disk takes no more: the recording pauses, live goes on", "err", o.Err)
	case changed:
		c.log.Info("the recording goes on: the disk takes it again")
	}
}

// finished lists the segments of a rendition, durable or not.
func (c *record) finished(rendition string) []sluice.Segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.segments[rendition], c.flying[rendition])
}

// sent notes that segments are on their way to the disk.
func (c *record) sent(rendition string, list ...sluice.Segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range list {
		s.Parts = nil
		c.flying[rendition] = append(c.flying[rendition], s)
	}
}

// remember keeps a finished segment's bytes for a while.
func (c *record) remember(rendition string, m memory) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := append(c.recent[rendition], m)
	if len(list) > recentSegments {
		list = slices.Clone(list[1:])
	}
	c.recent[rendition] = list
}

func (c *record) remembered(rendition string, seq uint64) ([][]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.recent[rendition] {
		if m.seq == seq {
			return m.data, true
		}
	}
	return nil, false
}

func (c *record) putInit(rendition string, version int, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inits[rendition] == nil {
		c.inits[rendition] = map[int][]byte{}
	}
	c.inits[rendition][version] = data
}

func (c *record) init(rendition string, version int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inits[rendition][version]
}

func (c *record) setMeta(m archive.Meta) {
	m.Renditions = slices.Clone(m.Renditions) // the show changes its own
	c.mu.Lock()
	c.meta = m
	c.mu.Unlock()
	c.writer.Meta(m)
	if c.mirror != nil && !m.Closed {
		c.mirror.Meta(m)
	}
}

// close finishes what is being written. m is what the recording is afterwards.
func (c *record) close(m archive.Meta) {
	c.setMeta(m)
	c.writer.Close()
}

func (c *record) snapshot() (archive.Meta, map[string][]sluice.Segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	meta := c.meta
	meta.Renditions = slices.Clone(meta.Renditions)
	segments := maps.Clone(c.segments)
	for id, list := range segments {
		segments[id] = slices.Clone(list)
	}
	return meta, segments
}

func (c *record) recording() sluice.Recording {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meta.Recording
}

func (c *record) bytes() (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, segments := range c.segments {
		sum += sizeOf(segments)
	}
	return sum
}

// trim takes away segments that are older than the window, and then the oldest
// while they hold over bytes too much. It returns how many bytes went.
func (c *record) trim(now time.Time, cfg Config, over int64) (freed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := now.Add(-cfg.Window - min(cfg.Window, lateRemoval))
	least := int(3 * longestSegment / cfg.Segment) // what live players need
	for id, segments := range c.segments {
		n := 0
		for n < len(segments)-least {
			s := segments[n]
			if !s.Start.Add(s.Duration).Before(before) && freed >= over {
				break
			}
			freed += s.Size
			n++
		}
		if n == 0 || !c.writer.Remove(id, segments[0].Sequence, segments[n].Sequence) {
			continue
		}
		if c.mirror != nil {
			c.mirror.Remove(id, segments[0].Sequence, segments[n].Sequence)
		}
		c.segments[id] = slices.Clone(segments[n:])
	}
	return freed
}
