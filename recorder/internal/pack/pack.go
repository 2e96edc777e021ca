package pack

import (
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
)

// Output takes what is cut, in order. Neither may block.
type Output interface {
	Part(growing sluice.Segment, p sluice.Part, data []byte)
	Segment(s sluice.Segment)
}

// Config says how to cut.
type Config struct {
	Track     uint32        // ID in the fragments
	Timescale int64         // ticks per second
	Part      time.Duration // nominal length
	Origin    time.Time     // capture time of tick 0
	Next      uint64        // number of the first segment
	Breaks    uint64        // discontinuities before it
}

// Packer is one rendition.
type Packer struct {
	out   Output
	scale int64
	track uint32
	base  time.Time

	nominal, longest int64 // of a part, ticks
	fragments        uint32

	seq    uint64
	init   int     // version of the init section for the next segment
	owed   []int64 // discontinuities to come: each before a segment that begins at a tick or later
	merge  bool    // the next of them is that of the open segment, if nothing comes into that
	breaks uint64

	segment *sluice.Segment // nil: none is open
	begun   int64           // when it begins
	media   bool            // it has any

	part  []sample // complete samples of the open part
	from  int64    // when the open part begins
	held  *sample  // the newest sample, whose duration is not known
	end   int64    // where everything that was cut ends
	empty bool     // that is a gap
	usual int64    // duration of the newest complete sample
}

// sample is shown at a tick. It is decoded then too, or earlier after a pause (bridge).
type sample struct {
	at, decoded int64
	fmp4.Sample
}

// New returns a packer that has no segment open.
func New(c Config, out Output) *Packer {
	p := &Packer{out: out, scale: c.Timescale, track: c.Track, base: c.Origin, seq: c.Next, breaks: c.Breaks, end: -1 << 62}
	p.nominal, p.longest = p.ticks(c.Part), p.ticks(sluice.LongestPart(c.Part))
	return p
}

func (p *Packer) ticks(d time.Duration) int64 {
	return int64(d/time.Second)*p.scale + int64(d%time.Second)*p.scale/int64(time.Second)
}

func (p *Packer) duration(ticks int64) time.Duration {
	return time.Duration(ticks/p.scale)*time.Second + time.Duration(ticks%p.scale)*time.Second/time.Duration(p.scale)
}

// At returns the tick of a capture time.
func (p *Packer) At(t time.Time) int64 { return p.ticks(t.Sub(p.base)) }

// Time returns the capture time of a tick.
func (p *Packer) Time(at int64) time.Time { return p.base.Add(p.duration(at)) }

// Open reports whether a segment is open, and when it began.
func (p *Packer) Open() (begun int64, ok bool) { return p.begun, p.segment != nil || p.held != nil }

// End is where the newest sample begins, or where all that was cut ends.
func (p *Packer) End() int64 {
	if p.held != nil {
		return p.held.at
	}
	return p.end
}

// Growing is the open segment, without its parts.
func (p *Packer) Growing() (s sluice.Segment, ok bool) {
	if p.segment == nil {
		return s, false
	}
	s = *p.segment
	return sluice.Segment{Sequence: s.Sequence, Init: s.Init, Start: s.Start, Discontinuity: s.Discontinuity, Breaks: s.Breaks}, true
}

// Follow goes on behind a segment that was made elsewhere and ends at a tick.
func (p *Packer) Follow(last sluice.Segment, end int64) {
	p.seq, p.breaks, p.end = last.Sequence+1, last.Breaks, end
}

// Next is the number of the segment that is open or comes next.
func (p *Packer) Next() uint64 { return p.seq }

// Format makes the next segment begin with another init section. It is called
// before the Cut or Push that begins the segment.
func (p *Packer) Format(init int) { p.init = init }

