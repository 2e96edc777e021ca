package lost

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestGapIsAskedForUntilItComes(t *testing.T) {
	var l List
	for _, seq := range []uint64{65534, 65535, 65539} {
		l.Arrived(seq, 0)
	}
	if got := l.Due(1*ms, 0, nil); len(got) != 0 {
		t.Errorf("asked for %v at once: it may only be out of order", got)
	}
	if got := l.Due(5*ms, 0, nil); !slices.Equal(got, []uint16{0, 1, 2}) {
		t.Errorf("asked for %v", got)
	}
	if got := l.Due(10*ms, 0, nil); len(got) != 0 {
		t.Errorf("asked again for %v too soon", got)
	}
	l.Arrived(65537, 12*ms)
	if got := l.Due(40*ms, 0, nil); !slices.Equal(got, []uint16{0, 2}) {
		t.Errorf("asked again for %v", got)
	}
}

func TestRequestsWaitForTheRoundTrip(t *testing.T) {
	var l List
	l.Arrived(10, 0)
	l.Arrived(12, 0)
	var asked []time.Duration
	for now := time.Duration(0); now < 3*time.Second; now += ms {
		if len(l.Due(now, 100*ms, nil)) > 0 {
			asked = append(asked, now)
		}
	}
	if len(asked) < 3 || len(asked) > maxAsks {
		t.Fatalf("asked at %v", asked)
	}
	for i := 1; i < len(asked); i++ {
		if gap := asked[i] - asked[i-1]; gap < 100*ms {
			t.Errorf("asked again after %v", gap)
		}
	}
	if last := asked[len(asked)-1]; last > deadline {
		t.Errorf("asked after %v", last)
	}
	if l.Len() != 0 {
		t.Error("a packet that never came is still waited for")
	}
}

func TestListIsBounded(t *testing.T) {
	var l List
	l.Arrived(0, 0)
	for seq := uint64(2); seq < 4000; seq += 2 { // every other one is lost
		l.Arrived(seq, 0)
	}
	if l.Len() != maxMissing {
		t.Errorf("%d missing, want %d", l.Len(), maxMissing)
	}
	if got := l.Due(5*ms, 0, nil); len(got) != maxMissing || got[len(got)-1] != 3997 {
		t.Errorf("%d asked for, the last is %d", len(got), got[len(got)-1])
	}
	l.Arrived(1<<40, 6*ms)
	if l.Len() != 0 {
		t.Error("a jump is taken for a gap")
	}
}

func TestReorderedPacketIsNotAskedFor(t *testing.T) {
	var l List
	for i, seq := range []uint64{1, 3, 2, 4} {
		l.Arrived(seq, time.Duration(i)*ms)
	}
	if got := l.Due(time.Second/2, 0, nil); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var l List
	out := make([]uint16, 0, maxMissing)
	seq, now := uint64(0), time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq += 2
		now += ms
		l.Arrived(seq, now)
		out = l.Due(now, 0, out[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzList(f *testing.F) {
	f.Add([]byte{0, 1, 3, 2, 255, 4})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var l List
		seq := uint64(1 << 20)
		for i, s := range steps {
			seq += uint64(int64(int8(s)))
			l.Arrived(seq, time.Duration(i)*ms)
			for _, asked := range l.Due(time.Duration(i)*ms, 0, nil) {
				if asked == uint16(seq) {
					t.Fatalf("asked for %d, which has just come", asked)
				}
			}
		}
	})
}
