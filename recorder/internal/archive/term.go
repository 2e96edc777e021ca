package archive

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/sluice-live/sluice"
)

// Term is the time for which one node writes a recording, as the store that nodes
// share has it. A later term has a higher number; it says how much of the earlier
// ones counts, so what a node that was late writes afterwards is read by nobody.
type Term struct {
	Meta
	Log    int       `json:"log,omitempty"`    // number of its log: it is written anew when it is long
	Before []Written `json:"before,omitempty"` // earlier terms, in order
	Bytes  int64     `json:"bytes,omitempty"`  // of an ended recording
}

// Written is how many lines of a term count.
type Written struct {
	Term  uint64 `json:"term"`
	Log   int    `json:"log,omitempty"`
	Lines int    `json:"lines"`
}

// logLine is one line of a term's log: an index entry and its rendition.
type logLine struct {
	Rendition string `json:"rendition"`
	entry
	Term uint64 `json:"term,omitempty"` // that has the media, when it is an earlier one
}

const (
	// chunkLines is how many lines of a log one object holds. The last object is
	// written again with each line that is added.
	chunkLines = 256
	maxChunk   = 64 << 20
	maxTerm    = 4 << 20
	// maxSegment is the largest segment that is read from the shared store.
	maxSegment = 256 << 20
)

func streamFolder(stream string) string { return path.Join("streams", stream) }

func sharedFolder(rec string) string { return path.Join("recordings", rec) }

func termFolder(rec string) string { return path.Join(sharedFolder(rec), "terms") }

func termName(rec string, term uint64) string {
	return path.Join(termFolder(rec), strconv.FormatUint(term, 10))
}

func logsFolder(rec string) string { return path.Join(sharedFolder(rec), "log") }

// logName is the folder of a log: of a term, or of one of its later logs.
func logName(term uint64, log int) string {
	name := strconv.FormatUint(term, 10)
	if log > 0 {
		name += "." + strconv.Itoa(log)
	}
	return name
}

func chunkName(rec string, term uint64, log, n int) string {
	return path.Join(logsFolder(rec), logName(term, log), strconv.Itoa(n))
}

func sharedSegment(rec, rendition string, seq, term uint64) string {
	return path.Join(sharedFolder(rec), "media", rendition, fmt.Sprintf("%d.%d%s", seq, term, segmentX))
}

func sharedInit(rec, rendition string, version int, term uint64) string {
	return path.Join(sharedFolder(rec), "media", rendition, fmt.Sprintf("init-%d.%d.mp4", version, term))
}

func sharedThumbnail(rec string, n uint64) string {
	return path.Join(sharedFolder(rec), "thumbnails", strconv.FormatUint(n, 10)+".jpg")
}

// parseTerm reads the object of a term.
func parseTerm(b []byte, rec string) (Term, error) {
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	t, ok := decodeLine[Term](line)
	if !ok || t.ID != rec || t.Term == 0 || sluice.CheckStreamName(t.Stream) != nil {
		return Term{}, errors.New("the record of a term is damaged")
	}
	for _, w := range append(t.Before[:len(t.Before):len(t.Before)], Written{Log: t.Log}) {
		if w.Lines < 0 || w.Log < 0 || w.Term >= t.Term {
			return Term{}, errors.New("the record of a term is wrong")
		}
	}
	for _, r := range t.Renditions {
		if checkID(r.ID) != nil {
			return Term{}, errors.New("the record of a term names no rendition")
		}
	}
	return t, nil
}

// kept is a segment as the shared store has it.
type kept struct {
	sluice.Segment
	crc  uint32
	term uint64
}

// View is what the shared store has of a recording. It does not change.
type View struct {
	Term     Term
	lines    int // of the newest term
	segments map[string][]kept
}

// Segments returns the segments by rendition, in order.
func (v *View) Segments() map[string][]sluice.Segment {
	all := map[string][]sluice.Segment{}
	for id, list := range v.segments {
		segments := make([]sluice.Segment, len(list))
		for i, k := range list {
			segments[i] = k.Segment
		}
		all[id] = segments
	}
	return all
}

// find returns a segment.
func (v *View) find(rendition string, seq uint64) (kept, bool) {
	list := v.segments[rendition]
	if len(list) == 0 || seq < list[0].Sequence || seq-list[0].Sequence >= uint64(len(list)) {
		return kept{}, false
	}
	return list[seq-list[0].Sequence], true
}

// termOfInit returns the term that an init section was written in.
func (v *View) termOfInit(rendition string, version int) (uint64, bool) {
	list := v.segments[rendition]
	i := slices.IndexFunc(list, func(k kept) bool { return k.Init == version && !k.Gap })
	if i < 0 {
		return 0, false
	}
	return list[i].term, true
}

// add takes lines of a term into the view, and returns how many there are. What is
// damaged ends them.
func (v *View) add(b []byte, term uint64, skip, most int) (n int) {
	for n < most {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		l, ok := decodeLine[logLine](b[:end])
		if !ok || checkID(l.Rendition) != nil || (l.Segment != nil) == (l.Removed > 0) {
			break
		}
		if n++; n > skip {
			v.take(l, term)
		}
		b = b[end+1:]
	}
	return n
}

func (v *View) take(l logLine, term uint64) {
	if l.Term > 0 && l.Term < term {
		term = l.Term
	}
	list := v.segments[l.Rendition]
	if l.Segment == nil {
		n := 0
		for n < len(list)-1 && list[n].Sequence < l.Removed {
			n++
		}
		v.segments[l.Rendition] = list[n:]
		return
	}
	if n := len(list); n > 0 {
		last := list[n-1].Segment
		holes := l.Segment.Sequence - last.Sequence - 1
		if l.Segment.Sequence <= last.Sequence || holes > maxHoles {
			return // known
		}
		for range holes {
			last = sluice.Segment{Sequence: last.Sequence + 1, Init: last.Init, Breaks: last.Breaks, Gap: true, Start: last.Start.Add(last.Duration), Duration: shortestGap}
			list = append(list, kept{last, 0, term})
		}
	}
	v.segments[l.Rendition] = append(list, kept{*l.Segment, l.CRC, term})
}
