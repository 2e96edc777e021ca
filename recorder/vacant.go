package recorder

import (
	"slices"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// A rendition that nobody feeds, since its publisher came back with fewer layers or
// without sound, goes on with gaps while another has media: players that have chosen it
// find out, and take one of the others.

// fed reports whether something brings media for a rendition.
func (o *output) fed() bool {
	if slices.ContainsFunc(o.show.coder.running(), func(g *rung) bool { return g.out == o }) {
		return true
	}
	from := o.id
	if from == aacID && o.show.coder.aac != nil {
		from = soundID
	}
	return slices.ContainsFunc(o.show.lanes, func(l *lane) bool { return l.out != nil && l.out.id == from && l.track != 0 })
}

// fillVacant puts gaps into renditions that nobody feeds, cut with the others, or by the
// clock where no picture gives a beat: a playlist goes on within one and a half target
// durations (draft-pantos-hls-rfc8216bis section 6.2.1).
func (s *show) fillVacant(now time.Time) {
	if s.cut.IsZero() && !s.overdue(now) {
		return
	}
	until, beats := s.vacantUntil(now)
	for target := s.recorder.cfg.Segment; !beats && until.Sub(s.cut) >= target; {
		s.began(s.cut.Add(target))
	}
	for _, o := range s.outputs {
		if o.packer == nil || o.fed() {
			continue
		}
		if !o.running() {
			if now.Sub(s.cut) < s.recorder.cfg.Segment/2 {
				continue // it may begin a little later than the others
			}
			o.vacate(s.cut)
		}
		if o.vacant {
			o.gaps(o.tickOf(until))
		}
	}
}

// overdue reports whether no picture has come for too long since the last break, and
// begins gaps in all renditions of video then.
func (s *show) overdue(now time.Time) bool {
	if now.Sub(s.broken) < videoPatience || slices.ContainsFunc(s.outputs, func(o *output) bool { return o.video && o.running() }) {
		return false
	}
	for _, o := range s.outputs {
		if o.video && o.packer != nil {
			o.vacate(s.broken)
			s.cut = s.broken
		}
	}
	return !s.cut.IsZero()
}

// vacantUntil is up to when renditions that nobody feeds are gaps, and whether others
// have pictures, which say where segments begin: a little behind these, so that a layer
// that comes last finds its place.
func (s *show) vacantUntil(now time.Time) (until time.Time, beats bool) {
	until = now.Add(-videoPatience)
	for _, o := range s.outputs {
		if !o.video || !o.running() || o.vacant {
			continue
		}
		beats = true
		if t := o.newest().Add(-vacantPatience); t.After(until) {
			until = t
		}
	}
	return until, beats
}

// cover lets gaps stand for the time before the first media of a rendition, as where
// the layers of a publisher come one after the other: all cover the same time, and
// players never look for what does not exist.
func (o *output) cover(tick int64) {
	if !o.fresh {
		return
	}
	o.fresh = false
	s := o.show
	gaps := archive.Ahead(s.lead(o), o.packer.Time(tick), s.recorder.cfg.Part/2)
	if len(gaps) == 0 {
		return
	}
	last := gaps[len(gaps)-1]
	o.packer.Follow(last, min(tick, o.packer.At(last.Start.Add(last.Duration))))
	if s.breaks() > last.Breaks {
		o.packer.Break()
	}
	s.record.sent(o.id, gaps...)
	s.record.writer.Gaps(o.id, gaps)
	for _, g := range gaps {
		s.recorder.deps.Sink.Segment(s.meta.ID, o.id, g)
	}
}

// lead lists the segments of the rendition that goes back furthest, the growing one
// included.
func (s *show) lead(but *output) (lead []sluice.Segment) {
	for _, o := range s.outputs {
		if o == but {
			continue
		}
		list := s.record.finished(o.id)
		if o.packer != nil {
			if growing, ok := o.packer.Growing(); ok {
				list = append(list, growing)
			}
		}
		if len(list) > 0 && (len(lead) == 0 || list[0].Start.Before(lead[0].Start)) {
			lead = list
		}
	}
	return lead
}

// vacate begins a gap at a time.
func (o *output) vacate(at time.Time) {
	o.cover(o.tickOf(at))
	o.vacant = o.packer.Vacate(max(o.packer.End(), o.tickOf(at)))
	o.next, o.lost, o.cuts = true, o.video, nil
}

// pause fills the time without a publisher: a discontinuity, and then gaps in all
// renditions, cut together, so that players do not wait for what will not come.
func (s *show) pause(now time.Time) {
	var newest time.Time
	for _, o := range s.outputs {
		if o.running() && !o.vacant {
			return // the publisher may still go on with it
		}
		if t := o.newest(); t.After(newest) {
			newest = t
		}
	}
	if s.record == nil || newest.IsZero() {
		return
	}
	if s.left.IsZero() {
		s.left, s.cut = newest, newest
	}
	if s.cut.IsZero() { // a publisher's tracks have come before its state, or gone late
		s.cut = newest
	}
	for _, o := range s.outputs {
		if o.packer != nil && !o.running() {
			o.vacate(s.left)
		}
	}
	until := now.Add(-videoPatience)
	for until.Sub(s.cut) >= s.recorder.cfg.Segment {
		s.began(s.cut.Add(s.recorder.cfg.Segment))
	}
	for _, o := range s.outputs {
		if o.vacant {
			o.gaps(o.tickOf(until))
		}
	}
}

// gaps fills the time up to a tick, cut where the others are.
func (o *output) gaps(until int64) {
	for len(o.cuts) > 0 && o.cuts[0] <= until {
		at := o.cuts[0]
		o.cuts = o.cuts[1:]
		o.packer.Idle(at)
		o.packer.Cut(at)
		o.show.coder.cut(o, at)
	}
	if until-o.packer.End() >= o.ticks(o.show.recorder.cfg.Part) {
		o.packer.Idle(until)
	}
	if begun, _ := o.packer.Open(); o.packer.End()-begun >= o.ticks(longestSegment) {
		o.packer.Cut(o.packer.End())
	}
}

// leaveVacant closes them: the next publisher may feed them again.
func (s *show) leaveVacant() {
	for _, o := range s.outputs {
		if o.vacant {
			o.vacant = false
			o.flush()
		}
	}
}

// breaks is how many discontinuities there are before what a rendition brings that
// begins now: as many as before what comes next of the others.
func (s *show) breaks() (most uint64) {
	running := map[string]bool{}
	for _, o := range s.outputs {
		if o.packer != nil {
			running[o.id] = true
			most = max(most, o.packer.Breaks())
		}
	}
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	for id, before := range s.record.segments {
		if len(before) > 0 && !running[id] { // it goes on with a discontinuity
			most = max(most, archive.Breaks(before)+1)
		}
	}
	return most
}
