package sfu

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
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
		{"transport-cc", 4 * time.Second, 1500 * time.Millisecond, 10 * time.Second, 700 * time.Millisecond},
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

// TestNarrowPath is a path that falls to 1.2 Mbit/s and 300 kbit/s, NARROW times of
// each kind, seen at several moments between keyframes. How many pictures stood
// still for more than 500 ms is logged.
func TestNarrowPath(t *testing.T) {
	const most = 800 * time.Millisecond // without a new picture
	const ms = time.Millisecond
	for _, wide := range []road{{delay: 20 * ms, queue: 200 * ms}, {delay: 20 * ms, queue: 100 * ms}, {delay: 50 * ms, queue: 200 * ms}, {delay: 50 * ms, queue: 100 * ms}} {
		what := fmt.Sprintf("%v one way, queue of %v", wide.delay, wide.queue)
		var gaps []time.Duration
		for i := range cases(t, "NARROW", 8) {
			travel(t, "transport-cc", uint64(i), wide, func(j *journey) {
				j.pass(4*time.Second + time.Duration(i)*111*time.Millisecond)
				froze := len(j.freezes)
				for _, rate := range []int{1_200_000, 300_000} {
					narrow := wide
					narrow.rate = rate
					j.set(narrow)
					j.pass(5 * time.Second)
				}
				gap := slices.Max(append(j.freezes[froze:], time.Since(j.shown)))
				gaps = append(gaps, gap)
				if v := j.state(); gap > most || v.Layer != "q" {
					t.Errorf("%s, case %d: no new picture for %v; %s: %s", what, i, gap, v.Layer, v.Reason)
				}
			})
		}
		logGaps(t, what, gaps)
	}
}

// TestPathThatCarriesNothing is a path too narrow for any layer, and free again:
// there is no video rather than a broken one, and it comes back.
func TestPathThatCarriesNothing(t *testing.T) {
	for _, reports := range []string{"transport-cc", "loss", "remb"} {
		t.Run(reports, func(t *testing.T) {
			t.Parallel()
			wide := road{delay: 20 * time.Millisecond, queue: 200 * time.Millisecond}
			travel(t, reports, 7, wide, func(j *journey) {
				j.pass(15 * time.Second)
				narrow := wide
				narrow.rate = 60_000
				j.set(narrow)
				j.until("", 25*time.Second)
				t.Logf("paused after %v: %s", j.elapsed()-15*time.Second, j.state().Reason)
				if v := j.state(); v.Waiting != "bandwidth" {
					t.Errorf("waits for %q", v.Waiting)
				}
				j.pass(time.Minute)
				video := time.Duration(0)
				for i, at := range j.log {
					if i+1 < len(j.log) && j.log[i+1].layer == "" && at.at > 20*time.Second {
						video += j.log[i+1].at - at.at
					}
				}
				t.Logf("video for %v of a minute", video)
				if video > 20*time.Second {
					t.Errorf("video for %v", video)
				}
				j.set(wide)
				from := j.elapsed()
				j.until("f", 100*time.Second)
				t.Logf("the best layer after %v", j.elapsed()-from)
			})
		})
	}
}

// cases is how many of each kind are tried: the setting's, or so many by default.
func cases(t *testing.T, setting string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(setting), strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// logGaps logs the longest times without a new picture.
func logGaps(t *testing.T, what string, gaps []time.Duration) {
	t.Helper()
	slices.Sort(gaps)
	at, _ := slices.BinarySearch(gaps, 500*time.Millisecond)
	t.Logf("%s: %d of %d over 500 ms, median %v, worst %v", what, len(gaps)-at, len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
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
