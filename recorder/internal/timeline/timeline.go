package timeline

import "time"

const (
	// jump is the error beyond which time is not steered but broken.
	jump = 250 * time.Millisecond
	// far is the error beyond which it is steered faster.
	far = 20 * time.Millisecond
	// gently and quickly are how much time is steered, in parts per million.
	gently, quickly = 1_000, 10_000
)

// Timeline turns timestamps into times. Between two of them lies what the
// publisher's media clock says; the capture time, which comes from reports and
// is less steady, steers it, so that tracks with clocks that drift apart stay
// together for any length of time. The zero value with Hertz set is ready.
type Timeline struct {
	Hertz int64

	started bool
	last    uint32        // newest timestamp
	ticks   int64         // of it since the start
	origin  time.Time     // of tick 0
	steered time.Duration // sum of all corrections
}

// At returns the time of a timestamp, given when it was captured. broken is set
// when time has jumped: what follows does not continue what was before.
func (t *Timeline) At(timestamp uint32, captured time.Time) (at time.Time, broken bool) {
	if !t.started {
		t.started, t.last, t.ticks, t.origin, t.steered = true, timestamp, 0, captured, 0
		return captured, false
	}
	delta := int64(int32(timestamp - t.last))
	t.last, t.ticks = timestamp, t.ticks+delta
	at = t.origin.Add(t.duration(t.ticks) + t.steered)
	off := captured.Sub(at)
	if off.Abs() > jump {
		t.ticks, t.origin, t.steered = 0, captured, 0
		return captured, true
	}
	if delta > 0 {
		rate := int64(gently)
		if off.Abs() > far {
			rate = quickly
		}
		most := t.duration(delta) * time.Duration(rate) / 1_000_000
		step := max(-most, min(most, off))
		t.steered += step
		at = at.Add(step)
	}
	return at, false
}

// duration does not overflow in the life of a stream.
func (t *Timeline) duration(ticks int64) time.Duration {
	return time.Duration(ticks/t.Hertz)*time.Second + time.Duration(ticks%t.Hertz)*time.Second/time.Duration(t.Hertz)
}
