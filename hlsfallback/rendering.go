package hlsfallback

import (
	"strconv"
	"sync"
	"time"
)

// rendering is the media playlist of a track at one moment. What it is made of
// is captured under the track's lock; the text is made once, by the first of
// those who want it, and shared.
type rendering struct {
	show     *show
	over     bool
	target   time.Duration
	config   Config
	sequence uint64
	breaks   uint64
	first    int      // init section of the first listed segment, -1: its lines name it or there is none
	resume   int      // the same of the first segment that a delta update keeps
	skipped  int      // segments that a delta update leaves out, 0: none
	old      []byte   // lines of segments that a delta update leaves out
	kept     []byte   // lines between these and the tail
	tail     [][]byte // the last segments with their parts, in pieces
	hint     string
	reports  []report
	long     bool // delta updates are offered

	fullOnce, deltaOnce sync.Once
	fullBody, deltaBody *body
}

type report struct {
	rendition string
	last      position
}

// capture collects what a playlist is made of. mu is held.
func (t *track) capture() *rendering {
	c := t.show.config
	r := &rendering{
		show: t.show, over: t.over, target: t.show.target(), config: c, breaks: t.breaks,
		first: -1, resume: -1,
	}
	r.long = c.Window > 2*r.skipUntil()
	if n := len(t.entries); n > 0 {
		r.sequence = t.entries[0].seg.Sequence
	} else if t.growing != nil {
		r.sequence = t.growing.seg.Sequence
	}
	tail := t.back(3 * r.target)
	keep := min(t.back(r.skipUntil()), tail)
	if n := len(t.entries); n > 0 {
		start := t.entries[0].from
		bounds := func(i int) int {
			if i == n {
				return t.entries[n-1].end
			}
			return t.entries[i].from
		}
		r.old, r.kept = t.text(start, bounds(keep)), t.text(bounds(keep), bounds(tail))
		r.skipped = keep
		r.first = t.initBefore(0)
		r.resume = t.initBefore(keep)
	}
	t.captureTail(r, tail)
	if !t.over {
		r.hint = t.hint
		r.reports = t.reports()
	}
	return r
}

// initBefore is the init section that stands before entry i when its own lines
// do not name one.
func (t *track) initBefore(i int) int {
	if i < len(t.entries) && !t.entries[i].mapped {
		return t.entries[i].seg.Init
	}
	return -1
}

// captureTail adds the segments from index from on, and the growing one.
func (t *track) captureTail(r *rendering, from int) {
	parts := map[uint64][]byte{}
	for _, n := range t.near {
		parts[n.seg.Sequence] = n.lines
	}
	for _, e := range t.entries[from:] {
		r.tail = append(r.tail, t.text(e.from, e.mid), parts[e.seg.Sequence], t.text(e.mid, e.end))
	}
	g := t.growing
	if g == nil || t.over {
		return
	}
	mapped := g.seg.Discontinuity
	if n := len(t.entries); n == 0 || t.entries[n-1].seg.Init != g.seg.Init {
		mapped = true
	}
	r.tail = append(r.tail, appendTags(nil, g.seg, mapped), g.lines[:len(g.lines):len(g.lines)])
}

// reports says how far the other renditions are. A part is stored before its
// position is, so none is named that cannot be fetched.
func (t *track) reports() []report {
	var reports []report
	for _, other := range t.show.list() {
		if last := other.last.Load(); other != t && last != 0 {
			reports = append(reports, report{other.id, unpack(last)})
		}
	}
	return reports
}

// full returns the whole playlist.
func (r *rendering) full() *body {
	r.fullOnce.Do(func() {
		b := r.appendHead(make([]byte, 0, 1024+len(r.old)+len(r.kept)+r.tailSize()))
		if r.first >= 0 {
			b = appendMap(b, r.first)
		}
		b = append(b, r.old...)
		b = append(b, r.kept...)
		r.fullBody = newBody(r.appendTail(b))
	})
	return r.fullBody
}

// delta returns the playlist with the segments left out that are older than the
// skip boundary, or nil where delta updates are not offered or leave out nothing.
func (r *rendering) delta() *body {
	if !r.long || r.over || r.skipped == 0 {
		return nil
	}
	r.deltaOnce.Do(func() {
		b := r.appendHead(make([]byte, 0, 1024+len(r.kept)+r.tailSize()))
		b = append(b, "#EXT-X-SKIP:SKIPPED-SEGMENTS="...)
		b = strconv.AppendInt(b, int64(r.skipped), 10)
		b = append(b, '\n')
		if r.resume >= 0 {
			b = appendMap(b, r.resume)
		}
		b = append(b, r.kept...)
		r.deltaBody = newBody(r.appendTail(b))
	})
	return r.deltaBody
}

// skipUntil is how old segments are that a delta update leaves out.
func (r *rendering) skipUntil() time.Duration { return 6 * r.target }

func (r *rendering) tailSize() (n int) {
	for _, piece := range r.tail {
		n += len(piece)
	}
	return n
}

func (r *rendering) appendHead(b []byte) []byte {
	b = append(r.show.appendVersion(b, "9"), "#EXT-X-TARGETDURATION:"...)
	b = strconv.AppendInt(b, int64(r.target/time.Second), 10)
	b = append(b, "\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK="...)
	b = appendSeconds(b, r.config.partHoldBack())
	b = append(b, ",HOLD-BACK="...)
	b = appendSeconds(b, 3*r.target)
	if r.long {
		b = append(b, ",CAN-SKIP-UNTIL="...)
		b = appendSeconds(b, r.skipUntil())
	}
	b = append(b, "\n#EXT-X-PART-INF:PART-TARGET="...)
	b = appendSeconds(b, r.config.Part)
	b = append(b, "\n#EXT-X-MEDIA-SEQUENCE:"...)
	b = strconv.AppendUint(b, r.sequence, 10)
	b = append(b, "\n#EXT-X-DISCONTINUITY-SEQUENCE:"...)
	b = strconv.AppendUint(b, r.breaks, 10)
	return append(b, '\n')
}

func (r *rendering) appendTail(b []byte) []byte {
	for _, piece := range r.tail {
		b = append(b, piece...)
	}
	if r.over {
		return append(b, "#EXT-X-ENDLIST\n"...)
	}
	if r.hint != "" {
		b = append(b, `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="`...)
		b = append(b, r.hint...)
		b = append(b, ".m4s\"\n"...)
	}
	for _, other := range r.reports {
		b = append(b, `#EXT-X-RENDITION-REPORT:URI="../`...)
		b = append(b, other.rendition...)
		b = append(b, `/index.m3u8",LAST-MSN=`...)
		b = strconv.AppendUint(b, other.last.msn, 10)
		if other.last.part >= 0 {
			b = append(b, ",LAST-PART="...)
			b = strconv.AppendInt(b, int64(other.last.part), 10)
		}
		b = append(b, '\n')
	}
	return b
}
