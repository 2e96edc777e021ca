package chat

import "time"

// tokens is a token bucket. The zero value is empty; fill sets it up.
type tokens struct {
	rate  float64 // a second
	burst float64
	left  float64
	at    time.Time
}

func (t *tokens) fill(rate float64, burst int, now time.Time) {
	t.rate, t.burst, t.left, t.at = rate, float64(burst), float64(burst), now
}

// take takes a token. When there is none, it says how long until there is.
func (t *tokens) take(now time.Time) (wait time.Duration, ok bool) {
	t.refill(now)
	if t.left >= 1 {
		t.left--
		return 0, true
	}
	if t.rate <= 0 {
		return time.Hour, false
	}
	return time.Duration((1 - t.left) / t.rate * float64(time.Second)), false
}

func (t *tokens) refill(now time.Time) {
	if d := now.Sub(t.at).Seconds(); d > 0 {
		t.left = min(t.burst, t.left+d*t.rate)
		t.at = now
	}
}

// full reports whether nothing was taken for a while.
func (t *tokens) full(now time.Time) bool {
	t.refill(now)
	return t.left >= t.burst
}
