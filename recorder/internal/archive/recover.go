package archive

import (
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
)

// Recovered says what a crash has left of a recording.
type Recovered struct {
	Segments map[string][]sluice.Segment
	Adopted  int   // segments that were being written
	Passed   int   // numbers that may have been used, and stand as gaps now
	Trimmed  int64 // bytes of torn ends
}

// Recover makes a recording whole after a crash: the torn last line of each index
// goes away, and of a segment that was being written what is whole becomes a
// segment. Where nothing is, the next number may have been seen by players all the
// same: a gap takes it. A recording that goes on has the same discontinuities in all
// renditions afterwards.
func (a *Archive) Recover(m Meta) (Recovered, error) {
	out := Recovered{Segments: map[string][]sluice.Segment{}}
	for _, r := range m.Renditions {
		if err := a.recoverRendition(m, r, &out); err != nil {
			return out, fmt.Errorf("recover %s of recording %s: %w", r.ID, m.ID, err)
		}
	}
	if !m.Ended.IsZero() {
		return out, nil
	}
	if err := a.level(m.ID, out.Segments); err != nil || m.Closed {
		return out, err
	}
	end := time.Time{}
	for _, segments := range out.Segments {
		if n := len(segments); n > 0 && segments[n-1].Start.Add(segments[n-1].Duration).After(end) {
			end = segments[n-1].Start.Add(segments[n-1].Duration)
		}
	}
	for id, segments := range out.Segments {
		n := len(segments)
		if n == 0 || segments[n-1].Repaired || segments[n-1].Gap {
			continue
		}
		passed, err := a.pass(m.ID, id, segments[n-1], end)
		if err != nil {
			return out, fmt.Errorf("recover %s of recording %s: %w", id, m.ID, err)
		}
		out.Segments[id] = append(segments, passed)
		out.Passed++
	}
	return out, nil
}

// shortestGap and longestGap bound the time that a passed number stands for.
const shortestGap, longestGap = 100 * time.Millisecond, time.Second

// pass puts a gap behind the last segment of an index, up to where others end.
func (a *Archive) pass(rec, rendition string, last sluice.Segment, end time.Time) (sluice.Segment, error) {
	start := last.Start.Add(last.Duration)
	gap := sluice.Segment{
		Sequence: last.Sequence + 1, Init: last.Init, Breaks: last.Breaks, Gap: true, Start: start,
		Duration: max(shortestGap, min(longestGap, end.Sub(start))),
	}
	return gap, a.follow(rec, rendition, []sluice.Segment{gap})
}

func (a *Archive) recoverRendition(m Meta, r sluice.Rendition, out *Recovered) error {
	segments, good, err := a.index(m.ID, r.ID)
	if err != nil {
		return err
	}
	entries, err := a.Store.List(path.Join(m.ID, r.ID))
	if err != nil {
		return nil // the rendition was announced and nothing of it written
	}
	log, err := a.Store.Append(path.Join(m.ID, r.ID, "index"), good)
	if err != nil {
		return err
	}
	defer log.Close()
	next := uint64(0)
	if n := len(segments); n > 0 {
		next = segments[n-1].Sequence + 1
	}
	for _, seq := range unlisted(entries, next) {
		s, trimmed, err := a.adopt(m, r, seq, lastInit(entries, segments))
		if err != nil {
			return err
		}
		out.Trimmed += trimmed
		if s == nil {
			continue
		}
		if segments, err = fill(log, segments, seq, s.Segment.Start); err != nil {
			return err
		}
		if n := len(segments); n > 0 {
			s.Segment.Discontinuity = breaks(segments[n-1], *s.Segment)
			s.Segment.Breaks = Breaks(segments)
			if s.Segment.Discontinuity {
				s.Segment.Breaks++
			}
		}
		if err := appendEntry(log, *s); err != nil {
			return err
		}
		segments = append(segments, *s.Segment)
		out.Adopted++
	}
	if segments, err = a.fillUsed(m, r.ID, log, segments); err != nil {
		return err
	}
	out.Segments[r.ID] = segments
	return log.Sync()
}

