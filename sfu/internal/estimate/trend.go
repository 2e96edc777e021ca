package estimate

import "math"

const (
	// burstTime joins packets sent together into one group
	// (draft-ietf-rmcat-gcc-02 section 5.2).
	burstTime = 5 * millisecond
	// maxBurst bounds a group that the path has squeezed together.
	maxBurst = 100 * millisecond

	// The trendline: a least-squares line through the smoothed delay of the
	// newest groups. It stands where section 5.3 has a Kalman filter; the gain
	// brings its slope to the scale of that section's estimate.
	trendSamples = 20
	smoothing    = 0.9
	trendGain    = 4
	maxDeltas    = 60

	// The adaptive threshold of section 5.4, in milliseconds.
	thresholdStart  = 12.5
	thresholdMin    = 6
	thresholdMax    = 600
	thresholdUp     = 0.01
	thresholdDown   = 0.00018
	thresholdIgnore = 15
	maxThresholdGap = 100

	// overuseTime is how long the trend must stay above the threshold.
	overuseTime = 10 * millisecond
)

// usage is the detector's signal (section 5.4).
type usage uint8

const (
	usageNormal usage = iota
	usageOver
	usageUnder
)

// group is packets sent in one burst.
type group struct {
	first, last int64 // when they were sent
	arrived     int64 // when the last of them arrived
	begun       bool  // when the first arrived, below, is set
	start       int64
}

// trendline watches how the delay changes from one group to the next.
type trendline struct {
	group, before group

	x, y        [trendSamples]float64 // arrival and smoothed delay, milliseconds
	count       int                   // groups seen
	origin      int64                 // arrival of the first group
	delay       float64               // accumulated, milliseconds
	smooth      float64
	previous    float64 // the slope before
	threshold   float64
	thresholdAt float64 // milliseconds since origin
	over        int64   // for how long the trend has been above the threshold
	overGroups  int
	usage       usage
}

func (t *trendline) init() { *t = trendline{threshold: thresholdStart} }

// packet adds a packet to its group (sections 5.1 and 5.2).
func (t *trendline) packet(sent, arrived int64) {
	g := &t.group
	switch {
	case !g.begun:
		*g = group{first: sent, last: sent, arrived: arrived, start: arrived, begun: true}
		return
	case sent < g.first:
		return // reordered
	case t.joins(sent, arrived):
		g.last = max(g.last, sent)
		g.arrived = max(g.arrived, arrived)
		return
	}
	if t.before.begun {
		t.sample(g.last-t.before.last, g.arrived-t.before.arrived)
	}
	t.before = *g
	*g = group{first: sent, last: sent, arrived: arrived, start: arrived, begun: true}
}

// joins reports whether a packet belongs to the open group: it was sent in the
// same burst, or arrived in one with less delay.
func (t *trendline) joins(sent, arrived int64) bool {
	g := &t.group
	if sent-g.first <= burstTime {
		return true
	}
	apart := arrived - g.arrived
	return apart <= burstTime && apart < sent-g.last && arrived-g.start < maxBurst
}

// sample adds the delay variation between two groups.
func (t *trendline) sample(sentApart, arrivedApart int64) {
	if arrivedApart < 0 || sentApart > maxLeap || arrivedApart > maxLeap {
		return // groups overtook each other, or the path was idle
	}
	if t.count == 0 {
		t.origin = t.before.arrived
	}
	t.delay += float64(arrivedApart-sentApart) / float64(millisecond)
	t.smooth = smoothing*t.smooth + (1-smoothing)*t.delay
	i := t.count % trendSamples
	x := float64(t.group.arrived-t.origin) / float64(millisecond)
	t.x[i], t.y[i] = x, t.smooth
	t.count++
	slope := t.previous
	if t.count >= trendSamples {
		slope = t.slope(slope)
	}
	t.detect(slope, sentApart, x)
}

// slope fits the line; it returns otherwise when all arrived at once.
func (t *trendline) slope(otherwise float64) float64 {
	var sumX, sumY float64
	for i := range t.x {
		sumX += t.x[i]
		sumY += t.y[i]
	}
	meanX, meanY := sumX/trendSamples, sumY/trendSamples
	var covariance, variance float64
	for i := range t.x {
		dx := t.x[i] - meanX
		covariance += dx * (t.y[i] - meanY)
		variance += dx * dx
	}
	if variance == 0 {
		return otherwise
	}
	return covariance / variance
}

// detect compares the trend with the threshold (section 5.4).
func (t *trendline) detect(slope float64, sentApart int64, at float64) {
	trend := slope * float64(min(t.count, maxDeltas)) * trendGain
	switch {
	case trend > t.threshold:
		t.over += max(sentApart, 0)
		t.overGroups++
		if t.over > overuseTime && t.overGroups > 1 && slope >= t.previous {
			t.usage, t.over, t.overGroups = usageOver, 0, 0
		}
	case trend < -t.threshold:
		t.usage, t.over, t.overGroups = usageUnder, 0, 0
	default:
		t.usage, t.over, t.overGroups = usageNormal, 0, 0
	}
	t.previous = slope
	t.adapt(math.Abs(trend), at)
}

func (t *trendline) adapt(trend, at float64) {
	elapsed := min(max(at-t.thresholdAt, 0), maxThresholdGap)
	t.thresholdAt = at
	if trend > t.threshold+thresholdIgnore {
		return
	}
	k := thresholdUp
	if trend < t.threshold {
		k = thresholdDown
	}
	t.threshold += k * (trend - t.threshold) * elapsed
	t.threshold = min(max(t.threshold, thresholdMin), thresholdMax)
}
