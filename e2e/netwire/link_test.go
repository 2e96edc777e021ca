package netwire

import (
	"math/rand/v2"
	"testing"
	"time"
)

// drive sends packets of 1250 bytes, one each interval.
func drive(s Settings, packets int, interval time.Duration) (arrived []time.Duration, counts Counters) {
	l := link{random: rand.New(rand.NewPCG(1, 2))}
	begin := time.Unix(0, 0)
	for i := range packets {
		if at, ok := l.admit(s, 1250, begin.Add(time.Duration(i)*interval)); ok {
			arrived = append(arrived, at.Sub(begin))
		}
	}
	return arrived, l.counts
}

func TestLinkDelays(t *testing.T) {
	arrived, counts := drive(Settings{Delay: 40 * time.Millisecond}, 3, 10*time.Millisecond)
	for i, at := range arrived {
		if want := 40*time.Millisecond + time.Duration(i)*10*time.Millisecond; at != want {
			t.Errorf("packet %d after %v, want %v", i, at, want)
		}
	}
	if want := (Counters{Packets: 3, Bytes: 3750}); counts != want {
		t.Errorf("counted %+v, want %+v", counts, want)
	}
}

// TestLinkQueues sends twice what the link takes: it passes its rate, later and
// later until the queue is full.
func TestLinkQueues(t *testing.T) {
	arrived, counts := drive(Settings{Rate: 1_000_000, Queue: 100 * time.Millisecond}, 200, 5*time.Millisecond)
	if n := len(arrived); n < 105 || n > 115 {
		t.Errorf("%d packets in a second and the queue, want 110", n)
	}
	last := arrived[len(arrived)-1]
	if last < time.Second || last > 1120*time.Millisecond {
		t.Errorf("the last packet arrives after %v", last)
	}
	if counts.Full != uint64(200-len(arrived)) || counts.Lost != 0 {
		t.Errorf("counted %+v", counts)
	}
}

func TestLinkLoses(t *testing.T) {
	arrived, counts := drive(Settings{Loss: 0.1}, 10_000, time.Millisecond)
	if counts.Lost < 900 || counts.Lost > 1100 || int(counts.Lost) != 10_000-len(arrived) {
		t.Errorf("lost %d of 10000, want 1000", counts.Lost)
	}
}

func TestLinkReordersOnlyWhenAsked(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		arrived, _ := drive(Settings{Jitter: 20 * time.Millisecond, Reorder: reorder}, 100, time.Millisecond)
		swapped := false
		for i := 1; i < len(arrived); i++ {
			swapped = swapped || arrived[i] < arrived[i-1]
		}
		if swapped != reorder {
			t.Errorf("reorder %v: order changed: %v", reorder, swapped)
		}
	}
}
