package choice

import (
	"slices"
	"time"
)

// Layer is one video layer of the stream, or one operating point of it: its
// spatial and temporal layers up to these.
type Layer struct {
	RID           string
	Spatial       int
	Temporal      int
	Width, Height int // pixels; 0 until known
	Bitrate       int // measured, bits per second; 0 until known
	Active        bool
	Keyframe      bool // a keyframe of it has been seen
	Scaled        bool // it is one operating point of several
	Jerky         bool // too few frames a second to be chosen when there is anything smaller
	Partial       bool // upper spatial layers are missing
}

// ID is a number that is there or not.
type ID struct {
	N   int
	Set bool
}

func (id ID) allows(n int) bool { return !id.Set || id.N == n }
func (id ID) bounds(n int) bool { return !id.Set || n <= id.N }

// Limits are what a viewer asks for. Zero values do not limit.
type Limits struct {
	RID       string // exactly this layer
	MaxWidth  int
	MaxHeight int

	Spatial, Temporal       ID // exactly these
	MaxSpatial, MaxTemporal ID
	Complete                bool // no partial layers
	Capped                  bool // MaxHeight is the node's, not the viewer's
}

// pins reports whether the viewer has taken the choice of the picture over.
func (l Limits) pins() bool { return l.RID != "" || l.Spatial.Set }

// pin names what the viewer has taken.
func (l Limits) pin() string {
	return Layer{RID: l.RID, Spatial: l.Spatial.N, Temporal: l.Temporal.N, Scaled: l.Spatial.Set || l.Temporal.Set}.name()
}

// names reports whether a layer is one of those that are asked for exactly.
func (l Limits) names(o Layer) bool {
	return (l.RID == "" || l.RID == o.RID) && l.Spatial.allows(o.Spatial) && l.Temporal.allows(o.Temporal)
}

// Facts are all that a decision depends on besides the state.
type Facts struct {
	Now      time.Duration // on any clock that does not go back
	Layers   []Layer       // the best first
	Limits   Limits
	Estimate int  // bits per second that reach the viewer; 0: not known
	Reserved int  // of these, for audio and retransmissions
	Overuse  bool // a queue is building up on the path
	Pausable bool // the estimate can be trusted to say that nothing fits
	Deaf     bool // it does not rise while no video is sent
}

// Decision is the answer.
type Decision struct {
	Index  int  // of Facts.Layers; -1: none
	Paused bool // no video is better than any layer
	Probe  int  // bits per second that would allow a better layer; 0: none
	Reason Reason
}

const (
	// headroom is what a better layer must leave of the estimate, and strain what
	// a layer may exceed it by before it is left, in percent.
	headroom = 115
	strain   = 105
	// pauseStrain is the same for the smallest layer: below it there is no video.
	pauseStrain = 125
	// pauseAfter is how long that must last: a queue that drains makes the path
	// look worse than it is.
	pauseAfter = 2 * time.Second
	// restMin is how long there is no video then for a viewer whose estimate does not
	// rise meanwhile. It doubles up to restMax until the smallest layer fits.
	restMin = 10 * time.Second
	restMax = time.Minute
	// settle is how long a layer is kept before a better one is tried.
	settle = time.Second
	// held is how long a layer must hold after a step up for the step not to have
	// been a mistake.
	held = time.Minute
	// retryMin and retryMax bound the wait after such a mistake, which doubles
	// with each.
	retryMin = 20 * time.Second
	retryMax = 2 * time.Minute
	// proof is the share of the estimate at such a mistake, in percent, from which
	// on the path is another one.
	proof = 200
	// edge is the share of the rate of a layer that did not hold, in percent, that
	// the path is taken to carry at least: the estimate may have fallen further.
	edge = 75
	// A step down from a layer of more than steep percent of what is left finds the
	// path's queue full. What is taken then leaves room for it to drain and for a
	// keyframe: drain percent.
	steep = 200
	drain = 70
	// bitsPerPixel guesses the rate of a layer that was not measured yet.
	bitsPerPixel = 2
)

// key names a layer.
type key struct {
	rid               string
	spatial, temporal int
}

func (l Layer) key() key { return key{l.RID, l.Spatial, l.Temporal} }

