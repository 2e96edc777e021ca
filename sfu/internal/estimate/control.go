package estimate

import "math"

const (
	// beta is what remains of the acknowledged rate after a decrease
	// (draft-ietf-rmcat-gcc-02 section 5.5).
	beta = 0.85
	// growth is the factor of a second's multiplicative increase.
	growth = 1.08
	// headroom bounds the target by what arrived, as section 5.5 asks.
	headroom      = 1.5
	headroomExtra = 10_000
	// packetBits is a full packet, the step of the additive increase.
	packetBits = 1200 * 8

	// minQueue is the least standing queue that makes a trend an overuse.
	minQueue = 15 * millisecond
	// A small queue must stand under a rising trend for the time of suspicion; a
	// sure one need not.
	sureQueue = 50 * millisecond
	suspicion = 150 * millisecond
	// lossyQueue is the standing queue under which loss means overuse although
	// the trend is flat: the queue is full.
	lossyQueue = 25 * millisecond
	fullLoss   = 0.13
	// risingQueue is the standing queue that, still rising, is not waited with
	// until the trend says so: groups may be few.
	risingQueue = 80 * millisecond
	// leapQueue is the standing queue of which one leap suffices.
	leapQueue = 50 * millisecond
	// remembered is how long the capacity bounds what nothing has tested since.
	remembered = 20 * second
	// appLimited is the share of the target below which the traffic, not the
	// path, bounds what arrives.
	appLimited = 0.8

	// The loss thresholds of section 6, for a path with a queue.
	lossHigh = 0.10
	lossLow  = 0.02
	// Those for a path without one.
	randomHigh = 0.20
	randomLow  = 0.10
	// congested is the standing queue from which the former hold.
	congested = 30 * millisecond
)

// control moves the target by additive increase and multiplicative decrease.
type control struct {
	overuse   bool
	hold      bool  // after a decrease, until the path is normal again
	updated   int64 // when the target last had a chance to grow
	decreased int64 // when it was last cut
	drained   int64 // when it was because of a queue
	suspected int64 // since when the trend tells of overuse; 0: it does not
	rtt       int64 // smoothed, from sending to the report about it

	// The rate at which the path was full, and its relative variance; 0: unknown.
	capacity, deviation float64
	observed            int64 // when it was last learnt
}

func (c *control) roundTrip(rtt int64) {
	if rtt < 0 || rtt > maxLeap {
		return
	}
	if c.rtt == 0 {
		c.rtt = rtt
		return
	}
	c.rtt += (rtt - c.rtt) / 16
}

// update acts on a report that has been read.
func (e *Estimator) update(now int64) {
	c := &e.control
	loss := e.losses.fraction()
	signal := e.trend.usage
	queue := max(e.floor.queue()-e.floor.noise(), 0)
	if signal != usageOver || queue < minQueue {
		c.suspected = 0
	} else if c.suspected == 0 {
		c.suspected = now
	}
	over := c.suspected != 0 && (queue >= sureQueue || now-c.suspected >= suspicion) ||
		queue >= lossyQueue && loss > fullLoss && !e.floor.falling() ||
		e.floor.queue() >= minQueue && e.losses.heavy() ||
		queue >= risingQueue && e.floor.rising() || e.narrows() || queue >= leapQueue && e.floor.leaps()
	excused := e.probe.covers(e.newest) && queue < probeQueue && !e.narrows()
	c.overuse = over && !excused
	e.concludeProbe(now)
	if e.losses.turn(now) {
		e.onLoss(loss, queue, now)
	}
	switch {
	case c.overuse:
		e.decrease(now)
	case signal == usageUnder:
		// The queue drains: wait for it (section 5.5).
	case c.hold && queue < congested:
		c.hold = false
	case c.hold:
	default:
		e.increase(now, loss, queue)
	}
	c.updated = now
}

// narrows reports whether a queue grows because the path carries less than the target.
// A probe brings that about on purpose, unless even less arrives than before it.
func (e *Estimator) narrows() bool {
	if !e.ramp.steep(e.floor.noise()) {
		return false
	}
	rate := e.ramp.rate()
	return rate < e.target && (!e.ramp.probed || rate < beta*e.acked.long())
}

// decrease cuts the target below what arrives, at most once in a round trip.
func (e *Estimator) decrease(now int64) {
	c := &e.control
	c.hold = true
	if now-c.drained < min(max(c.rtt, 50*millisecond), 300*millisecond) {
		return
	}
	received := e.acked.busy()
	switch {
	case !e.acked.steady():
		received = e.target
	case e.losses.heavy():
		received = min(received, e.acked.brief())
	case e.ramp.tells():
		received = min(received, e.ramp.rate())
	}
	c.decreased, c.drained = now, now
	e.probe.onDecrease(now)
	if beta*received >= e.target {
		return
	}
	c.observe(received, now)
	e.setTarget(beta * received)
}

// increase lets the target grow while more arrives than two thirds of it:
// quickly far from the path's known capacity, by about a packet in each response
// time close to it.
func (e *Estimator) increase(now int64, loss float64, queue int64) {
	c := &e.control
	low := randomLow
	if queue >= congested {
		low = lossLow
	}
	limit := headroom*e.acked.long() + headroomExtra
	if c.updated == 0 || loss > low || !e.acked.steady() || e.target >= limit {
		return
	}
	elapsed := float64(min(now-c.updated, second)) / float64(second)
	received := e.acked.long()
	if c.capacity > 0 && received > c.capacity+3*c.spread() {
		c.capacity = 0
		if queue >= congested {
			c.observe(received, now) // what a busy link delivers is its capacity
		}
	}
	next := e.target * math.Pow(growth, elapsed)
	if c.capacity > 0 && now-c.observed < remembered {
		if received < appLimited*e.target {
			limit = max(min(limit, c.capacity), e.target)
		}
		response := float64(c.rtt+100*millisecond) / float64(second)
		next = e.target + elapsed*packetBits/response
	}
	e.setTarget(min(next, limit))
}

// onLoss is the loss-based part (section 6), twice a second.
func (e *Estimator) onLoss(loss float64, queue, now int64) {
	high := randomHigh
	if queue >= congested {
		high = lossHigh
	}
	if loss <= high || e.control.overuse || !e.acked.steady() {
		return
	}
	// What arrives fits the path, whatever is lost beside it.
	next := max(e.target*(1-loss/2), e.acked.long())
	if next < e.target {
		e.control.decreased = now
		e.probe.onDecrease(now)
		e.setTarget(next)
	}
}

// observe learns the path's capacity from what arrived while it was full
// (section 5.5: average and deviation, to tell a link's end from its middle).
func (c *control) observe(received float64, now int64) {
	c.observed = now
	if c.capacity > 0 && math.Abs(received-c.capacity) > 3*c.spread() {
		c.capacity = 0
	}
	if c.capacity == 0 {
		c.capacity, c.deviation = received, 400
		return
	}
	miss := c.capacity - received
	c.capacity -= 0.05 * miss
	c.deviation += 0.05 * (miss*miss/max(c.capacity, 1) - c.deviation)
	c.deviation = min(max(c.deviation, 400), 2500)
}

// spread is the standard deviation of the capacity.
func (c *control) spread() float64 { return math.Sqrt(c.deviation * c.capacity) }
