package estimate

import (
	"testing"
	"time"
)

// feed gives a ramp packets of 1,000 bytes, sent 10 ms apart, with these delays in
// milliseconds.
func feed(delays ...int64) *ramp {
	r := new(ramp)
	for i, d := range delays {
		r.add((int64(i)*10+d)*millisecond, d*millisecond, 1000, false)
	}
	return r
}

func TestRamp(t *testing.T) {
	for _, c := range []struct {
		name   string
		delays []int64
		steep  bool
	}{
		{"grows", []int64{20, 20, 38, 56, 74}, true},
		{"grows from packet to packet only a little", []int64{20, 30, 40, 50, 60, 70}, true},
		{"grows, and one packet is a little sooner", []int64{20, 45, 70, 95, 88}, true},
		{"grows too little", []int64{20, 30, 40, 50, 60}, false},
		{"too few packets", []int64{20, 50, 80}, false},
		{"pauses, and all that waited comes at once", []int64{20, 20, 120, 110, 100, 90}, false},
		{"pauses, and stays later", []int64{20, 20, 100, 101, 102, 103}, false},
		{"has drained", []int64{20, 40, 60, 80, 100, 60}, false},
	} {
		if got := feed(c.delays...).steep(0); got != c.steep {
			t.Errorf("%s: steep is %v", c.name, got)
		}
	}
	r := feed(20, 40, 60, 80)
	if r.steep(15 * millisecond) {
		t.Error("no more than noise makes")
	}
	if got := int64(r.rate()); got != 3*8000*1000/90 {
		t.Errorf("%d bit/s", got)
	}
	if r.queue() != 60*millisecond {
		t.Errorf("queue of %d µs", r.queue())
	}
}

// TestRampIsOfOneTime: a delay that grows slowly is not a link that has just become
// narrow.
func TestRampIsOfOneTime(t *testing.T) {
	var r ramp
	for i := range int64(100) {
		r.add(i*20*millisecond, (20+i)*millisecond, 1000, false)
		if r.steep(0) {
			t.Fatalf("packet %d: steep", i)
		}
	}
}

// TestNarrowLink is a link that carries less than the layer from one moment to the
// next.
func TestNarrowLink(t *testing.T) {
	var worst time.Duration
	for seed := range uint64(40) {
		l := free()
		l.limit = 200 * millisecond
		w := newWorld(t, l, seed)
		w.interval, w.probing, w.patience = 100*millisecond, true, second
		w.layers = []float64{150e3, 500e3}
		w.layer = 1
		w.run(time.Duration(4000+37*seed)*time.Millisecond, nil)
		w.link.rate = 300e3
		var fits time.Duration
		w.run(time.Second, since(&fits, func(s State) bool { return s.Overuse && s.Bitrate < 300_000 }))
		within(t, "an estimate that fits", fits, 500*time.Millisecond)
		worst = max(worst, fits)
	}
	t.Logf("an estimate that fits after %v at most", worst)
}
