package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreInOrder(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 1e6, 1e9, 1e12, math.MaxInt64} {
		b := bucketOf(v)
		if b < last || b >= buckets {
			t.Errorf("value %d is in bucket %d after %d of %d", v, b, last, buckets)
		}
		if upperOf(b) < time.Duration(v) {
			t.Errorf("value %d is above its bucket's end %d", v, upperOf(b))
		}
		if b > 0 && upperOf(b-1) >= time.Duration(v) {
			t.Errorf("value %d also fits the bucket before its own", v)
		}
		last = b
	}
}

func TestQuantile(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var exact []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(random.NormFloat64()*2) * 1e6)
		h.add(d)
		exact = append(exact, d)
	}
	slices.Sort(exact)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		want := exact[max(int(math.Ceil(q*float64(len(exact))))-1, 0)]
		if got := h.quantile(q); got < want || float64(got) > float64(want)*(1+1.0/subBuckets)+1 {
			t.Errorf("quantile %v is %v, want %v and at most 1/%d more", q, got, want, subBuckets)
		}
	}
	var twice histogram
	twice.merge(&h)
	twice.merge(&h)
	if twice.total != 2*h.total || twice.quantile(0.5) != h.quantile(0.5) || twice.largest != h.largest {
		t.Error("merging the same again moves the median")
	}
	twice.reset()
	if twice.quantile(0.5) != 0 || twice.spread() != (Spread{}) {
		t.Error("an emptied histogram is not empty")
	}
}

// TestQuantileOfFew: of four durations the largest is in the last twentieth.
func TestQuantileOfFew(t *testing.T) {
	var h histogram
	for d := range 4 {
		h.add(time.Duration(d + 1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 2, 0.75: 3, 0.95: 4, 0.99: 4, 1: 4} {
		if got := h.quantile(q); got != want {
			t.Errorf("quantile %v of 1 to 4 is %d, want %d", q, got, want)
		}
	}
}

func TestNegativeDurationsCountAsZero(t *testing.T) {
	var h histogram
	h.add(-time.Second)
	if h.total != 1 || h.quantile(1) != 0 {
		t.Errorf("got %d durations, the largest %v", h.total, h.quantile(1))
	}
}
