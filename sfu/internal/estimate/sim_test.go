package estimate

import (
	"fmt"
	"math"
	"testing"
	"time"
)

const seeds = 5

// free is a link that carries everything.
func free() link { return link{rate: 20e6, base: 20 * millisecond} }

// since returns a watcher that notes in at when ok first held.
func since(at *time.Duration, ok func(State) bool) func(time.Duration, State) {
	*at = -1
	return func(elapsed time.Duration, s State) {
		if *at < 0 && ok(s) {
			*at = elapsed
		}
	}
}

// both calls two watchers.
func both(a, b func(time.Duration, State)) func(time.Duration, State) {
	return func(elapsed time.Duration, s State) { a(elapsed, s); b(elapsed, s) }
}

func within(t *testing.T, what string, at, limit time.Duration) {
	t.Helper()
	if at < 0 || at > limit {
		t.Errorf("%s after %v, want within %v", what, at, limit)
	}
}

// TestLinkDropsAndRecovers is a viewer whose link falls to 1.2 Mbit/s, then to
// 300 kbit/s, and is free again.
func TestLinkDropsAndRecovers(t *testing.T) {
	for _, c := range []struct {
		name     string
		fixed    bool // the sender does not follow
		interval int64
		limit    int64 // of the queue
		jitter   int64
	}{
		{name: "follows, reports each 50 ms", interval: 50 * millisecond, limit: 400 * millisecond},
		{name: "follows, reports each 100 ms", interval: 100 * millisecond, limit: 400 * millisecond},
		{name: "follows, long queue", interval: 50 * millisecond, limit: 1500 * millisecond},
		{name: "follows, short queue", interval: 50 * millisecond, limit: 100 * millisecond},
		{name: "follows, very short queue", interval: 50 * millisecond, limit: 50 * millisecond},
		{name: "follows, jitter", interval: 50 * millisecond, limit: 400 * millisecond, jitter: 20 * millisecond},
		{name: "does not follow", fixed: true, interval: 50 * millisecond, limit: 400 * millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			var worst [4]time.Duration
			for seed := range uint64(seeds) {
				l := free()
				l.limit, l.jitter = c.limit, c.jitter
				w := newWorld(t, l, seed)
				w.fixed, w.interval, w.probing, w.patience = c.fixed, c.interval, true, 500*millisecond
				w.run(time.Duration(4000+37*seed)*time.Millisecond, nil)
				if s := w.e.State(); s.Bitrate < 2_500_000 || s.Overuse || s.Source != "transport-cc" {
					t.Fatalf("seed %d: before the drop: %+v", seed, s)
				}
				at := dropAndRecover(t, w)
				for i := range at {
					worst[i] = max(worst[i], at[i])
				}
			}
			t.Logf("worst of %d: overuse %v, <= 1.2M %v, <= 300k %v, >= 3M %v", seeds, worst[0], worst[1], worst[2], worst[3])
		})
	}
}

func dropAndRecover(t *testing.T, w *world) (at [4]time.Duration) {
	t.Helper()
	w.link.rate = 1.2e6
	w.run(4*time.Second, both(
		since(&at[0], func(s State) bool { return s.Overuse }),
		since(&at[1], func(s State) bool { return s.Bitrate <= 1_200_000 })))
	within(t, "overuse at 1.2M", at[0], 500*time.Millisecond)
	within(t, "at most 1.2M", at[1], time.Second)
	if s := w.e.State(); s.Bitrate > 1_500_000 || s.Bitrate < 700_000 {
		t.Errorf("settled at 1.2M: %+v", s)
	}
	w.link.rate = 300e3
	w.run(6*time.Second, since(&at[2], func(s State) bool { return s.Bitrate <= 300_000 }))
	within(t, "at most 300k", at[2], 1500*time.Millisecond)
	if s := w.e.State(); s.Bitrate > 450_000 || s.Bitrate < 150_000 {
		t.Errorf("settled at 300k: %+v", s)
	}
	w.link.rate = 20e6
	w.run(12*time.Second, since(&at[3], func(s State) bool { return s.Bitrate >= 3_000_000 }))
	within(t, "at least 3M", at[3], 8*time.Second)
	return at
}

