package hlsfallback

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
)

// track is one rendition of a show: its window of segments, the parts near the
// live edge, and the requests that wait for more.
type track struct {
	show *show
	id   string
	last atomic.Uint64 // position of the last part that can be fetched (position.pack), 0 before the first

	mu   sync.Mutex
	info sluice.Rendition
	timeline
	near     []*nearSegment // the last finished segments, with bytes and parts
	growing  *nearSegment   // nil between segments
	parts    map[string]*part
	hint     string // name that the next part will have; "" before the first part
	inits    map[int]*payload
	over     bool
	drawn    *rendering // of what there is now; nil when nobody asked yet
	whole    *body      // of an archive
	followed *body      // of an archive that is followed as a stream
	keys     *body      // the I-frame playlist of now
	parted   crowd      // for the next part or segment
	ended    crowd      // for the next segment
}

// nearSegment is a segment with its parts in memory.
type nearSegment struct {
	seg   sluice.Segment
	lines []byte // EXT-X-PART for each part
	parts []*part
	data  *payload // of the whole segment, nil while it grows or when it was not seen whole
}

type part struct {
	name     string // without extension
	duration time.Duration
	payload  *payload // nil: a gap
	shelved  bool     // payload has no data: it is from at on in the segment seq on the shelf
	seq      uint64
	at, size int
}

// position is a media sequence number and a part in it.
type position struct {
	msn  uint64
	part int // -1: the segment as a whole
}

func (p position) pack() uint64 { return p.msn<<16 | uint64(p.part+1) }

func unpack(v uint64) position { return position{v >> 16, int(v&0xffff) - 1} }

func newTrack(s *show, info sluice.Rendition) *track {
	return &track{
		show: s, id: info.ID, info: info, parts: map[string]*part{}, inits: map[int]*payload{},
	}
}

func (t *track) describe(info sluice.Rendition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.info = info
}

func (t *track) rendition() sluice.Rendition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.info
}

func (t *track) addInit(version int, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inits[version] = newPayload(data)
	delete(t.inits, version-keepInits)
}

// keepInits is how many init sections of a rendition stay in memory.
const keepInits = 16

func (t *track) addPart(seg sluice.Segment, p sluice.Part, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.growing == nil || t.growing.seg.Sequence != seg.Sequence {
		t.growing = &nearSegment{seg: seg}
		if len(t.entries) == 0 {
			t.broken(seg)
		}
	}
	g := t.growing
	if !slices.ContainsFunc(g.parts, func(p *part) bool { return p.payload != nil }) {
		t.show.begins([]sluice.Part{p})
	}
	name := t.hint
	if name == "" {
		name = partName(seg.Sequence, p.Index)
	}
	stored := &part{name: name, duration: p.Duration, payload: newPayload(data)}
	if p.Gap {
		stored.payload = nil
	}
	t.parts[name] = stored
	g.parts = append(g.parts, stored)
	g.lines = appendPart(g.lines, name, p)
	g.seg.Duration += p.Duration
	t.hint = partName(seg.Sequence, p.Index+1)
	t.last.Store(position{seg.Sequence, len(g.parts) - 1}.pack())
	t.changed(false)
}

func partName(seq uint64, index int) string {
	return strconv.FormatUint(seq, 10) + "." + strconv.Itoa(index)
}

// addSegment takes a finished segment and reports whether it has stretched the
// target duration.
func (t *track) addSegment(seg sluice.Segment) (stretched bool) {
	stretched = t.show.stretch(seg.Duration)
	t.show.begins(seg.Parts)
	t.mu.Lock()
	defer t.mu.Unlock()
	near := &nearSegment{}
	if t.growing != nil && t.growing.seg.Sequence == seg.Sequence {
		near = t.growing
		t.growing = nil
	}
	near.seg = seg
	near.join()
	t.add(seg)
	if t.show.whole() {
		t.trim(t.show.config)
	}
	t.near = append(t.near, near)
	t.forget()
	t.last.Store(max(t.last.Load(), position{seg.Sequence, len(near.parts) - 1}.pack()))
	t.changed(true)
	return stretched
}

// join makes one piece of the parts, which stay as pieces of it.
func (n *nearSegment) join() {
	size := 0
	for _, p := range n.parts {
		if p.payload != nil {
			size += len(p.payload.data)
		}
	}
	if n.seg.Gap || size == 0 || int64(size) != n.seg.Size {
		return // read from the shelf
	}
	whole := make([]byte, 0, size)
	for _, p := range n.parts {
		if p.payload == nil {
			return
		}
		from := len(whole)
		whole = append(whole, p.payload.data...)
		p.payload = p.payload.moved(whole[from:len(whole):len(whole)])
		p.seq, p.at, p.size = n.seg.Sequence, from, len(whole)-from
	}
	n.data = newPayload(whole)
}

// shelve lets go of the bytes of a segment, which is durable, and of its parts.
// A segment that was not seen whole keeps its parts: who knows where they are.
func (n *nearSegment) shelve() {
	if n.data == nil {
		return
	}
	n.data = nil
	for _, p := range n.parts {
		p.payload, p.shelved = p.payload.moved(nil), true
	}
}

// forget lets go of bytes and parts that are too old to be fetched from memory.
func (t *track) forget() {
	age := time.Duration(0)
	keep := len(t.near)
	for keep > 0 && age <= t.show.config.keepParts()+t.near[keep-1].seg.Duration {
		keep--
		age += t.near[keep].seg.Duration
	}
	for _, n := range t.near[:keep] {
		for _, p := range n.parts {
			delete(t.parts, p.name)
		}
	}
	t.near = slices.Delete(t.near, 0, keep)
}

func (t *track) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.growing = nil
	for _, n := range t.near {
		n.shelve()
	}
	t.changed(true)
}

// changed wakes who waits. mu is held.
func (t *track) changed(segment bool) {
	t.drawn = nil
	t.parted.wake(t.show.ushers)
	if segment {
		t.keys = nil
		t.ended.wake(t.show.ushers)
	}
}

// prepend puts the past before what has come meanwhile.
func (t *track) prepend(past []sluice.Segment) {
	for _, seg := range past {
		t.show.stretch(seg.Duration)
		t.show.begins(seg.Parts)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.timeline
	first, some := uint64(0), true
	switch {
	case len(now.entries) > 0:
		first = now.entries[0].seg.Sequence
	case t.growing != nil:
		first = t.growing.seg.Sequence
	default:
		some = false
	}
	t.timeline = timeline{}
	for _, seg := range past {
		if !some || seg.Sequence < first {
			t.add(seg)
			t.last.CompareAndSwap(0, position{seg.Sequence, -1}.pack())
			if l := unpack(t.last.Load()); l.msn < seg.Sequence {
				t.last.Store(position{seg.Sequence, -1}.pack())
			}
		}
	}
	for _, e := range now.entries {
		t.enter(e.seg, e.fragments)
	}
	t.trim(t.show.config)
	if n := len(past); n > 0 && t.hint == "" && !t.show.archive { // it goes on with this after a restart
		t.hint = partName(past[n-1].Sequence+1, 0)
	}
	t.changed(true)
	if len(past) > 0 {
		t.show.begun()
	}
}
