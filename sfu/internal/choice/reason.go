package choice

import (
	"fmt"
	"strings"
	"time"
)

// cause is what a decision was made for.
type cause uint8

const (
	noLayer  cause = iota // none is sent
	noneSeen              // none has shown a keyframe
	pinned
	unmeasured
	fits      // the best that may be chosen
	enough    // for a better one than before
	tooLittle // for a better one than now
	fell      // to less than what the one before needs
	last      // the smallest, though it does not fit
	settling  // chosen only just
	unproven  // the better one did not hold
	full      // the path, so that nothing better is tried
	paused
)

// Reason is why a viewer gets its layer. String is made for people, and costs
// more than the decision.
type Reason struct {
	cause  cause
	rate   int           // bits per second that reach the viewer
	layer  Layer         // that the cause speaks of
	wait   time.Duration // until it is tried again
	more   int           // or until so many bits per second reach the viewer
	absent string        // the layer that is pinned and not there
	above  obstacle      // why there is nothing better
}

// obstacle is why the best layer of all may not be chosen. The zero value is that
// it may.
type obstacle struct {
	kind   obstacleKind
	layer  Layer
	limits Limits
}

type obstacleKind uint8

const (
	noObstacle obstacleKind = iota
	notSent
	noKeyframe
	incomplete
	capped
	tooLarge
	tooHigh // its spatial or temporal layer
	jerky
	onlyLarger // even the smallest exceeds the limits
)

// obstacleTo says why the best layer of all is not among those that may be
// chosen, of which best is the best.
func obstacleTo(f Facts, best int) obstacle {
	if !f.Limits.fits(f.Layers[best]) {
		return obstacle{kind: onlyLarger, limits: f.Limits}
	}
	if best == 0 {
		return obstacle{}
	}
	o := obstacle{layer: f.Layers[0], limits: f.Limits}
	l, limits := o.layer, f.Limits
	switch {
	case !l.Active:
		o.kind = notSent
	case limits.Capped && limits.MaxHeight > 0 && l.Height > limits.MaxHeight:
		o.kind = capped
	case limits.MaxWidth > 0 && l.Width > limits.MaxWidth || limits.MaxHeight > 0 && l.Height > limits.MaxHeight:
		o.kind = tooLarge
	case !limits.MaxSpatial.bounds(l.Spatial) || !limits.MaxTemporal.bounds(l.Temporal) || !limits.Temporal.allows(l.Temporal):
		o.kind = tooHigh
	case !l.Keyframe:
		o.kind = noKeyframe
	case l.Partial && limits.Complete:
		o.kind = incomplete
	default:
		o.kind = jerky
	}
	return o
}

func (o obstacle) String() string {
	name := o.layer.name()
	switch o.kind {
	case notSent:
		return "the publisher does not send " + name + " now"
	case noKeyframe:
		return name + " has shown no keyframe yet"
	case incomplete:
		return "the viewer's player cannot do without the layers above those of " + name
	case capped:
		return fmt.Sprintf("the node is busy and sends at most %d lines", o.limits.MaxHeight)
	case tooLarge:
		return name + " is larger than the viewer's " + o.limits.size()
	case tooHigh:
		return name + " is above the viewer's " + o.limits.scale()
	case jerky:
		return name + " has too few frames a second"
	case onlyLarger:
		return "no layer is within the limits, this is the smallest"
	}
	return ""
}

// size names the largest picture.
func (l Limits) size() string {
	switch {
	case l.MaxWidth == 0:
		return fmt.Sprintf("limit of %d lines", l.MaxHeight)
	case l.MaxHeight == 0:
		return fmt.Sprintf("limit of %d columns", l.MaxWidth)
	}
	return fmt.Sprintf("limit of %dx%d", l.MaxWidth, l.MaxHeight)
}

// scale names the highest spatial and temporal layers.
func (l Limits) scale() string {
	out := "limit of "
	if l.MaxSpatial.Set {
		out += fmt.Sprintf("S%d", l.MaxSpatial.N)
	}
	switch {
	case l.Temporal.Set:
		out += fmt.Sprintf("T%d", l.Temporal.N)
	case l.MaxTemporal.Set:
		out += fmt.Sprintf("T%d", l.MaxTemporal.N)
	}
	return out
}

// Nothing reports whether the publisher sends no layer now.
func (r Reason) Nothing() bool { return r.cause == noLayer }

// Paused reports whether no layer is sent because none fits.
func (r Reason) Paused() bool { return r.cause == paused }

// String says it in one sentence.
func (r Reason) String() string {
	out := r.main()
	if r.absent != "" {
		out = "the pinned layer " + r.absent + " is not there; " + out
	}
	if above := r.above.String(); above != "" {
		out += "; " + above
	}
	return out
}

func (r Reason) main() string {
	name, reach := r.layer.name(), rate(r.rate)+" reach the viewer"
	switch r.cause {
	case noneSeen:
		return "no layer has shown a keyframe yet"
	case pinned:
		return "pinned by the viewer"
	case unmeasured:
		return "the path is not measured, so it is the best layer there is"
	case fits:
		return reach + ", enough for the best layer"
	case enough:
		return reach + ", enough for " + name
	case tooLittle:
		return fmt.Sprintf("%s, not enough for %s of %s", reach, name, rate(need(r.layer)))
	case fell:
		return fmt.Sprintf("only %s, too little for %s of %s", reach, name, rate(need(r.layer)))
	case last:
		return fmt.Sprintf("only %s, too little even for %s, the smallest", reach, name)
	case settling:
		return "chosen only just; " + name + " is tried soon"
	case unproven:
		return fmt.Sprintf("%s did not hold; it is tried again in %d s, or when %s reach the viewer", name, int((r.wait+time.Second-1)/time.Second), rate(r.more))
	case full:
		return "the path is full; " + name + " is not tried now"
	case paused:
		return fmt.Sprintf("paused: %s, not enough for any layer; the smallest takes %s", reach, rate(need(r.layer)))
	}
	return "the publisher sends no layer now"
}

// name is what people call a layer.
func (l Layer) name() string {
	var parts []string
	if l.RID != "" {
		parts = append(parts, l.RID)
	}
	if l.Scaled {
		parts = append(parts, fmt.Sprintf("S%dT%d", l.Spatial, l.Temporal))
	}
	if len(parts) == 0 {
		return "the layer"
	}
	return strings.Join(parts, " ")
}

func rate(bits int) string {
	if bits >= 1_000_000 {
		return fmt.Sprintf("%.1f Mbit/s", float64(bits)/1e6)
	}
	return fmt.Sprintf("%d kbit/s", bits/1000)
}
