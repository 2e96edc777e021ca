package recorder

import (
	"slices"
	"time"
)

// A rendition that nobody feeds, since its publisher came back with fewer layers,
// goes on with gaps while another has pictures: players that have chosen it find
// out, and take one of the others.

// fed reports whether something brings media for a rendition.
func (o *output) fed() bool {
	if !o.video || slices.ContainsFunc(o.show.coder.running(), func(g *rung) bool { return g.out == o }) {
		return true
	}
	for _, l := range o.show.lanes {
		if l.out == o && l.track != 0 {
			return true
		}
	}
	return false
}

// fillVacant puts gaps into renditions of video that nobody feeds.
func (s *show) fillVacant(now time.Time) {
	if s.cut.IsZero() { // no picture since the last break
		return
	}
	for _, o := range s.outputs {
		if o.packer == nil || o.fed() {
			continue
		}
		if !o.running() {
			if now.Sub(s.cut) < s.recorder.cfg.Segment/2 {
				continue // it may begin a little later than the others
			}
			o.vacant = o.packer.Vacate(max(o.packer.End(), o.tickOf(s.cut)))
			o.next, o.lost, o.cuts = true, true, nil
		}
		if o.vacant {
			o.gaps(o.tickOf(now.Add(-videoPatience)))
		}
	}
}

// gaps fills the time up to a tick, cut where the others are.
func (o *output) gaps(until int64) {
	for len(o.cuts) > 0 && o.cuts[0] <= until {
		o.packer.Idle(o.cuts[0])
		o.packer.Cut(o.cuts[0])
		o.cuts = o.cuts[1:]
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