// breaks reports whether a segment does not continue the one before it: a
// discontinuity comes with a hole in time or another init section.
func breaks(before, s sluice.Segment) bool {
	return s.Init != before.Init || s.Start.Sub(before.Start.Add(before.Duration)).Abs() > time.Millisecond
}

// unlisted returns the numbers of segment files, finished or not, that the index
// does not know yet, rising.
func unlisted(entries []blob.Entry, next uint64) []uint64 {
	var seqs []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(strings.TrimSuffix(e.Name, blob.Unfinished), segmentX)
		if !ok {
			continue
		}
		if seq, err := strconv.ParseUint(name, 10, 64); err == nil && seq >= next && seq-next < 1000 {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	return seqs
}

// lastInit is the newest init section: what is being written uses it.
func lastInit(entries []blob.Entry, segments []sluice.Segment) int {
	version := 1
	if n := len(segments); n > 0 {
		version = segments[n-1].Init
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(strings.TrimSuffix(e.Name, ".mp4"), "init-")
		if n, err := strconv.Atoi(name); ok && err == nil && n > version {
			version = n
		}
	}
	return version
}

// adopt makes a segment out of what is whole of a file. Nil: nothing is.
func (a *Archive) adopt(m Meta, r sluice.Rendition, seq uint64, init int) (_ *entry, trimmed int64, err error) {
	name := segmentName(m.ID, r.ID, seq)
	data, err := blob.ReadFile(a.Store, name+blob.Unfinished, maxTorn)
	torn := err == nil
	if !torn {
		if data, err = blob.ReadFile(a.Store, name, maxTorn); err != nil {
			return nil, 0, err
		}
	}
	found := fmp4.Walk(data)
	size := int64(0)
	if n := len(found); n > 0 {
		size = found[n-1].Offset + found[n-1].Size
	}
	trimmed = int64(len(data)) - size
	data = data[:size]
	if torn && size > 0 {
		err = a.Store.WriteFile(name, data)
	} else if torn {
		err = a.Store.Remove(name + blob.Unfinished)
	}
	if err != nil || size == 0 {
		return nil, trimmed, err
	}
	s := describe(found, m, r)
	s.Sequence, s.Init, s.Size, s.Repaired = seq, init, size, torn
	return &entry{Segment: &s, CRC: crc32.Checksum(data, castagnoli())}, trimmed, nil
}

// describe makes a segment of fragments: each is a part; time without one is a
// part that is a gap.
func describe(found []fmp4.Found, m Meta, r sluice.Rendition) sluice.Segment {
	scale := int64(fmp4.VideoTimescale)
	if r.Kind == sluice.RenditionAudio {
		scale = fmp4.AudioTimescale
	}
	duration := func(ticks uint64) time.Duration {
		t := int64(ticks)
		return time.Duration(t/scale)*time.Second + time.Duration(t%scale)*time.Second/time.Duration(scale)
	}
	s := sluice.Segment{Start: time.Unix(0, m.Origin).Add(duration(found[0].Start)).UTC()}
	end := found[0].Start
	add := func(p sluice.Part) {
		p.Index = len(s.Parts)
		s.Parts = append(s.Parts, p)
	}
	for _, f := range found {
		if f.Start > end {
			add(sluice.Part{Duration: duration(f.Start - end), Gap: true, Bytes: sluice.ByteRange{Offset: f.Offset}})
		}
		bytes := sluice.ByteRange{Offset: f.Offset, Length: f.Size}
		if f.Key && s.Key.Length == 0 && r.Kind == sluice.RenditionVideo {
			s.Key = bytes
		}
		add(sluice.Part{Duration: duration(f.Ticks), Bytes: bytes, Independent: f.Key})
		end = f.Start + f.Ticks
	}
	s.Duration = duration(end - found[0].Start)
	return s
}
