//go:build linux

package e2e

import (
	"context"
	"math"
	"os"
	"slices"
	"testing"
	"time"
)

const (
	watchTick = 20 * time.Millisecond
	// stallFrom is how late a timer is when the machine stands still.
	stallFrom = 150 * time.Millisecond
	// aftermath is how long after a stall what has waited still catches up.
	aftermath = 4 * time.Second
	// enough samples for a median.
	enough = 10
	// unhurried is how long anything may take that must happen: far longer than it
	// does, since machines are slow and stand still for seconds.
	unhurried = time.Minute
)

// aim is a target for a machine that does nothing else. LINKS=all makes it an error
// to miss it.
func aim(t testing.TB, met bool, format string, args ...any) {
	t.Helper()
	switch {
	case met:
	case os.Getenv("LINKS") == "all":
		t.Errorf(format, args...)
	default:
		t.Logf("target missed: "+format, args...)
	}
}

// stall is a time in which something did not run: this process, or what it samples.
type stall struct{ from, to time.Duration }

// watch notes stalls of this process until the recording ends.
func (r *recording) watch(ctx context.Context) {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for last := r.now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := r.now()
		r.late(last, now, watchTick+stallFrom)
		last = now
	}
}

// late notes a stall when more than limit lies between two times.
func (r *recording) late(from, to, limit time.Duration) {
	if to-from <= limit {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalls = append(r.stalls, stall{from, to})
}

// quiet returns the samples of a time that no stall has touched.
func (r *recording) quiet(from, to time.Duration) []moment {
	r.mu.Lock()
	stalls := slices.Clone(r.stalls)
	r.mu.Unlock()
	return slices.DeleteFunc(r.between(from, to), func(m moment) bool {
		return slices.ContainsFunc(stalls, func(s stall) bool { return m.At >= s.from && m.At <= s.to+aftermath })
	})
}

// calm says that nothing stood still in a time, nor shortly before it.
func (r *recording) calm(from, to time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.stalls, func(s stall) bool { return s.from <= to && s.to >= from-2*aftermath })
}

// settle lets time pass, once more when the machine stood still in it, and returns
// the samples since from that tell something.
func (r *recording) settle(t testing.TB, from, d time.Duration) []moment {
	t.Helper()
	r.wait(t, d)
	if quiet := r.quiet(from, r.now()); len(quiet) >= enough {
		return quiet
	}
	t.Log("the machine stood still: once more")
	r.wait(t, aftermath+d)
	return r.quiet(from, r.now())
}

// apart returns how far sound and picture were from each other: the median, what 95
// of 100 samples did not exceed, and the most.
func apart(moments []moment) (median, most95, most time.Duration) {
	var all []time.Duration
	for _, m := range moments {
		all = append(all, time.Duration(math.Abs(m.Sight.Ahead)*float64(time.Millisecond)).Round(time.Millisecond))
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*95/100], all[len(all)-1]
}

// tally is what consecutive samples add up to.
type tally struct{ seconds, decoded, frozen, concealed, sound float64 }

// add sums up samples, but not across a hole between them.
func add(moments []moment) (sum tally) {
	for i := 1; i < len(moments); i++ {
		a, b := moments[i-1], moments[i]
		if b.At-a.At > 2*sampling {
			continue
		}
		sum.seconds += (b.At - a.At).Seconds()
		sum.decoded += float64(b.Sight.Decoded - a.Sight.Decoded)
		sum.frozen += b.Sight.Frozen - a.Sight.Frozen
		sum.concealed += b.Sight.Concealed - a.Sight.Concealed
		sum.sound += b.Sight.Sound - a.Sight.Sound
	}
	return sum
}
