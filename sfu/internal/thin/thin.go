package thin

import "github.com/sluice-live/sluice/sfu/internal/codec"

// Point is an operating point: the highest layers that are forwarded.
type Point struct{ Spatial, Temporal uint8 }

// Whole is the point of all layers.
func Whole() Point { return Point{codec.MaxSpatial - 1, codec.MaxTemporal - 1} }

// Filter thins one stream for one viewer. The zero value forwards nothing but
// the lowest layers; see Start.
type Filter struct {
	goal Point // what is wanted
	top  Point // what was wanted when the picture under way began
	now  Point // what can be had of it: layers above refer to what was left out

	asleep bool   // all is forwarded; nothing was looked at
	begun  bool   // a picture is under way
	ts     uint32 // RTP timestamp of that picture

	spatial uint8 // of the frame under way
	kept    bool  // it is forwarded
	ended   bool  // its last packet has come
	number  uint16

	left [codec.MaxSpatial]past // frames that were left out, by space
}

// past is which of the last frames were left out: bit n is set for the one n
// numbers before the newest.
type past struct {
	newest uint16
	bits   uint64
}

// Verdict is what to do with a packet.
type Verdict struct {
	Keep    bool
	Marker  bool // it ends the picture as the viewer gets it
	Joined  bool // what is missing since the packet left out last was left out too
	Picture bool // with this packet a whole picture is left out
}

// Start begins at a keyframe with the layers up to goal.
func (f *Filter) Start(goal Point) {
	*f = Filter{goal: goal, top: goal, now: goal, asleep: goal == Whole()}
}

// Aim changes the layers that are wanted. What changes does so with the next
// picture. ts is the RTP timestamp of the newest packet that was forwarded.
func (f *Filter) Aim(goal Point, ts uint32) {
	if goal == f.goal {
		return
	}
	f.goal = goal
	if f.asleep && goal != Whole() {
		f.asleep, f.begun, f.ts, f.kept = false, true, ts, true
		f.spatial, f.ended = codec.MaxSpatial-1, true
	}
}

// Asleep reports whether everything is forwarded and Next need not be called.
func (f *Filter) Asleep() bool { return f.asleep }

// Goal is what is wanted.
func (f *Filter) Goal() Point { return f.goal }

// Now is what is forwarded of it.
func (f *Filter) Now() Point {
	return Point{min(f.now.Spatial, f.goal.Spatial), min(f.now.Temporal, f.goal.Temporal)}
}

// Waits reports whether a keyframe would bring spatial layers that are wanted.
func (f *Filter) Waits() bool { return !f.asleep && f.now.Spatial < f.goal.Spatial }

// Next decides on the next packet in order of arrival. ts is its RTP timestamp.
func (f *Filter) Next(p *codec.Frame, ts uint32) Verdict {
	if !p.Layered {
		return Verdict{Keep: true}
	}
	ahead := !f.begun || int32(ts-f.ts) > 0
	switch {
	case ahead:
		f.picture(p, ts)
	case ts == f.ts && p.Spatial == f.spatial:
		return f.more(p)
	case ts != f.ts || p.Spatial < f.spatial: // late: as its layer is treated now
		return Verdict{Keep: f.Takes(p)}
	}
	return f.frame(p, ahead)
}

// picture begins a picture, which is when wishes are met.
func (f *Filter) picture(p *codec.Frame, ts uint32) {
	f.begun, f.ts, f.top = true, ts, f.goal
	if p.Key && p.Spatial == 0 {
		f.now, f.left = f.goal, [codec.MaxSpatial]past{}
	} else {
		f.now.Spatial = min(f.now.Spatial, f.goal.Spatial)
		f.now.Temporal = min(f.now.Temporal, f.goal.Temporal)
	}
	if p.RefsSet {
		f.now.Temporal = f.goal.Temporal // each frame says itself what it needs
	}
}

// frame decides on a frame at its first packet to arrive.
func (f *Filter) frame(p *codec.Frame, picture bool) Verdict {
	// Whether all that is missing since the last packet belongs to the frame
	// that was left out last.
	joined := !f.kept && !f.ended && p.Begin && p.Consecutive && p.Number-f.number == 1
	keep := p.Spatial <= f.now.Spatial && f.decodable(p, picture)
	if p.RefsSet {
		f.note(p, !keep)
	}
	f.spatial, f.kept, f.ended, f.number = p.Spatial, keep, p.End, p.Number
	if !keep {
		return Verdict{Joined: joined, Picture: picture}
	}
	if f.goal == Whole() && f.now == Whole() && !f.misses() {
		f.asleep = true
	}
	return Verdict{Keep: true, Joined: joined, Marker: f.marks(p)}
}

// more decides on another packet of the frame under way.
func (f *Filter) more(p *codec.Frame) Verdict {
	f.ended = f.ended || p.End
	return Verdict{Keep: f.kept, Joined: !f.kept, Marker: f.kept && f.marks(p)}
}

// Takes reports whether frames of a packet's layers are forwarded now.
func (f *Filter) Takes(p *codec.Frame) bool {
	return p.Spatial <= f.now.Spatial && p.Temporal <= f.now.Temporal
}

// Marks reports whether a packet was sent as the last of its picture only because
// higher layers are left out now.
func (f *Filter) Marks(p *codec.Frame) bool { return !f.asleep && p.Layered && f.marks(p) }

// marks reports whether a packet is the last of its picture only because higher
// layers are left out.
func (f *Filter) marks(p *codec.Frame) bool { return p.End && p.Spatial == f.now.Spatial }

// decodable reports whether a frame within the wanted spatial layers refers to
// nothing that was left out.
func (f *Filter) decodable(p *codec.Frame, picture bool) bool {
	if p.Temporal > f.top.Temporal || !picture && !f.kept {
		return false
	}
	if p.RefsSet {
		return p.Refs&f.left[p.Space].before(p.Number) == 0
	}
	if p.Temporal <= f.now.Temporal {
		if p.Open {
			f.now.Temporal = f.top.Temporal
		}
		return true
	}
	if p.Temporal == f.now.Temporal+1 && p.Sync {
		f.now.Temporal++
		return true
	}
	return false
}

// note remembers whether a frame was left out.
func (f *Filter) note(p *codec.Frame, left bool) {
	h := &f.left[p.Space]
	if h.bits == 0 {
		h.newest = p.Number
	}
	switch d := int16(p.Number - h.newest); {
	case d > 0:
		h.bits = h.before(p.Number) << 1
		h.newest = p.Number
	case d == 0:
		h.bits &^= 1
	default:
		return
	}
	if left {
		h.bits |= 1
	}
}

// before returns the mask of what was left out before a frame: bit n for the one
// n+1 numbers before it.
func (h *past) before(number uint16) uint64 {
	switch d := int16(number - h.newest); {
	case d <= 0:
		return h.bits >> 1 >> min(-d, 63)
	case d > 64:
		return 0
	default:
		return h.bits << (d - 1)
	}
}

// misses reports whether something was left out that a frame may refer to.
func (f *Filter) misses() bool {
	for i := range f.left {
		if f.left[i].bits != 0 {
			return true
		}
	}
	return false
}