// State is what a viewer's earlier decisions leave behind. The zero value is
// that of a new viewer.
type State struct {
	at      key
	chosen  bool          // at is valid
	since   time.Duration // when it was chosen
	raised  bool          // it was a step up
	failed  key           // the layer that did not hold
	retry   time.Duration // no step up to it or above before
	limit   int           // the estimate when it did not hold
	penalty time.Duration // of the last mistake
	starved bool          // not even the smallest layer fits
	hungry  time.Duration // since when
	paused  bool
	rest    time.Duration // how long the last pause was, at most, without a better estimate
	wake    time.Duration // when it ends
}

// Decide chooses a layer.
func (s *State) Decide(f Facts) Decision {
	usable := eligible(f)
	if len(usable) == 0 {
		return s.nothing(f)
	}
	absent := ""
	if f.Limits.pins() {
		if i := slices.IndexFunc(f.Layers, func(l Layer) bool { return l.Active && f.Limits.names(l) }); i >= 0 {
			return s.take(f, i, 0, Reason{cause: pinned})
		}
		absent = f.Limits.pin()
	}
	var d Decision
	if f.Estimate <= 0 {
		d = s.take(f, usable[0], 0, Reason{cause: unmeasured})
	} else {
		d = s.adapt(f, usable)
	}
	d.Reason.absent, d.Reason.rate = absent, f.Estimate
	if d.Index == usable[0] {
		d.Reason.above = obstacleTo(f, usable[0])
	}
	return d
}

// eligible lists the layers that can be shown within the limits, the best
// first. When all are too large it is the smallest.
func eligible(f Facts) []int {
	var active, fitting []int
	for i, l := range f.Layers {
		if !l.Active || !l.Keyframe || l.Partial && f.Limits.Complete {
			continue
		}
		active = append(active, i)
		if f.Limits.fits(l) {
			fitting = append(fitting, i)
		}
	}
	if len(fitting) == 0 && len(active) > 0 {
		return active[len(active)-1:]
	}
	return fitting
}

// fits reports whether a layer is one to choose automatically.
func (l Limits) fits(o Layer) bool {
	return (l.MaxWidth == 0 || o.Width <= l.MaxWidth) && (l.MaxHeight == 0 || o.Height <= l.MaxHeight) &&
		l.MaxSpatial.bounds(o.Spatial) && l.MaxTemporal.bounds(o.Temporal) && l.Temporal.allows(o.Temporal) &&
		(!o.Jerky || l.Temporal.Set || l.MaxTemporal.Set)
}

// nothing answers when no layer has shown a keyframe: the one that will be
// chosen is taken so that somebody asks for its keyframe.
func (s *State) nothing(f Facts) Decision {
	for _, suits := range []func(Layer) bool{
		func(l Layer) bool { return f.Limits.pins() && f.Limits.names(l) },
		f.Limits.fits,
	} {
		if i := slices.IndexFunc(f.Layers, func(l Layer) bool { return l.Active && suits(l) }); i >= 0 {
			return Decision{Index: i, Reason: Reason{cause: noneSeen}}
		}
	}
	for i, l := range slices.Backward(f.Layers) {
		if l.Active {
			return Decision{Index: i, Reason: Reason{cause: noneSeen}}
		}
	}
	return Decision{Index: -1, Reason: Reason{cause: noLayer}}
}

// adapt follows the estimate.
func (s *State) adapt(f Facts, usable []int) Decision {
	budget := max(f.Estimate-f.Reserved, 0)
	at := slices.IndexFunc(usable, func(i int) bool { return s.chosen && f.Layers[i].key() == s.at })
	if at < 0 || s.paused {
		return s.enter(f, usable, budget)
	}
	now := f.Layers[usable[at]]
	if need(now)*100 > budget*strain || f.Overuse && need(now) > budget {
		return s.lower(f, usable, budget, now)
	}
	s.starved, s.rest = false, 0
	if at == 0 {
		return s.take(f, usable[0], 0, Reason{cause: fits})
	}
	first := s.first(f, usable) // of those that may be tried
	better := usable[at-1]
	want := need(f.Layers[better]) * headroom / 100
	if first >= at || f.Now-s.since < settle || f.Overuse {
		probe := 0
		if f.Now-s.since >= settle && !f.Overuse {
			probe = max(want+f.Reserved, s.limit*proof/100*headroom/100)
		}
		return s.take(f, usable[at], probe, s.waits(f, f.Layers[better]))
	}
	if want <= budget {
		i := best(f, usable[first:], budget)
		return s.take(f, i, 0, Reason{cause: enough, layer: f.Layers[i]})
	}
	return s.take(f, usable[at], want+f.Reserved, Reason{cause: tooLittle, layer: f.Layers[better]})
}

