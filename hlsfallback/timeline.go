package hlsfallback

import (
	"strconv"
	"time"

	"github.com/sluice-live/sluice"
)

// timeline is the finished segments of a rendition that a playlist lists, with
// their lines, each written once. Appending never changes bytes that are already
// there, so that a rendering may read them without a lock.
type timeline struct {
	entries  []entry
	lines    []byte
	cut      int    // bytes that were removed before lines[0]
	breaks   uint64 // discontinuities that were removed
	duration time.Duration
}

// entry is one segment. Its lines are lines[from-cut:end-cut]; parts go before mid.
type entry struct {
	seg            sluice.Segment
	from, mid, end int
	mapped         bool // its lines name the init section
	fragments      int  // parts that it was made of
}

func (tl *timeline) add(seg sluice.Segment) {
	fragments := len(seg.Parts)
	seg.Parts = nil
	tl.enter(seg, fragments)
}

// enter adds a segment that was made of so many parts.
func (tl *timeline) enter(seg sluice.Segment, fragments int) {
	var previous *sluice.Segment
	if n := len(tl.entries); n > 0 {
		previous = &tl.entries[n-1].seg
		if seg.Sequence <= previous.Sequence {
			return // known
		}
		if seg.Sequence != previous.Sequence+1 {
			*tl = timeline{breaks: tl.breaks + tl.discontinuities()} // numbers are consecutive in a playlist
			previous = nil
		}
	}
	if previous == nil {
		tl.broken(seg)
	}
	e := entry{seg: seg, from: tl.cut + len(tl.lines), fragments: fragments, mapped: previous != nil && (seg.Init != previous.Init || seg.Discontinuity)}
	tl.lines = appendTags(tl.lines, seg, e.mapped)
	e.mid = tl.cut + len(tl.lines)
	tl.lines = appendSegment(tl.lines, seg)
	e.end = tl.cut + len(tl.lines)
	tl.entries = append(tl.entries, e)
	tl.duration += seg.Duration
}

// broken counts the discontinuities before the first listed segment, as it says.
func (tl *timeline) broken(first sluice.Segment) {
	before := first.Breaks
	if first.Discontinuity && before > 0 {
		before--
	}
	tl.breaks = max(tl.breaks, before)
}

func (tl *timeline) discontinuities() (n uint64) {
	for _, e := range tl.entries {
		if e.seg.Discontinuity {
			n++
		}
	}
	return n
}

// trim removes what has left the window.
func (tl *timeline) trim(c Config) {
	n := 0
	for n < len(tl.entries)-1 {
		first := tl.entries[n].seg
		if left := tl.duration - first.Duration; left < c.Window || left < 3*c.Target {
			break
		}
		tl.duration -= first.Duration
		if first.Discontinuity {
			tl.breaks++
		}
		n++
	}
	if n == 0 {
		return
	}
	tl.entries = tl.entries[n:] // the array is left behind when append grows it
	if gone := tl.entries[0].from - tl.cut; gone > len(tl.lines)/2 {
		tl.lines = append(make([]byte, 0, 2*(len(tl.lines)-gone)), tl.lines[gone:]...)
		tl.cut += gone
	}
}

// first is the number of the first listed segment, 0 when there is none.
func (tl *timeline) first() uint64 {
	if len(tl.entries) == 0 {
		return 0
	}
	return tl.entries[0].seg.Sequence
}

// appendCounts writes the sequence numbers of a playlist of all entries.
func (tl *timeline) appendCounts(b []byte) []byte {
	b = append(b, "#EXT-X-MEDIA-SEQUENCE:"...)
	b = strconv.AppendUint(b, tl.first(), 10)
	b = append(b, "\n#EXT-X-DISCONTINUITY-SEQUENCE:"...)
	b = strconv.AppendUint(b, tl.breaks, 10)
	return append(b, '\n')
}

// text returns the lines between two offsets.
func (tl *timeline) text(from, to int) []byte {
	return tl.lines[from-tl.cut : to-tl.cut : to-tl.cut]
}

// find returns a listed segment.
func (tl *timeline) find(seq uint64) (sluice.Segment, bool) {
	if len(tl.entries) == 0 {
		return sluice.Segment{}, false
	}
	i := seq - tl.entries[0].seg.Sequence
	if i >= uint64(len(tl.entries)) {
		return sluice.Segment{}, false
	}
	return tl.entries[i].seg, true
}

// back returns the index of the first of the last segments that are together at
// least d long. It looks at these only.
func (tl *timeline) back(d time.Duration) int {
	i := len(tl.entries)
	for sum := time.Duration(0); i > 0 && sum < d; i-- {
		sum += tl.entries[i-1].seg.Duration
	}
	return i
}