// Push adds the sample that begins at a tick, in a new segment when cut is set. A
// sample that does not lie after the one before it is refused.
func (p *Packer) Push(at int64, s fmp4.Sample, cut bool) bool {
	if p.held != nil && at <= p.held.at || at < p.end {
		return false
	}
	p.complete(at)
	decoded := p.bridge(at, cut)
	if cut || p.segment == nil {
		p.closeSegment(decoded)
		p.open(decoded)
	} else if s.Key && len(p.part) > 0 && !p.part[len(p.part)-1].Key {
		p.closePart(decoded)
	}
	s.Offset = uint32(at - decoded)
	p.held = &sample{at, decoded, s}
	return true
}

// complete gives the held sample its duration now that the next one begins at a
// tick, and closes the part when it is long enough.
func (p *Packer) complete(at int64) {
	if p.held == nil {
		return
	}
	h := *p.held
	over := at-p.from > p.longest
	if at-h.decoded > p.longest || over && p.stretches(h) {
		p.stretch()
		return
	}
	p.held = nil
	if at > h.at {
		p.usual = at - h.at
	}
	if over {
		p.closePart(h.decoded)
		p.gap(h.decoded)
	}
	p.add(h, at)
	if long := at - p.from; long >= p.least() && long+p.usual/2 > p.nominal {
		p.closePart(at)
	}
}

// stretches reports whether a picture, whose part would be too long with it and too
// short without it, lasts to the end of that part instead.
func (p *Packer) stretches(h sample) bool {
	return p.track == fmp4.VideoTrack && len(p.part) > 0 && h.decoded-p.from < p.least()
}

// bridge fills the time from the last part to a tick at which media goes on, and
// returns when what is shown then is to be decoded: a publisher that sends few pictures
// for a while, as of a screen that stands still, has lost nothing. Players wait for a
// keyframe behind a gap, so the picture before the pause lasts, as far as parts may, and
// those after it are decoded early until they have caught up. What is left behind gaps
// and too short for a part of its own, within a segment, begins the next one.
func (p *Packer) bridge(at int64, cut bool) (decoded int64) {
	if p.segment == nil || len(p.part) > 0 || p.end >= at {
		return at
	}
	if p.track == fmp4.VideoTrack && !p.empty && at-p.end <= p.ticks(longestPause) {
		return p.end
	}
	to := at
	if !cut {
		if left := (at - p.end) % p.nominal; left < p.least() {
			to -= left
		}
	}
	p.gap(to)
	if p.track == fmp4.VideoTrack {
		return to
	}
	return at
}

// longestPause is how long before it is shown a picture may be decoded.
const longestPause = 1500 * time.Millisecond

// least is the duration of a part within a segment.
func (p *Packer) least() int64 { return p.longest * shortestPart / 100 }

// shortestPart is what a part within a segment lasts at least, in percent of the
// longest (draft-pantos-hls-rfc8216bis section 4.4.4.9).
const shortestPart = 85

// add puts a sample that ends at a tick into the open part.
func (p *Packer) add(s sample, end int64) {
	s.Ticks = uint32(end - s.decoded)
	p.part = append(p.part, s)
}

// stretch makes the held sample last to the end of its part, since no other is
// known to come.
func (p *Packer) stretch() {
	h := *p.held
	p.held = nil
	end := max(p.from+p.nominal, h.decoded+min(p.usual, p.nominal))
	switch {
	case end-p.from <= p.longest:
	case p.stretches(h):
		end = p.from + p.nominal
	default:
		p.closePart(h.decoded)
		end = h.decoded + p.nominal
	}
	p.add(h, end)
	p.closePart(end)
}

// Cut ends the segment at the first sample that begins at a tick or later, as
// far as it is not in a part yet, and begins the next one there.
func (p *Packer) Cut(at int64) {
	if p.segment == nil {
		return
	}
	keep := 0
	for keep < len(p.part) && p.part[keep].decoded < at {
		keep++
	}
	rest := append([]sample(nil), p.part[keep:]...)
	start := p.end
	switch {
	case len(rest) > 0:
		start = rest[0].decoded
	case p.held != nil:
		start = p.held.decoded
	}
	p.part = p.part[:keep]
	if keep > 0 {
		p.closePart(start)
	}
	if p.held == nil && len(rest) == 0 {
		start = max(start, at)
	}
	if len(p.part) == 0 {
		p.gap(start)
	}
	p.closeSegment(start)
	p.open(start)
	p.part, p.from = rest, start
}

