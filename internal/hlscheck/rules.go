package hlscheck

import (
	"fmt"
	"time"
)

// History holds what a rendition has shown so far, and finds what contradicts
// it. It is not safe for concurrent use.
type History struct {
	report   func(rule, detail string)
	seen     map[uint64]Segment // whole segments, by number
	parts    map[string]string  // address of a part to its position
	first    *Playlist
	last     *Playlist
	segments uint64    // one more than the number of the newest whole segment
	came     time.Time // when that came
}

// tolerances of the clock and of rounding.
const (
	rounding   = 60 * time.Microsecond // of one duration with five decimals, summed up with others
	dateSlack  = 60 * time.Millisecond // of dates against durations
	partSlack  = 1500 * time.Microsecond
	lateFactor = 1.5
)

// NewHistory makes a History that reports each violation as rule and detail.
func NewHistory(report func(rule, detail string)) *History {
	return &History{report: report, seen: map[uint64]Segment{}, parts: map[string]string{}}
}

func (h *History) fail(rule, format string, args ...any) {
	h.report(rule, fmt.Sprintf(format, args...))
}

// Take compares a playlist that came at a time with the ones before it.
func (h *History) Take(p *Playlist, at time.Time) {
	h.header(p)
	if h.last != nil {
		h.changes(p)
	} else {
		h.first = p
	}
	h.list(p)
	h.positions(p, at)
	h.last = p
}

func (h *History) header(p *Playlist) {
	c := p.Control
	if p.Target == 0 || p.TargetsRepeat {
		h.fail("4.4.3.1", "EXT-X-TARGETDURATION is not there once")
	}
	if need := versionFor(p); p.Version < need {
		h.fail("7", "version %d with tags of version %d", p.Version, need)
	}
	if p.AfterEnd {
		h.fail("4.4.3.4", "lines follow EXT-X-ENDLIST")
	}
	if len(p.UnknownTags) > 0 {
		h.fail("4.4", "unknown tags %v", p.UnknownTags)
	}
	if p.Ended || p.Type != "" {
		return
	}
	if c.Blocks && p.PartTarget > 0 && c.PartHoldBack < 3*p.PartTarget-rounding {
		h.fail("4.4.3.8", "PART-HOLD-BACK %v with part target %v", c.PartHoldBack, p.PartTarget)
	}
	if c.HoldBack != 0 && c.HoldBack < 3*p.Target {
		h.fail("4.4.3.8", "HOLD-BACK %v with target duration %v", c.HoldBack, p.Target)
	}
	if c.SkipUntil != 0 && c.SkipUntil < 6*p.Target {
		h.fail("4.4.3.8", "CAN-SKIP-UNTIL %v with target duration %v", c.SkipUntil, p.Target)
	}
	if len(p.Hints) > 1 {
		h.fail("4.4.5.3", "%d hints of parts", len(p.Hints))
	}
	if p.PartTarget > 0 && len(p.Hints) == 0 && h.last != nil {
		h.fail("4.4.5.3", "no hint of the next part")
	}
}

func versionFor(p *Playlist) int {
	switch {
	case p.Skipped > 0 || p.Control.SkipUntil > 0:
		return 9
	case len(p.Segments) > 0 && p.Segments[0].Map != "":
		return 6
	}
	return 3
}

// changes checks what may change between two playlists (section 6.2.1).
func (h *History) changes(p *Playlist) {
	was := h.last
	if p.Target != h.first.Target {
		h.fail("4.4.3.1", "target duration was %v and is %v", h.first.Target, p.Target)
	}
	if p.PartTarget != h.first.PartTarget {
		h.fail("4.4.3.7", "part target was %v and is %v", h.first.PartTarget, p.PartTarget)
	}
	if p.Sequence < was.Sequence {
		h.fail("6.2.2", "media sequence fell from %d to %d", was.Sequence, p.Sequence)
	}
	if p.Discontinuity < was.Discontinuity {
		h.fail("6.2.2", "discontinuity sequence fell from %d to %d", was.Discontinuity, p.Discontinuity)
	}
	if was.Ended && !p.Ended {
		h.fail("4.4.3.4", "EXT-X-ENDLIST is gone")
	}
	left := was.Discontinuity
	for n := was.Sequence; n < p.Sequence; n++ {
		if s, ok := h.seen[n]; ok && s.Discontinuity {
			left++
		} else if !ok {
			return // it was skipped since we have come
		}
	}
	if left != p.Discontinuity {
		h.fail("6.2.2", "discontinuity sequence is %d, should be %d", p.Discontinuity, left)
	}
}