// TestFreeLinkStaysUp is a link that disturbs but does not limit.
func TestFreeLinkStaysUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		link   link
		least  int
		layers []float64
	}{
		{name: "clean", link: link{}, least: 3_000_000},
		{name: "5 % random loss", link: link{loss: 0.05}, least: 2_500_000},
		{name: "10 % random loss", link: link{loss: 0.10}, least: 2_000_000},
		{name: "jitter 60 ms in order", link: link{jitter: 60 * millisecond}, least: 2_500_000},
		{name: "jitter 60 ms out of order", link: link{jitter: 60 * millisecond, reorder: true}, least: 2_500_000},
		{name: "jitter and 5 % loss", link: link{jitter: 60 * millisecond, loss: 0.05}, least: 2_300_000},
		{name: "long way", link: link{base: 250 * millisecond}, least: 2_500_000},
		{name: "low layer, jitter", link: link{jitter: 60 * millisecond}, least: 350_000, layers: []float64{250e3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lowest := math.MaxInt
			for seed := range uint64(seeds) {
				l := c.link
				l.rate, l.base = 20e6, max(l.base, 20*millisecond)
				w := newWorld(t, l, seed)
				w.probing, w.patience = true, 300*millisecond
				if c.layers != nil {
					w.layers, w.layer = c.layers, 0
				}
				w.run(12*time.Second, nil)
				w.run(30*time.Second, func(_ time.Duration, s State) { lowest = min(lowest, s.Bitrate) })
			}
			t.Logf("lowest of %d: %d", seeds, lowest)
			if lowest < c.least {
				t.Errorf("fell to %d, want at least %d", lowest, c.least)
			}
		})
	}
}

// TestAppLimited is a sender that sends less than the path carries: the target
// neither falls nor runs away.
func TestAppLimited(t *testing.T) {
	w := newWorld(t, free(), 3)
	w.layers, w.layer, w.fixed = []float64{400e3}, 0, true
	lowest, highest := math.MaxInt, 0
	received := 0.0
	w.run(60*time.Second, func(_ time.Duration, s State) {
		lowest, highest = min(lowest, s.Bitrate), max(highest, s.Bitrate)
		received = max(received, float64(s.Received))
	})
	if lowest < 1_000_000 {
		t.Errorf("fell to %d from the start at 1M", lowest)
	}
	if limit := max(1.5*received+10_000, 1_000_000); float64(highest) > limit {
		t.Errorf("rose to %d, received at most %.0f", highest, received)
	}
}

// TestProbeFindsTheLink checks what a probe makes of links above and below its
// rate.
func TestProbeFindsTheLink(t *testing.T) {
	for _, c := range []struct {
		rate, target float64
		low, high    int
	}{
		{rate: 20e6, target: 3.5e6, low: 3_100_000, high: 3_800_000},
		{rate: 5e6, target: 3.5e6, low: 3_000_000, high: 3_900_000},
		{rate: 2e6, target: 3.5e6, low: 1_000_000, high: 2_100_000},
		{rate: 1.4e6, target: 3.5e6, low: 1_000_000, high: 1_450_000},
	} {
		t.Run(fmt.Sprintf("%.1fM", c.rate/1e6), func(t *testing.T) {
			for seed := range uint64(seeds) {
				l := free()
				l.rate = c.rate
				w := newWorld(t, l, seed)
				w.layers, w.layer, w.fixed = []float64{600e3}, 0, true
				w.run(time.Second, nil)
				if !w.e.CanProbe(w.now * nanos) {
					t.Fatalf("cannot probe: %+v", w.e.State())
				}
				w.e.StartProbe(int(c.target), 0, w.now*nanos)
				if !w.e.Probing() || w.e.CanProbe(w.now*nanos) {
					t.Fatal("no cluster is open")
				}
				w.run(500*time.Millisecond, nil)
				if s := w.e.State(); s.Bitrate < c.low || s.Bitrate > c.high || w.e.Probing() {
					t.Errorf("seed %d: after the probe: %+v, want %d to %d", seed, s, c.low, c.high)
				}
			}
		})
	}
}

