package estimate

import "math"

const (
	floorTime    = 5 * second // of one minimum
	floorMinima  = 6          // the base delay is the least of 30 s
	recentTime   = 60 * millisecond
	recentSample = 4 // packets that make a minimum

	// A queue rises when each of risingSteps minima lies above the one before.
	risingSteps = 3
	risingStep  = 5 * millisecond
	// leapStep is how much it rises at once when much more is sent than the path
	// carries.
	leapStep = 25 * millisecond

	// swingSteps is over how many steps it is learnt what jitter does to the
	// minima: some 2 s.
	swingSteps = 32
)

// delayFloor tells the base delay of a path from the queue that stands on it.
// Delays are receiver clock minus sender clock, so only differences mean
// anything; the least of 30 s follows the clocks' drift.
type delayFloor struct {
	known  bool
	last   int64 // the newest delay
	minima [floorMinima]int64
	slot   int
	turned int64 // when the present slot began
	now    recent
	before recent
	rises  int     // in a row
	step   int64   // from the minimum before the last to the last
	steps  int     // seen
	swing  float64 // mean change from one step to the next
}

// recent is the least delay of a short stretch of arrivals.
type recent struct {
	from  int64
	least int64
	count int
}

func (f *delayFloor) add(arrival, delay int64) {
	if !f.known {
		f.known = true
		for i := range f.minima {
			f.minima[i] = math.MaxInt64
		}
		f.now = recent{from: arrival, least: delay}
		f.before = recent{least: delay}
	}
	f.last = delay
	if arrival-f.now.from >= recentTime && f.now.count >= recentSample {
		step := f.now.least - f.before.least
		f.steps++
		swing := math.Abs(float64(step-f.step)) - f.swing
		f.swing += swing / float64(min(f.steps, swingSteps))
		f.step = step
		if step > risingStep {
			f.rises++
		} else {
			f.rises = 0
		}
		f.before = f.now
		f.now = recent{from: arrival, least: delay}
	}
	f.now.count++
	f.now.least = min(f.now.least, delay)
	f.minima[f.slot] = min(f.minima[f.slot], delay)
}

// close ends a report: it moves to the next slot when the present one is full.
func (f *delayFloor) close(now int64) {
	if f.turned == 0 {
		f.turned = now
	}
	if now-f.turned >= floorTime && f.known {
		f.turned = now
		f.slot = (f.slot + 1) % floorMinima
		f.minima[f.slot] = f.last
	}
}

// queue is the delay that even the fastest of the newest packets had above the
// base, in microseconds.
func (f *delayFloor) queue() int64 {
	if !f.known {
		return 0
	}
	least := f.now.least
	if f.now.count < recentSample {
		least = min(least, f.before.least)
	}
	return max(least-f.base(), 0)
}

// rest notes that what stood on the path is gone.
func (f *delayFloor) rest() {
	if f.known {
		f.now, f.before, f.rises = recent{least: f.base()}, recent{least: f.base()}, 0
	}
}

// base is the least delay of some 30 s; the floor must be known.
func (f *delayFloor) base() int64 {
	base := f.minima[0]
	for _, m := range f.minima[1:] {
		base = min(base, m)
	}
	return base
}

// noise is the queue that jitter alone may feign. It is taken from the second
// difference of the minima, which is large for jitter and small while a queue
// grows or drains.
func (f *delayFloor) noise() int64 { return int64(1.5 * min(f.swing, float64(second))) }

// rising reports whether the delay has gone up for some 200 ms.
func (f *delayFloor) rising() bool { return f.rises >= risingSteps }

// leaps reports whether the delay has gone up by much just now.
func (f *delayFloor) leaps() bool {
	return f.now.count >= recentSample && f.before.count >= recentSample && f.now.least > f.before.least+leapStep
}

// falling reports whether the queue drains.
func (f *delayFloor) falling() bool {
	return f.now.count > 0 && f.before.count > 0 && f.now.least < f.before.least-risingStep
}
