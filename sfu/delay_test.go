package sfu

import (
	"slices"
	"testing"
	"time"
)

// observed keeps what is observed, in milliseconds.
type observed []int64

// Observe implements Observer.
func (d *observed) Observe(seconds float64) {
	*d = append(*d, time.Duration(seconds*float64(time.Second)).Round(time.Millisecond).Milliseconds())
}

// TestDelayOfEachPacketIsObservedOnce: sound, and what is sent again, go out while the
// newest picture is old.
func TestDelayOfEachPacketIsObservedOnce(t *testing.T) {
	b := newBench()
	seen := &observed{}
	b.sh.sfu.deps.ForwardDelay = seen
	src := newSource(b, "", 10, 0)
	b.sources(src)
	round := func(wait time.Duration) {
		b.pass(wait)
		b.sh.sfu.start = time.Now().Add(-time.Duration(b.now))
		b.sh.packets[Audio]++ // something was sent
		b.sh.flush()
	}
	src.frame(b, 1, true)
	round(0)
	*seen = nil
	for range 3 {
		b.now += int64(30 * time.Millisecond)
		src.frame(b, 2, false)
		round(2 * time.Millisecond)
		round(10 * time.Millisecond) // sound alone
		round(10 * time.Millisecond)
	}
	if want := (observed{2, 2, 2}); !slices.Equal(*seen, want) {
		t.Errorf("delays of %v ms, want %v", *seen, want)
	}
}
