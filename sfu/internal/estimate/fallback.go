package estimate

import "math"

const (
	// slowGrowth is a second's increase near the rate at which loss set in.
	slowGrowth = 1.02
	lossGrowth = 1.10
	nearCut    = 0.9
	// cutTime is the time between two cuts for loss, at least.
	cutTime = 700 * millisecond
	// arrivedCut is what is taken of the rate that arrived while packets were lost.
	arrivedCut = 0.95
	// slowQueue is the growth of the round trip that counts as overuse.
	slowQueue = 200 * millisecond
	// fallen is the share of a receiver's estimate below which it has not only
	// wavered.
	fallen = 0.95
)

// reports is what receivers without transport-wide feedback tell.
type reports struct {
	loss    float64
	queue   int64   // what the last two round trips had above their base
	rtt     int64   // the last round trip; 0: unknown
	jitter  int64   // mean change from one round trip to the next
	remb    float64 // 0: none yet
	said    float64 // the same, without bounds
	rembAt  int64
	roseAt  int64   // when the REMB last rose; 0: not since it fell
	triedAt int64   // when it was first exceeded while it stood still; 0: not since it fell or the path was full
	proven  float64 // what a pulse has shown to fit, whatever a REMB says; 0: nothing
	limit   float64 // what loss allows, beside a REMB; 0: everything
	cut     float64 // the rate at which loss last set in; 0: never
	cutAt   int64
	updated int64
}

// REMB takes a receiver's own estimate (draft-alvestrand-rmcat-remb-03). It
// counts while there is no transport-wide feedback. Any value is safe.
func (e *Estimator) REMB(bitsPerSecond float64, now int64) {
	at := now / 1000
	if math.IsNaN(bitsPerSecond) || e.transportFresh(at) {
		return
	}
	r := &e.reports
	remb := min(max(bitsPerSecond, float64(e.config.Min)), float64(e.config.Max))
	switch {
	case r.remb > 0 && bitsPerSecond > r.said:
		r.roseAt = at
	case remb < r.remb*fallen:
		r.roseAt, r.triedAt, r.proven = 0, 0, 0
		e.pulse.forget(at)
	case remb < r.proven && !r.follows(at):
		r.proven = 0
	}
	r.remb, r.rembAt, r.said = remb, at, bitsPerSecond
	e.fallBack(sourceREMB)
	e.followREMB()
}

// Reception is what a receiver report says (RFC 3550 section 6.4.1).
type Reception struct {
	Loss    float64 // fraction lost
	RTT     int64   // nanoseconds; 0: unknown
	Answers uint32  // the sender report that the round trip is from: the middle of its NTP time
	Sent    int     // rate of what it tells of, bits per second; 0: unknown
}

// Report takes a receiver report. It counts while there is no transport-wide
// feedback, which tells all of that better.
func (e *Estimator) Report(told Reception, now int64) {
	at := now / 1000
	if math.IsNaN(told.Loss) || e.transportFresh(at) {
		return
	}
	r, sent := &e.reports, told.Sent
	judged := e.pulse.judged(told)
	own := e.concludePulse(told, at)
	if !own || judged || told.Loss < lossHigh {
		r.loss = min(max(told.Loss, 0), 1)
	}
	remb := r.remb > 0 && at-r.rembAt < rembFresh
	if remb {
		e.fallBack(sourceREMB)
	} else {
		e.fallBack(sourceLoss)
	}
	if !own {
		e.roundTrip(told.RTT/1000, at)
	}
	elapsed := float64(min(max(at-r.updated, 0), second)) / float64(second)
	r.updated = at
	e.control.overuse = r.loss > lossHigh || r.queue > slowQueue
	switch {
	case e.control.overuse && at-r.cutAt >= cutTime:
		r.cutAt, r.triedAt = at, 0
		e.pulse.forget(at)
		r.limit = min(e.target*(1-r.loss/2), e.target*arrivedCut)
		r.cut = e.target
		if sent > 0 {
			r.limit = min(e.target*arrivedCut, r.arrived(float64(sent)))
			r.cut = r.limit
		}
		r.proven = min(r.proven, r.limit)
	case r.loss < lossLow:
		r.grow(e.target, e.pulse.bound(float64(sent), e.config.Pads && r.rtt > 0, at), elapsed)
	}
	if remb {
		e.followREMB()
	} else if r.limit > 0 {
		e.setTarget(r.limit)
		r.limit = e.target
	}
}

// arrived is what to send after more than the path carries was sent, at that rate.
func (r *reports) arrived(sent float64) float64 {
	if r.loss > lossHigh {
		return sent * (1 - r.loss) * arrivedCut
	}
	return sent * beta // the queue must drain
}

// roundTrip learns the queue from round trips: the lesser of two counts, so that
// a single late report means nothing.
func (e *Estimator) roundTrip(rtt, now int64) {
	if rtt <= 0 || rtt >= maxLeap {
		return
	}
	r := &e.reports
	e.floor.add(now, rtt)
	e.floor.close(now)
	if r.rtt == 0 {
		r.rtt = rtt
	}
	r.jitter += (max(rtt-r.rtt, r.rtt-rtt) - r.jitter) / 8
	r.queue = max(min(rtt, r.rtt)-e.floor.base(), 0)
	r.rtt = rtt
}

// grow lets the limit rise (section 6 of draft-ietf-rmcat-gcc-02), slowly near
// the rate at which loss set in, and not above bound.
func (r *reports) grow(target, bound, elapsed float64) {
	if r.limit == 0 {
		r.limit = target
	}
	factor := lossGrowth
	if r.cut > 0 && r.limit > nearCut*r.cut {
		factor = slowGrowth
	}
	r.limit = max(r.limit, min(r.limit*math.Pow(factor, elapsed), bound))
	if r.limit > 1.2*r.cut {
		r.cut = 0
	}
}

// followREMB takes the receiver's estimate or what was shown to fit, less what
// loss forbids.
func (e *Estimator) followREMB() {
	r := &e.reports
	if r.limit > 0 && r.cut > 0 {
		e.setTarget(min(max(r.remb, r.proven), r.limit))
		return
	}
	r.limit = 0
	e.setTarget(max(r.remb, r.proven))
}

// follows reports whether the receiver's estimate is one that follows what is sent,
// and may be exceeded: it rises, by 8 % a second at most. Of one that stands still
// that is found out once, by sending more for a while.
func (r *reports) follows(now int64) bool {
	return r.triedAt == 0 || now-max(r.roseAt, r.triedAt) < behindFor
}

// transportFresh reports whether transport-wide feedback still counts.
func (e *Estimator) transportFresh(now int64) bool {
	return e.source == sourceTransport && now-e.heard < fresh
}

// fallBack changes the source. The filters of transport-wide feedback start over
// if it returns.
func (e *Estimator) fallBack(source string) {
	if e.source == sourceTransport {
		e.forgetTiming()
		e.control.overuse = false
	}
	e.source = source
}