// list checks each segment and part against what they were before.
func (h *History) list(p *Playlist) {
	total := time.Duration(0)
	for i := range p.Segments {
		s := &p.Segments[i]
		total += s.Duration
		if known, ok := h.seen[s.Sequence]; ok {
			h.same(known, *s)
		} else {
			h.fresh(p, *s)
		}
		h.seen[s.Sequence] = *s
	}
	for _, s := range append(p.Segments[:len(p.Segments):len(p.Segments)], p.Growing) {
		for n, part := range s.Parts {
			where := fmt.Sprintf("%d.%d", s.Sequence, n)
			if was, ok := h.parts[part.URI]; ok && was != where {
				h.fail("6.2.2", "address %s was part %s and is %s", part.URI, was, where)
			}
			h.parts[part.URI] = where
		}
		h.durations(p, s)
	}
	if p.Skipped > 0 {
		h.delta(p, total)
	}
	h.oldParts(p)
}

// same checks that a listed segment has not changed.
func (h *History) same(was, is Segment) {
	if was.URI != is.URI || was.Duration != is.Duration || was.Gap != is.Gap || was.Discontinuity != is.Discontinuity ||
		was.Map != is.Map || !was.Date.Equal(is.Date) {
		h.fail("6.2.1", "segment %d was %+v and is %+v", is.Sequence, was, is)
	}
}

// fresh checks a segment that is new.
func (h *History) fresh(p *Playlist, s Segment) {
	if s.Duration.Round(time.Second) > p.Target {
		h.fail("4.4.3.1", "segment %d is %v long, the target duration is %v", s.Sequence, s.Duration, p.Target)
	}
	if s.Map == "" {
		h.fail("4.4.4.5", "segment %d has no EXT-X-MAP", s.Sequence)
	}
	before, ok := h.seen[s.Sequence-1]
	if s.Date.IsZero() {
		if !ok || s.Discontinuity {
			h.fail("4.4.4.6", "segment %d has no EXT-X-PROGRAM-DATE-TIME", s.Sequence)
		}
		return
	}
	if !ok || before.Date.IsZero() {
		return
	}
	off := s.Date.Sub(before.Date.Add(before.Duration))
	if !s.Discontinuity && (off > dateSlack || off < -dateSlack) {
		h.fail("4.4.4.6", "segment %d begins %v after the end of the one before it", s.Sequence, off)
	}
	if s.Discontinuity && off < -dateSlack {
		h.fail("4.4.4.6", "segment %d begins before the end of the one before it", s.Sequence)
	}
}

// durations checks the parts of a segment against the part target and the segment.
func (h *History) durations(p *Playlist, s Segment) {
	sum := time.Duration(0)
	for n, part := range s.Parts {
		sum += part.Duration
		if p.PartTarget == 0 {
			h.fail("4.4.3.7", "a part without EXT-X-PART-INF")
			return
		}
		if part.Duration > p.PartTarget+rounding {
			h.fail("4.4.4.9", "part %d.%d is %v long, the part target is %v", s.Sequence, n, part.Duration, p.PartTarget)
		}
		last := n == len(s.Parts)-1
		if last && s.URI == "" {
			continue // it may be the last of its segment
		}
		if !last && !s.Parts[n+1].Independent && part.Duration < p.PartTarget*85/100 && !part.Gap {
			h.fail("4.4.4.9", "part %d.%d is only %v long, the part target is %v", s.Sequence, n, part.Duration, p.PartTarget)
		}
	}
	if s.URI == "" || len(s.Parts) == 0 || s.Gap {
		return
	}
	if off := sum - s.Duration; off > partSlack || off < -partSlack {
		h.fail("4.4.4.9", "the parts of segment %d are %v long, the segment %v", s.Sequence, sum, s.Duration)
	}
	if p.Independent && !s.Parts[0].Independent && !s.Parts[0].Gap {
		h.fail("4.4.2.1", "segment %d begins with a part that is not independent", s.Sequence)
	}
}

