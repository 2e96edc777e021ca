package estimate

import "math"

const (
	// A cluster lasts so long that it makes a queue of probeExcess when nothing
	// more fits than is known to, within these bounds: the less it asks for, the
	// less would show beside jitter.
	probeTime    = 30 * millisecond
	probeTimeMax = 120 * millisecond
	probeExcess  = 90 * millisecond
	// probeAhead is how far padding may run ahead of the cluster's rate, and
	// probeBehind how much of what is late is made up for at once.
	probeAhead  = 2 * millisecond
	probeBehind = 10 * millisecond
	// probeReach bounds a probe by the rate known to fit, and probeReachLow that
	// of a rate below probeLow, of which a cluster makes few packets.
	probeReach    = 4
	probeReachLow = 2
	probeLow      = 600_000
	// probeQueue is a queue that no probe excuses.
	probeQueue = 150 * millisecond
	// probeDrain is how long after a cluster its queue may stand.
	probeDrain = 150 * millisecond
	// probeWait is how long the reports about a cluster are waited for.
	probeWait = second
	// probeLate is how much later than others a packet may arrive.
	probeLate = 100 * millisecond

	// Times until the next probe: after success, after a result that tells
	// nothing, after a decrease; after failure it doubles from backoff.
	probeAgain    = 200 * millisecond
	probeUnclear  = 500 * millisecond
	probeAfterCut = second
	backoff       = 2 * second
	backoffMax    = 5 * second
	backoffMisled = 8 * second // after a success that a decrease proved wrong
	// probeBlame is how soon after a success a decrease proves it wrong.
	probeBlame = 3 * second

	// probeLeast packets must have arrived to judge a cluster.
	probeLeast = 5
	// A cluster was carried when it arrived at this share of its sending rate.
	probeCarried = 0.9
	// probeSaturated is what a cluster that was not carried is taken for.
	probeSaturated = 0.85
	// maxOvershoot is how far a result may exceed the rate that was asked for.
	maxOvershoot = 1.2
	// maxQueueToProbe is the queue above which there is no room to look for.
	maxQueueToProbe = 30 * millisecond
)

type probeStage uint8

const (
	probeIdle probeStage = iota
	probeSending
	probeWaiting // for the reports
)

// probe is a burst of packets at a higher rate, to see whether it gets through.
type probe struct {
	stage   probeStage
	cluster uint8
	rate    float64
	length  int64
	loss    float64 // of the path before it
	start   int64
	end     int64 // when the last packet of the newest cluster was sent

	sent, bytes, last int // packets; bytes; bytes of the last packet
	begun             int64

	arrived, lost int
	first, final  int64 // arrivals
	base          int64 // delay of the first to be reported
	line          line  // delay above base by the time since begun

	next      int64 // no probe before
	failures  int   // in a row
	succeeded int64 // when a probe last raised the target
}

// CanProbe reports whether a probe may start: reports flow, no queue stands, and
// the time set by the results before has passed.
func (e *Estimator) CanProbe(now int64) bool {
	at := now / 1000
	p := &e.probe
	if e.source != sourceTransport {
		return e.mayPulse(at)
	}
	if p.stage == probeWaiting && e.rests(at) {
		p.stage = probeIdle // nothing is heard of it
		p.fail(at, backoffMax)
	}
	free := at-e.heard < second && !e.control.overuse && e.floor.queue()-e.floor.noise() < maxQueueToProbe
	return (free || e.rests(at)) && p.stage == probeIdle && at >= p.next
}

// rests reports whether so little is sent that what was last heard of the path says
// nothing of it any more.
func (e *Estimator) rests(at int64) bool { return at-max(e.heard, e.sent) >= second }

// StartProbe begins a cluster at target bits per second, media included, or at
// four times what is known to fit when that is less. It does nothing unless
// CanProbe, or when the target is no more than the present one. media is the rate
// that is sent without it.
func (e *Estimator) StartProbe(target, media int, now int64) {
	if e.source != sourceTransport {
		if e.mayPulse(now / 1000) {
			e.startPulse(float64(target), float64(media), now/1000)
		}
		return
	}
	known := max(e.target, e.acked.long())
	reach := float64(probeReach)
	if known < probeLow {
		reach = probeReachLow
	}
	rate := min(float64(target), float64(e.config.Max), reach*known)
	if !e.CanProbe(now) || rate <= e.target {
		return
	}
	p := &e.probe
	length := int64(float64(probeExcess) / max(rate/known-1, float64(probeExcess)/float64(probeTimeMax)))
	*p = probe{
		stage: probeSending, cluster: p.cluster%maxClusters + 1, rate: rate, length: max(length, probeTime), loss: e.losses.fraction(),
		start: now / 1000, end: now / 1000,
		next: p.next, failures: p.failures, succeeded: p.succeeded,
	}
}

// Probing reports whether a cluster is being sent: ask for ProbeBudget every few
// milliseconds.
func (e *Estimator) Probing() bool {
	return e.probe.stage == probeSending || e.pulse.stage == probeSending
}

// ProbeBudget returns how many bytes of padding the cluster wants at now, beside
// the media that Sent has told of; 0 when none. sent is the total of all bytes that
// went to the viewer.
func (e *Estimator) ProbeBudget(now int64, sent uint64) (bytes int) {
	if e.pulse.stage == probeSending {
		return e.pulse.budget(now/1000, sent)
	}
	p := &e.probe
	if p.stage != probeSending {
		return 0
	}
	elapsed := now/1000 - p.start
	if elapsed > p.length {
		p.stage = probeWaiting
		if p.sent == 0 {
			p.stage = probeIdle
		}
		return 0
	}
	perMicrosecond := p.rate / 8 / float64(second)
	due := perMicrosecond*float64(elapsed+probeAhead) - float64(p.bytes)
	return int(max(min(due, perMicrosecond*float64(probeBehind)), 0))
}

