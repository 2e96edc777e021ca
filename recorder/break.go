package recorder

import "time"

// breakSlack is how far apart renditions of video may begin what is one discontinuity.
const breakSlack = 100 * time.Millisecond

// changes puts the discontinuity with which a rendition has just begun a segment, since
// its decoder's parameters are others, into all: before the first segment of each that
// begins then or later, whatever has been cut already and however late the rest comes
// (RFC 8216bis section 6.2.4).
func (s *show) changes(first *output) {
	if !first.changed {
		return
	}
	first.changed = false
	at, behind := first.begun(), false
	heard := at // where the sound has it, from which other sound is transcoded
	for _, follows := range []bool{false, true} {
		for _, o := range s.outputs {
			if o == first || o.packer == nil || o.follows != follows || o.packer.Breaks() >= first.packer.Breaks() {
				continue // it has the one that this is
			}
			behind = true
			if !o.running() && o.packer.Broken() && !o.fed() && !s.cut.IsZero() {
				o.vacate(s.cut) // what the others have begun since
			}
			if o.id == aacID {
				o.breakFrom(heard)
				continue
			}
			o.breakFrom(at)
			if o.id == soundID && o.running() && !o.packer.Broken() {
				heard = o.begun()
			}
		}
	}
	s.level()
	if behind {
		s.cut, s.waited = time.Time{}, time.Time{}
	}
}

// level lets all renditions have as many discontinuities.
func (s *show) level() {
	if s.record == nil {
		return
	}
	most := s.breaks()
	for _, o := range s.outputs {
		if o.packer != nil {
			o.packer.Owe(most)
		}
	}
}

// begun is when the open segment began.
func (o *output) begun() time.Time {
	at, _ := o.packer.Open()
	return o.packer.Time(at)
}

// breakFrom puts a discontinuity before the first segment that begins at a time or
// later, and lets one begin there if that can be.
func (o *output) breakFrom(at time.Time) {
	tick := o.tickOf(at)
	least := tick
	if o.video {
		least -= o.ticks(breakSlack)
	}
	o.packer.BreakFrom(least)
	if !o.running() {
		return
	}
	n := len(o.cuts)
	for n > 0 && o.cuts[n-1] > least {
		n--
	}
	o.cuts = o.cuts[:n]
	begun, _ := o.packer.Open()
	end := o.packer.End()
	o.next = o.next || o.video && !o.vacant
	switch {
	case tick > end:
		o.cuts = append(o.cuts, tick)
	case o.vacant && begun == end: // a segment is longer than nothing
		o.cuts = append(o.cuts, end+o.ticks(o.show.recorder.cfg.Part))
	case !o.video || o.vacant:
		o.packer.Cut(tick)
		begun, _ = o.packer.Open()
		o.show.coder.cut(o, begun)
	}
}
