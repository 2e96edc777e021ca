package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// mark says which numbers have been used, for when the disk is so full that the
// index does not take a line: players have seen them, from memory. It is written
// in place, into a file that has its length from the beginning.
type mark struct {
	Next  uint64    `json:"next"`  // the first number that has not been used
	Until time.Time `json:"until"` // when the newest finished segment ended
}

// markSize is the length of the file: a line, and spaces.
const markSize = 128

func markName(rec, rendition string) string { return path.Join(rec, rendition, "used") }

func formatMark(m mark) ([]byte, error) {
	line, err := formatLine(m)
	if err == nil && len(line) > markSize {
		err = errors.New("mark: too long")
	}
	if err != nil {
		return nil, err
	}
	return append(line, bytes.Repeat([]byte{' '}, markSize-len(line))...), nil
}

func parseMark(b []byte) (m mark) {
	line, _, whole := bytes.Cut(b, []byte{'\n'})
	if m, ok := decodeLine[mark](line); ok && whole {
		return m
	}
	return mark{}
}

// makeMark makes the file while there is space. What an earlier process has
// marked is in the index by now (Recover).
func (w *Writer) makeMark(rendition string, o *open) error {
	if o.marked {
		return nil
	}
	b, err := formatMark(mark{})
	if err == nil {
		err = w.archive.Store.WriteFile(markName(w.rec, rendition), b)
	}
	o.marked = err == nil
	return err
}

// use marks a number as used because the index does not tell of it.
func (w *Writer) use(rendition string, o *open, seq uint64) {
	b, err := formatMark(mark{seq + 1, o.until.UTC()})
	if err == nil {
		err = w.archive.Store.Overwrite(markName(w.rec, rendition), b)
	}
	if err != nil {
		w.log.Warn("mark segment as used", "session", w.rec, "rendition", rendition, "segment", seq, "err", err)
	}
}

// maxHoles bounds the segments that Recover puts gaps in the place of.
const maxHoles = 1 << 16

// fill puts gaps up to before a number behind the segments of an index. The last
// of them ends at until, when that is known.
func fill(log blob.Log, segments []sluice.Segment, before uint64, until time.Time) ([]sluice.Segment, error) {
	n := len(segments)
	if n == 0 || before <= segments[n-1].Sequence+1 {
		return segments, nil
	}
	last := segments[n-1]
	holes := before - last.Sequence - 1
	if holes > maxHoles {
		return segments, fmt.Errorf("%d segments are missing behind number %d", holes, last.Sequence)
	}
	start, length := last.Start.Add(last.Duration), last.Duration
	if whole := until.Sub(start); whole >= time.Duration(holes)*time.Millisecond {
		length = whole / time.Duration(holes)
	}
	for range holes {
		last = sluice.Segment{Sequence: last.Sequence + 1, Init: last.Init, Breaks: last.Breaks, Gap: true, Start: start, Duration: length}
		if err := appendEntry(log, entry{Segment: &last}); err != nil {
			return segments, err
		}
		segments = append(segments, last)
		start = start.Add(length)
	}
	return segments, nil
}

// fillUsed puts gaps in the place of numbers that have been used and that the
// index does not know.
func (a *Archive) fillUsed(m Meta, rendition string, log blob.Log, segments []sluice.Segment) ([]sluice.Segment, error) {
	b, err := blob.ReadFile(a.Store, markName(m.ID, rendition), markSize)
	if errors.Is(err, fs.ErrNotExist) {
		return segments, nil
	}
	if err != nil {
		return segments, err
	}
	used := parseMark(b)
	if len(segments) == 0 && used.Next > 0 {
		first := sluice.Segment{Sequence: used.Next - 1, Init: 1, Gap: true, Start: m.Started, Duration: max(time.Second, used.Until.Sub(m.Started))}
		return []sluice.Segment{first}, appendEntry(log, entry{Segment: &first})
	}
	return fill(log, segments, used.Next, used.Until)
}
