package estimate

import "math"

const (
	// A pulse lasts so long that it makes a queue of pulseExcess when nothing more
	// fits than is known to, within these bounds.
	pulseExcess = 120 * millisecond
	pulseTime   = 60 * millisecond
	pulseMax    = 200 * millisecond
	// pulseReach bounds a pulse by the rate known to fit, pulseStep by the target
	// when that is more.
	pulseReach = 3
	pulseStep  = 1.25
	// pulseSlack is the growth of the round trip that no queue need have made, and
	// pulseDoubt the most that jitter excuses.
	pulseSlack = 10 * millisecond
	pulseDoubt = 20 * millisecond
	// pulseLoss is how much more than before may be lost.
	pulseLoss = 0.05
	// pulseQueue is the queue above which there is no room to look for.
	pulseQueue = 40 * millisecond
	// pulseWait is how long the answer to the sender report is waited for.
	pulseWait = 2500 * millisecond
	// pulseAgain is the time until the next pulse after one that was carried;
	// after one that was not it doubles from pulseBackoff.
	pulseAgain      = 100 * millisecond
	pulseBackoff    = 1500 * millisecond
	pulseBackoffMax = 4 * second
	// refusedFor is how long what a pulse has shown not to fit is not tried.
	refusedFor = 10 * second
	// behindFor is how long a receiver's own estimate may stand still while more is
	// sent, and yet be one that only follows that. Then it is a limit.
	behindFor = 5 * second
)

// pulse is a probe of a path whose receiver tells of no single packets: padding
// for a moment, and a sender report right behind it. The round trip that the
// receiver reports for that sender report (RFC 3550 section 6.4.1) has the queue in
// it that the padding has made.
type pulse struct {
	stage  probeStage
	rate   float64 // of all that is sent meanwhile
	length int64
	start  int64
	from   uint64 // bytes sent before it
	bytes  float64
	end    int64
	marked bool   // the sender report behind it is out
	report uint32 // the middle of its NTP time; 0: none
	loss   float64
	able   bool // the receiver has answered one

	next      int64 // no pulse before
	failures  int   // in a row
	known     float64
	refused   float64 // what a pulse has shown to be the most
	refusedAt int64   // 0: never
}

// mayPulse reports whether a pulse may start.
func (e *Estimator) mayPulse(now int64) bool {
	r, p := &e.reports, &e.pulse
	behind := e.source == sourceLoss || e.source == sourceREMB && r.follows(now)
	return behind && p.stage == probeIdle && now >= p.next && now-r.updated < pulseWait && !e.control.overuse &&
		r.rtt > 0 && r.queue < pulseQueue
}

// startPulse begins a pulse at target, or at what is safe to try beside media of
// the given rate.
func (e *Estimator) startPulse(target, media float64, now int64) {
	p := &e.pulse
	known := max(media, p.known)
	rate := min(target, max(pulseReach*known, pulseStep*e.target), float64(e.config.Max))
	if rate <= e.target || rate <= known {
		return
	}
	length := min(max(int64(float64(pulseExcess)/(rate/known-1)), pulseTime), pulseMax)
	p.stage, p.rate, p.length, p.start, p.end = probeSending, rate, length, 0, 0
	p.marked, p.report, p.loss = false, 0, e.reports.loss
}

// budget is what is due of the pulse, in bytes. sent is the total that was sent.
func (p *pulse) budget(now int64, sent uint64) int {
	if p.start == 0 {
		p.start, p.from = now, sent
	}
	p.bytes = float64(sent - p.from)
	elapsed := now - p.start
	if elapsed > p.length {
		p.stage, p.end = probeWaiting, now
		return 0
	}
	perMicrosecond := p.rate / 8 / float64(second)
	due := perMicrosecond*float64(elapsed+probeAhead) - p.bytes
	return int(max(min(due, perMicrosecond*float64(probeBehind)), 0))
}

// AwaitsReport tells that a sender report is to be sent now: it measures the queue
// that a probe has made. Marked says which one that was.
func (e *Estimator) AwaitsReport() bool {
	return e.pulse.stage == probeWaiting && !e.pulse.marked
}