// onSent adds a packet to the open cluster and returns the cluster's number.
func (p *probe) onSent(size int, now int64, padding bool) uint8 {
	if !padding && now-p.start > p.length+probeBehind {
		p.stage = probeWaiting // the padding was never sent
		return 0
	}
	if p.sent == 0 {
		p.begun = now
	}
	p.sent++
	p.bytes += size
	p.last, p.end = size, now
	return p.cluster
}

// covers reports whether a packet met the queue that the newest cluster may have
// made.
func (p *probe) covers(sent int64) bool {
	return p.cluster != 0 && sent >= p.start && sent <= p.end+probeDrain
}

func (p *probe) onLost(r *record) {
	if p.stage != probeIdle && r.cluster() == p.cluster {
		p.lost++
	}
}

func (p *probe) onArrived(r *record, sent, delay int64, late bool) {
	if p.stage == probeIdle || r.cluster() != p.cluster {
		return
	}
	if late {
		p.lost--
	}
	if at := sent + delay; p.arrived == 0 {
		p.first, p.final = at, at
	} else {
		p.first, p.final = min(p.first, at), max(p.final, at)
	}
	p.arrived++
	if p.arrived == 1 {
		p.base = delay
	}
	p.line.add(float64(sent-p.begun), float64(delay-p.base))
}

// concludeProbe judges the cluster when all of it is reported.
func (e *Estimator) concludeProbe(now int64) {
	p := &e.probe
	if p.stage == probeSending && now-p.start > p.length+probeTime {
		p.stage = probeWaiting // nobody asks for the budget
	}
	if p.stage != probeWaiting || !p.told(now, e.control.rtt) {
		return
	}
	p.stage = probeIdle
	carried, ok := p.carried(e.floor.noise())
	if !ok {
		p.next = now + probeUnclear
		return
	}
	rate := p.measured()
	tooMuchLost := float64(p.lost) > float64(p.sent)*(0.2+p.loss)
	switch {
	case carried >= probeCarried && !tooMuchLost:
		p.next, p.succeeded = now+probeAgain, now
		e.raise(rate * carried)
	case tooMuchLost:
		p.fail(now, backoffMax)
	default:
		p.fail(now, backoffMax)
		capacity := rate * carried
		if p.final > p.first {
			capacity = min(capacity, rate*float64(p.end-p.begun)/float64(p.final-p.first))
		}
		capacity *= float64(p.arrived) / float64(p.arrived+p.lost)
		e.raise(probeSaturated * capacity)
		e.control.observe(capacity, now)
	}
}

// told reports whether no more will be heard of the cluster: all has arrived, or
// what is called lost had time to come late.
func (p *probe) told(now, rtt int64) bool {
	since := now - p.end
	return p.arrived >= p.sent || since >= probeWait || p.arrived+p.lost >= p.sent && since >= rtt+probeLate
}

// raise lifts the target to what a probe has shown to fit.
func (e *Estimator) raise(bitrate float64) {
	if bitrate > e.target {
		e.control.capacity = 0
		e.setTarget(bitrate)
	}
}

// measured is the rate at which the cluster was sent, or little more than what it
// was to be when a burst of media fell into it: so short a burst proves nothing.
func (p *probe) measured() float64 {
	if p.end <= p.begun {
		return 0
	}
	rate := float64(p.bytes-p.last) * 8 * float64(second) / float64(p.end-p.begun)
	return min(rate, p.rate*maxOvershoot)
}

// carried is the cluster's receiving rate over its sending rate, by the growth of
// the delay along the cluster: the slope of a least-squares line, less twice its
// standard error, which is what jitter may make of it. noise is what jitter has
// made of the path's least delays. ok is false when too little was reported.
func (p *probe) carried(noise int64) (ratio float64, ok bool) {
	if p.arrived < probeLeast || p.arrived+p.lost < p.sent*4/5 {
		return 0, false
	}
	slope, deviation, ok := p.line.fit()
	span := float64(max(p.end-p.begun, 1))
	doubt := max(2*deviation, float64(noise)/2/span)
	return 1 / (1 + max(slope-doubt, 0)), ok
}

// line is a least-squares line through points that are added one by one.
type line struct{ n, x, y, xx, xy, yy float64 }

func (l *line) add(x, y float64) {
	l.n++
	l.x += x
	l.y += y
	l.xx += x * x
	l.xy += x * y
	l.yy += y * y
}

// fit returns the line's slope and the slope's standard error; ok is false for
// fewer than three points, or points of one x.
func (l *line) fit() (slope, deviation float64, ok bool) {
	xx := l.xx - l.x*l.x/l.n
	if l.n < 3 || xx <= 0 {
		return 0, 0, false
	}
	xy := l.xy - l.x*l.y/l.n
	slope = xy / xx
	residual := l.yy - l.y*l.y/l.n - slope*xy
	return slope, math.Sqrt(max(residual, 0) / (l.n - 2) / xx), true
}

// fail puts the next probe off, longer each time until a success has stood.
func (p *probe) fail(now, longest int64) {
	if p.succeeded != 0 && now-p.succeeded >= probeBlame {
		p.succeeded, p.failures = 0, 0
	}
	p.next = now + min(backoff<<min(p.failures, 4), longest)
	p.failures++
}

// onDecrease puts probing off, longer when it was a probe that misled.
func (p *probe) onDecrease(now int64) {
	if p.succeeded != 0 && now-p.succeeded < probeBlame {
		p.succeeded = 0
		p.fail(now, backoffMisled)
	}
	p.next = max(p.next, now+probeAfterCut)
}