// TestProbesBackOff counts the probes for a rate that the link does not carry.
func TestProbesBackOff(t *testing.T) {
	l := free()
	l.rate = 1.3e6
	w := newWorld(t, l, 5)
	w.layers, w.layer, w.fixed = []float64{800e3}, 0, true
	probes := 0
	w.run(20*time.Second, func(time.Duration, State) {
		if w.e.CanProbe(w.now * nanos) {
			w.e.StartProbe(3_500_000, 0, w.now*nanos)
			probes++
		}
	})
	if probes < 3 || probes > 7 {
		t.Errorf("%d probes in 20 s", probes)
	}
	if s := w.e.State(); s.Bitrate > 1_500_000 || s.Bitrate < 800_000 {
		t.Errorf("settled at %+v", s)
	}
}

// TestLossyReports is feedback that is lost for two seconds, comes late, twice,
// and whose numbers wrap.
func TestLossyReports(t *testing.T) {
	w := newWorld(t, free(), 9)
	w.probing, w.shuffle, w.seq = true, true, 64000
	w.expected = w.seq
	w.run(8*time.Second, nil) // sequence numbers pass 65535 here
	if w.seq < 1<<16 {
		t.Fatalf("the numbers did not wrap: %d", w.seq)
	}
	before := w.e.State()
	if before.Bitrate < 2_500_000 || before.Loss > 0.01 {
		t.Fatalf("late and doubled reports: %+v", before)
	}
	w.deaf = true
	w.run(2*time.Second, nil)
	if s := w.e.State(); s.Bitrate < before.Bitrate || s.Overuse {
		t.Errorf("reports lost for 2 s: %+v, before %+v", s, before)
	}
	w.deaf = false
	w.run(3*time.Second, func(_ time.Duration, s State) {
		if s.Bitrate < before.Bitrate*9/10 || s.Overuse {
			t.Fatalf("reports are back: %+v, before %+v", s, before)
		}
	})
	w.deaf = true
	w.run(10*time.Second, nil)
	if s := w.e.State(); s.Bitrate > before.Bitrate/4 {
		t.Errorf("10 s of silence: %+v, before %+v", s, before)
	}
	w.deaf = false
	w.run(8*time.Second, nil)
	if s := w.e.State(); s.Bitrate < 2_500_000 {
		t.Errorf("reports are back after 10 s: %+v", s)
	}
}

// TestPathChanges is a path that grows longer: that is no queue for ever, and no
// reason to send less.
func TestPathChanges(t *testing.T) {
	w := newWorld(t, free(), 11)
	w.probing = true
	w.run(10*time.Second, nil)
	w.link.base += 120 * millisecond
	w.run(5*time.Second, nil)
	w.run(40*time.Second, nil)
	if s := w.e.State(); s.Queue > 20*time.Millisecond || s.Bitrate < 2_500_000 {
		t.Errorf("after the path has grown longer: %+v", s)
	}
}

// TestProbesDoNotMislead probes again and again for a little more than the link
// carries, beside jitter: the target stays near the link's rate.
func TestProbesDoNotMislead(t *testing.T) {
	for _, c := range []struct{ rate, sent, target float64 }{
		{1.2e6, 850e3, 1.65e6},
		{300e3, 110e3, 520e3},
		{300e3, 230e3, 420e3},
		{700e3, 400e3, 1e6},
	} {
		t.Run(fmt.Sprintf("%.0fk for %.0fk", c.target/1e3, c.rate/1e3), func(t *testing.T) {
			misled, moments, least := 0, 0, math.MaxInt
			for seed := range uint64(seeds) {
				l := free()
				l.rate, l.jitter = c.rate, 8*millisecond
				w := newWorld(t, l, seed)
				w.layers, w.layer, w.fixed, w.padding = []float64{c.sent}, 0, true, 1000
				w.e.setTarget(c.sent)
				w.run(20*time.Second, func(elapsed time.Duration, s State) {
					if w.e.CanProbe(w.now * nanos) {
						w.e.StartProbe(int(c.target), 0, w.now*nanos)
					}
					if elapsed < 5*time.Second {
						return
					}
					moments++
					least = min(least, s.Bitrate)
					if float64(s.Bitrate) > 1.4*c.rate {
						misled++
					}
				})
			}
			t.Logf("above 1.4 of the rate for %.1f %% of the time, never below %d", 100*float64(misled)/float64(moments), least)
			if misled*20 > moments {
				t.Errorf("above 1.4 of the rate for %d of %d moments", misled, moments)
			}
		})
	}
}