// waits says why the better layer is not tried yet.
func (s *State) waits(f Facts, better Layer) Reason {
	switch {
	case f.Overuse:
		return Reason{cause: full, layer: better}
	case f.Now-s.since < settle:
		return Reason{cause: settling, layer: better}
	}
	return Reason{cause: unproven, layer: better, wait: s.retry - f.Now, more: s.limit / 100 * proof}
}

// first returns where in usable the layers begin that may be tried now: behind
// the one that did not hold, as long as its time has not come and the path is as
// it was.
func (s *State) first(f Facts, usable []int) int {
	if f.Now >= s.retry || f.Estimate >= s.limit/100*proof {
		return 0
	}
	for i, index := range usable {
		if f.Layers[index].key() == s.failed {
			return i + 1
		}
	}
	return 0
}

// enter chooses for a viewer that has no layer yet, or none because nothing
// fitted, or whose layer is gone.
func (s *State) enter(f Facts, usable []int, budget int) Decision {
	smallest := f.Layers[usable[len(usable)-1]]
	if s.paused && need(smallest)*headroom/100 > budget && (!f.Deaf || f.Now < s.wake) {
		return pause(f, smallest)
	}
	i := best(f, usable, budget)
	why := Reason{cause: enough, layer: f.Layers[i]}
	if need(why.layer) > budget {
		why.cause = last
	}
	return s.take(f, i, 0, why)
}

// best is the best layer that leaves headroom, or the smallest.
func best(f Facts, usable []int, budget int) int {
	for _, i := range usable {
		if need(f.Layers[i])*headroom/100 <= budget {
			return i
		}
	}
	return usable[len(usable)-1]
}

// lower steps down to what fits, or to no video.
func (s *State) lower(f Facts, usable []int, budget int, before Layer) Decision {
	if s.raised {
		s.penalize(f, before)
	}
	room := budget
	if f.Overuse && need(before)*100 > budget*steep {
		room = budget * drain / 100
	}
	for _, i := range usable {
		if need(f.Layers[i]) <= room {
			return s.take(f, i, 0, Reason{cause: fell, layer: before})
		}
	}
	i := usable[len(usable)-1]
	smallest := f.Layers[i]
	if s.starves(f.Now, f.Pausable && need(smallest)*100 > budget*pauseStrain) {
		s.paused = true
		s.rest = min(max(2*s.rest, restMin), restMax)
		s.wake = f.Now + s.rest
		return pause(f, smallest)
	}
	return s.take(f, i, 0, Reason{cause: last, layer: smallest})
}

// pause is no video until the smallest layer fits.
func pause(f Facts, smallest Layer) Decision {
	return Decision{Index: -1, Paused: true, Probe: need(smallest)*headroom/100 + f.Reserved, Reason: Reason{cause: paused, layer: smallest}}
}

// penalize notes that the last step up did not hold. A layer at the very edge of
// what the path carries falls again and again, each time after a while: it is
// tried less and less often, until it holds or the mistakes are long ago.
func (s *State) penalize(f Facts, at Layer) {
	s.raised = false
	if f.Now-s.since >= held {
		s.penalty = 0
	}
	s.failed, s.limit = s.at, max(f.Estimate, need(at)*edge/100)
	s.penalty = min(max(2*s.penalty, retryMin), retryMax)
	s.retry = f.Now + s.penalty
}

// starves notes whether even the smallest layer is too much now, and reports
// whether it has been for long enough.
func (s *State) starves(now time.Duration, tooMuch bool) bool {
	if !s.starved {
		s.hungry = now
	}
	s.starved = tooMuch
	return tooMuch && now-s.hungry >= pauseAfter
}

// take notes the choice.
func (s *State) take(f Facts, index, probe int, reason Reason) Decision {
	l := f.Layers[index]
	if !s.chosen || l.key() != s.at || s.paused {
		s.raised = s.chosen && (s.paused || index < slices.IndexFunc(f.Layers, func(o Layer) bool { return o.key() == s.at }))
		s.at, s.since, s.chosen, s.paused, s.starved = l.key(), f.Now, true, false, s.starved && !s.paused
	}
	return Decision{Index: index, Probe: probe, Reason: reason}
}

// need is the rate of a layer in bits per second.
func need(l Layer) int {
	if l.Bitrate > 0 {
		return l.Bitrate
	}
	return l.Width * l.Height * bitsPerPixel
}