// Marked notes the sender report that AwaitsReport has asked for: the middle 32
// bits of its NTP time, 0 when none could be sent. None should follow until
// HoldsReports says no.
func (e *Estimator) Marked(report uint32) { e.pulse.marked, e.pulse.report = true, report }

// NeedsReports reports whether the path is measured by the answers to sender
// reports: there should be some a second.
func (e *Estimator) NeedsReports() bool {
	return e.source == sourceLoss || e.source == sourceREMB
}

// HoldsReports reports whether a probe waits for the answer to its sender report.
func (e *Estimator) HoldsReports(now int64) bool {
	p := &e.pulse
	return p.stage == probeWaiting && p.marked && now/1000-p.end < pulseWait
}

// judged reports whether a reception report answers the sender report of a pulse
// that has been judged: its round trip is the old one, what it says of losses is
// not.
func (p *pulse) judged(r Reception) bool {
	return p.stage == probeIdle && p.report != 0 && r.Answers == p.report
}

// concludePulse judges the pulse by a reception report. It reports whether that
// tells of the pulse, and so nothing of the path as it is without.
func (e *Estimator) concludePulse(r Reception, now int64) (own bool) {
	p := &e.pulse
	if p.judged(r) {
		return true // of the round trip
	}
	if p.stage == probeIdle {
		return false
	}
	rtt := r.RTT / 1000
	switch {
	case p.stage == probeSending && (p.start == 0 || now-p.start < pulseWait):
		return p.start != 0
	case p.report == 0 || now-p.end >= pulseWait:
		p.stage, p.next = probeIdle, now+pulseBackoff
		return false
	case r.Answers != p.report || rtt <= 0:
		return now-p.end < second+e.reports.rtt // losses since then are not its own
	}
	p.stage, p.able = probeIdle, true
	doubt := pulseSlack + e.reports.jitter*3/2
	growth := max(rtt-e.floor.base(), 0)
	elapsed := p.end - p.start
	rate := min(p.bytes*8*float64(second)/float64(max(elapsed, 1)), p.rate*maxOvershoot)
	lossy := r.Loss > p.loss+pulseLoss
	switch {
	case growth > pulseDoubt && growth <= doubt:
		p.next = now + pulseBackoff // it tells nothing
	case growth <= doubt && !lossy:
		p.next, p.failures, p.refusedAt = now+pulseAgain, 0, 0
		p.known = rate
		if r := &e.reports; r.triedAt == 0 {
			r.triedAt = now
		}
		e.allow(rate)
	default:
		p.next = now + min(pulseBackoff<<min(p.failures, 4), pulseBackoffMax)
		p.failures++
		p.refused, p.refusedAt = rate*float64(elapsed)/float64(elapsed+max(growth-pulseSlack, 0)), now
		if lossy {
			p.refused = min(p.refused, e.target)
		} else {
			e.allow(probeSaturated * p.refused)
		}
	}
	return true
}

// allow lifts the target to what a pulse has shown to fit.
func (e *Estimator) allow(rate float64) {
	r := &e.reports
	rate = min(rate, float64(e.config.Max))
	r.proven = max(r.proven, rate)
	if r.limit > 0 {
		r.limit = max(r.limit, rate)
	}
	if rate > r.cut {
		r.cut = 0
	}
	if rate > e.target {
		e.setTarget(rate)
	}
}

// forget drops what pulses have shown: the path is full at less.
func (p *pulse) forget(now int64) {
	p.known = 0
	p.next = max(p.next, now+probeAfterCut)
}

// bound is the most that the target may grow to beside what is sent, when pulses
// can show that more fits: can says that they may be sent and are answered.
func (p *pulse) bound(sent float64, can bool, now int64) float64 {
	most := math.Inf(1)
	if (p.able || can) && sent > 0 {
		most = headroom*sent + headroomExtra
	}
	if p.refusedAt != 0 && now-p.refusedAt < refusedFor {
		most = min(most, p.refused)
	}
	return most
}