// Flush closes the open segment. The held sample lasts as long as the one
// before it.
func (p *Packer) Flush() {
	if p.held != nil {
		last := p.usual
		if last <= 0 || last > p.longest {
			last = p.scale / 30
		}
		p.complete(p.held.decoded + last)
	}
	if p.segment != nil {
		p.closeSegment(p.segmentEnd())
	}
}

// Idle fills the time up to a tick with gaps, as far as they have the length of a
// part: there is no sample and none will come for it.
func (p *Packer) Idle(at int64) {
	if p.segment == nil || at <= p.End() {
		return
	}
	if p.held != nil {
		p.stretch()
	}
	p.gap(p.end + (at-p.end)/p.nominal*p.nominal)
}

// Vacate opens a segment at a tick that nothing is known to come for. It reports
// false when that lies before what was cut.
func (p *Packer) Vacate(at int64) bool {
	if p.segment != nil || at < p.end {
		return false
	}
	p.open(at)
	p.empty = true
	return true
}

func (p *Packer) segmentEnd() int64 {
	if len(p.part) > 0 {
		last := p.part[len(p.part)-1]
		return last.decoded + int64(last.Ticks)
	}
	return p.end
}

func (p *Packer) open(at int64) {
	broken := len(p.owed) > 0 && p.owed[0] <= at
	if broken {
		p.owed = p.owed[1:]
		p.breaks++
	}
	p.segment = &sluice.Segment{Sequence: p.seq, Init: p.init, Start: p.Time(at), Discontinuity: broken, Breaks: p.breaks}
	p.merge, p.media, p.begun, p.from, p.end = false, false, at, at, at
}

// closePart ends the open part at a tick.
func (p *Packer) closePart(at int64) {
	if len(p.part) == 0 {
		return
	}
	samples := make([]fmp4.Sample, len(p.part))
	for i, s := range p.part {
		samples[i] = s.Sample
	}
	p.fragments++
	data := fmp4.Fragment(p.track, p.fragments, uint64(max(0, p.part[0].decoded)), samples)
	p.addPart(sluice.Part{Duration: p.duration(at - p.from), Independent: samples[0].Key}, data)
	p.media, p.empty = true, false
	p.part, p.end, p.from = p.part[:0], at, at
}

// gap fills the time up to a tick with parts that have no media, all of one length
// unless that were too short within a segment: then only the last is shorter.
func (p *Packer) gap(to int64) {
	for p.end < to {
		left := to - p.end
		n := (left + p.longest - 1) / p.longest
		next := p.end + left/n
		if n > 1 && left/n < p.least() {
			next = p.end + p.nominal
		}
		p.addPart(sluice.Part{Duration: p.duration(next - p.end), Gap: true}, nil)
		p.end, p.from, p.empty = next, next, true
	}
}

func (p *Packer) addPart(part sluice.Part, data []byte) {
	s := p.segment
	part.Index = len(s.Parts)
	part.Bytes = sluice.ByteRange{Offset: s.Size, Length: int64(len(data))}
	if part.Independent && s.Key.Length == 0 && p.track == fmp4.VideoTrack {
		s.Key = part.Bytes
	}
	s.Size += part.Bytes.Length
	s.Parts = append(s.Parts, part)
	p.out.Part(sluice.Segment{Sequence: s.Sequence, Init: s.Init, Start: s.Start, Discontinuity: s.Discontinuity, Breaks: s.Breaks}, part, data)
}

// closeSegment ends the open segment at a tick.
func (p *Packer) closeSegment(at int64) {
	s := p.segment
	if s == nil {
		return
	}
	p.closePart(at)
	p.segment = nil
	if len(s.Parts) == 0 { // its number is free still
		if s.Discontinuity {
			if !p.merge {
				p.owed = append([]int64{always}, p.owed...)
			}
			p.breaks--
		}
		return
	}
	s.Duration, s.Gap = p.duration(at-p.begun), !p.media
	p.end = at
	p.seq++
	p.out.Segment(*s)
}