// delta checks that the skipped segments are old enough, and known from before.
func (h *History) delta(p *Playlist, listed time.Duration) {
	if p.Control.SkipUntil == 0 {
		h.fail("6.2.5.1", "a delta update that is not offered")
	}
	for _, part := range p.Growing.Parts {
		listed += part.Duration
	}
	if listed < p.Control.SkipUntil-p.Target {
		h.fail("6.2.5.1", "a delta update lists only %v, CAN-SKIP-UNTIL is %v", listed, p.Control.SkipUntil)
	}
	for n := p.Sequence; n < p.Sequence+uint64(p.Skipped); n++ {
		if _, ok := h.seen[n]; !ok {
			h.fail("6.2.5.1", "segment %d is skipped, and we never saw it", n)
			return
		}
	}
}

// oldParts checks that parts are not listed for too long.
func (h *History) oldParts(p *Playlist) {
	age := time.Duration(0)
	for _, part := range p.Growing.Parts {
		age += part.Duration
	}
	for i := len(p.Segments) - 1; i >= 0; i-- {
		if age > 3*p.Target+p.Target && len(p.Segments[i].Parts) > 0 {
			h.fail("6.2.2", "parts of segment %d are listed %v from the end", p.Segments[i].Sequence, age)
			return
		}
		age += p.Segments[i].Duration
	}
}

// positions checks that the playlist goes on in time and does not fall back.
func (h *History) positions(p *Playlist, at time.Time) {
	next := p.Growing.Sequence
	if h.last == nil {
		h.segments, h.came = next, at
		return
	}
	switch late := time.Duration(lateFactor * float64(p.Target)); {
	case next < h.segments:
		h.fail("6.2.1", "the newest segment was %d and is %d", h.segments-1, next-1)
	case next > h.segments:
		if waited := at.Sub(h.came); waited > late+p.Target/2 {
			h.fail("6.2.1", "segment %d came %v after the one before it", next-1, waited.Round(time.Millisecond))
		}
		h.segments, h.came = next, at
	}
	a, b := h.last, p
	if !b.Ended && len(a.Segments) > 0 && a.Growing.Sequence == b.Growing.Sequence && len(b.Growing.Parts) < len(a.Growing.Parts) {
		h.fail("6.2.1", "segment %d had %d parts and has %d", next, len(a.Growing.Parts), len(b.Growing.Parts))
	}
	total := time.Duration(0)
	for _, s := range p.Segments {
		total += s.Duration
	}
	if p.Sequence > h.first.Sequence && p.Skipped == 0 && total < 3*p.Target-p.Target/2 {
		h.fail("6.2.2", "segments have left, and only %v are listed", total)
	}
}

// apart finds that two playlists, fetched one after the other, do not begin together: what
// one has and another has not is no longer than the target duration (RFC 8216 section
// 6.2.4). A segment may have left between the two.
func apart(a, b *Playlist) string {
	if len(a.Segments) == 0 || len(b.Segments) == 0 {
		return ""
	}
	first, other := a.Segments[0].Date, b.Segments[0].Date
	if off := other.Sub(first); !first.IsZero() && !other.IsZero() && off.Abs() > 2*a.Target {
		return fmt.Sprintf("it begins %v after this one", off)
	}
	return ""
}

// differ finds segments of the same time in two playlists, of which nothing is
// skipped, that have different discontinuity sequence numbers (section 6.2.4).
func differ(a, b *Playlist) string {
	const inside = 200 * time.Millisecond // cuts of renditions are not the same to the millisecond
	numbered := func(p *Playlist, take func(s Segment, number uint64)) {
		number := p.Discontinuity
		for _, s := range p.Segments {
			if s.Discontinuity {
				number++
			}
			if !s.Date.IsZero() {
				take(s, number)
			}
		}
	}
	detail := ""
	numbered(a, func(s Segment, n uint64) {
		middle := s.Date.Add(s.Duration / 2)
		numbered(b, func(other Segment, m uint64) {
			if n != m && middle.Sub(other.Date) > inside && other.Date.Add(other.Duration).Sub(middle) > inside {
				detail = fmt.Sprintf("segment %d has discontinuity sequence number %d, segment %d of the same time has %d", s.Sequence, n, other.Sequence, m)
			}
		})
	})
	return detail
}
