package estimate

import (
	"math/rand/v2"
	"testing"
	"time"
)

// answered is a sender whose receiver answers sender reports once a second, and
// may send an estimate of its own.
type answered struct {
	e      *Estimator
	link   link
	rng    *rand.Rand
	now    int64
	sent   uint64
	report uint32
	held   bool // the report has arrived
	rtt    int64
	pulses int
}

// second sends media for a second, pulses for want, and reports.
func (a *answered) second(media, want int, remb float64) {
	if remb > 0 {
		a.e.REMB(remb, a.now*nanos)
	}
	for range 1000 {
		a.now += millisecond
		if a.now%(10*millisecond) == 0 {
			a.carry(media / 800)
		}
		if a.e.State().Bitrate < want && a.e.CanProbe(a.now*nanos) {
			a.e.StartProbe(want, media, a.now*nanos)
			if a.e.Probing() {
				a.pulses++
			}
		}
		for bytes := a.e.ProbeBudget(a.now*nanos, a.sent); bytes > 0; bytes -= 1000 {
			a.carry(1000)
		}
		switch {
		case a.e.AwaitsReport():
			a.mark()
			a.e.Marked(a.report)
		case a.now%(500*millisecond) == 0 && !a.e.HoldsReports(a.now*nanos):
			a.mark()
		}
	}
	if a.held {
		a.e.Report(Reception{RTT: a.rtt * nanos, Answers: a.report, Sent: media}, a.now*nanos)
	}
}

func (a *answered) mark() {
	at, ok := a.carry(100)
	a.report++
	a.rtt, a.held = at-a.now+a.link.base, ok
}

func (a *answered) carry(size int) (at int64, ok bool) {
	a.sent += uint64(size)
	return a.link.carry(a.rng, a.now, size)
}

// TestPulses are paths of which only receiver reports tell: what fits is found in
// seconds, and what does not fit is not believed.
func TestPulses(t *testing.T) {
	const media, want = 150_000, 2_900_000
	for _, c := range []struct {
		name        string
		rate        float64
		jitter      int64
		remb        func(second int) float64
		least, most int
	}{
		{name: "free", rate: 20e6, least: want, most: 4_000_000},
		{name: "free, jitter", rate: 20e6, jitter: 15 * millisecond, least: want, most: 4_000_000},
		{name: "1.2 Mbit/s", rate: 1.2e6, least: 800_000, most: 1_450_000},
		{name: "300 kbit/s", rate: 300e3, least: 200_000, most: 400_000},
		{name: "an estimate that is behind", rate: 20e6, remb: func(s int) float64 { return 300e3 + 8e3*float64(s) }, least: want, most: 4_000_000},
		{name: "an estimate that is a limit", rate: 20e6, remb: func(int) float64 { return 300e3 }, least: 300_000, most: 300_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				l := free()
				l.rate, l.limit, l.jitter = c.rate, 200*millisecond, c.jitter
				a := &answered{e: New(Config{Start: 250_000}), link: l, rng: rand.New(rand.NewPCG(seed, 1)), now: 1e9}
				for s := range 12 {
					remb := 0.0
					if c.remb != nil {
						remb = c.remb(s)
					}
					a.second(media, want, remb)
				}
				if s := a.e.State(); s.Bitrate < c.least || s.Bitrate > c.most || a.pulses > 9 {
					t.Errorf("seed %d: after 12 s and %d pulses: %+v", seed, a.pulses, s)
				}
			}
		})
	}
}

// TestPulseIsUndone is a receiver whose own estimate falls after a pulse has shown
// more.
func TestPulseIsUndone(t *testing.T) {
	a := &answered{e: New(Config{}), link: free(), rng: rand.New(rand.NewPCG(1, 1)), now: 1e9}
	a.link.limit = 200 * millisecond
	for s := range 10 {
		a.second(150_000, 2_900_000, 300e3+8e3*float64(s))
	}
	if s := a.e.State(); s.Bitrate < 2_900_000 {
		t.Fatalf("before: %+v", s)
	}
	a.e.REMB(200e3, a.now*nanos)
	if s := a.e.State(); s.Bitrate != 200_000 {
		t.Errorf("the receiver says less: %+v", s)
	}
	a.e.Report(Reception{RTT: int64(time.Hour), Answers: a.report}, a.now*nanos)
	sane(t, a.e, Config{})
}

// TestAStandingEstimateIsExceededOnce is a receiver whose own estimate stands still:
// whether it lags or is a limit shows when more is sent for some seconds.
func TestAStandingEstimateIsExceededOnce(t *testing.T) {
	const media, want, says = 150_000, 2_900_000, 300e3
	a := &answered{e: New(Config{}), link: free(), rng: rand.New(rand.NewPCG(1, 1)), now: 1e9}
	a.link.limit = 200 * millisecond
	exceeded := func(seconds int) (n int) {
		for range seconds {
			a.second(media, want, says)
			if a.e.State().Bitrate > says {
				n++
			}
		}
		return n
	}
	if n := exceeded(40); n == 0 || n > 8 {
		t.Errorf("exceeded for %d of 40 s", n)
	}
	if n := exceeded(60); n != 0 {
		t.Errorf("exceeded for %d s though it is a limit", n)
	}
	a.e.REMB(100e3, a.now*nanos)
	if n := exceeded(20); n == 0 || n > 8 {
		t.Errorf("exceeded for %d of 20 s on another path", n)
	}
}

// TestALeapOfTheDelay is a queue that grows within a moment, and delays that vary
// as much without one.
func TestALeapOfTheDelay(t *testing.T) {
	var f delayFloor
	at := int64(0)
	feed := func(delays ...int64) {
		for _, d := range delays {
			at += 15 * millisecond
			f.add(at, d*millisecond)
		}
	}
	feed(20, 21, 22, 20, 21, 20, 20, 21)
	if f.leaps() {
		t.Error("at rest")
	}
	feed(90, 20, 60, 20, 80, 21, 70, 20)
	if f.leaps() {
		t.Error("single late packets are no queue")
	}
	feed(80, 90, 100, 110)
	if !f.leaps() {
		t.Error("a queue grew by 60 ms")
	}
}
