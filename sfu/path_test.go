package sfu

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestPathsBecomeNarrowAndFree is a viewer whose path carries 1.2 Mbit/s, then
// 300 kbit/s, then everything again, with queues and round trips of many kinds.
func TestPathsBecomeNarrowAndFree(t *testing.T) {
	for _, c := range []struct {
		reports  string
		settle   time.Duration // until the best layer comes
		down, up time.Duration // at most
		gap      time.Duration // without a new picture, at most, on the way down
	}{
		{"transport-cc", 4 * time.Second, 1500 * time.Millisecond, 10 * time.Second, 1500 * time.Millisecond},
		{"loss", 10 * time.Second, 6 * time.Second, 13 * time.Second, 0},
		{"remb", 15 * time.Second, 6 * time.Second, 15 * time.Second, 0},
	} {
		t.Run(c.reports, func(t *testing.T) {
			t.Parallel()
			for rtt, queue := range map[time.Duration]time.Duration{40: 200, 160: 50} {
				t.Run(fmt.Sprintf("%d ms, queue of %d ms", rtt, queue), func(t *testing.T) {
					wide := road{delay: rtt * time.Millisecond / 2, queue: queue * time.Millisecond}
					travel(t, c.reports, uint64(rtt+queue), wide, func(j *journey) {
						j.pass(c.settle)
						for _, step := range []struct {
							rate  int
							layer string
							limit time.Duration
						}{{1_200_000, "h", c.down}, {300_000, "q", c.down}, {0, "f", c.up}} {
							from, froze := j.elapsed(), len(j.freezes)
							narrow := wide
							narrow.rate = step.rate
							j.set(narrow)
							took := j.until(step.layer, step.limit)
							j.pass(5 * time.Second)
							gap := slices.Max(append(j.freezes[froze:], 0))
							t.Logf("at %d bit/s: layer %s after %v, longest time without a new picture %v", step.rate, step.layer, took-from, gap.Round(time.Millisecond))
							if c.gap > 0 && gap > c.gap {
								t.Errorf("no new picture for %v", gap)
							}
						}
					})
				})
			}
		})
	}
}

// TestPathAtTheEdge is a path that carries a layer hardly, or hardly not: the layer
// does not change again and again.
func TestPathAtTheEdge(t *testing.T) {
	const most = 4 // changes in a minute: twice up and down
	for _, c := range []struct {
		reports string
		rate    int
	}{
		{"transport-cc", 550_000}, {"transport-cc", 2_750_000}, {"transport-cc", 3_125_000},
		{"loss", 525_000}, {"loss", 550_000}, {"loss", 600_000}, {"remb", 550_000},
	} {
		rate := c.rate
		t.Run(fmt.Sprintf("%s, %d kbit/s", c.reports, rate/1000), func(t *testing.T) {
			t.Parallel()
			edge := road{delay: 20 * time.Millisecond, queue: 200 * time.Millisecond}
			travel(t, c.reports, uint64(rate), edge, func(j *journey) {
				j.pass(10 * time.Second)
				edge.rate = rate
				j.set(edge)
				j.pass(10 * time.Second)
				before, froze := len(j.log), len(j.freezes)
				j.pass(time.Minute)
				v := j.state()
				t.Logf("%d changes, longest time without a new picture %v; %s: %s", len(j.log)-before, slices.Max(append(j.freezes[froze:], 0)), v.Layer, v.Reason)
				if n := len(j.log) - before; n > most {
					t.Errorf("%d changes: %+v", n, j.log[before:])
				}
			})
		})
	}
}
