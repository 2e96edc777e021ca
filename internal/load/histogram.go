package load

import (
	"math"
	"math/bits"
	"time"
)

// subBuckets is how many buckets each power of two has: the error of a
// quantile is below 1/subBuckets.
const (
	subBits    = 5
	subBuckets = 1 << subBits
	buckets    = (64 - subBits + 1) * subBuckets
)

// histogram counts durations in buckets of constant relative width. The zero
// value is empty.
type histogram struct {
	counts  [buckets]uint64
	total   uint64
	largest time.Duration
}

// add counts one duration; a negative one counts as zero.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.largest = max(h.largest, d)
}

// quantile returns the least duration that a share q of those counted does not
// exceed, 0 when there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	for i, n := range h.counts {
		if n >= rank {
			return min(upperOf(i), h.largest)
		}
		rank -= n
	}
	return h.largest
}

// merge adds what another has counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.largest = max(h.largest, other.largest)
}

// reset empties the histogram.
func (h *histogram) reset() { *h = histogram{} }

func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// upperOf is the largest value of a bucket.
func upperOf(bucket int) time.Duration {
	if bucket < subBuckets {
		return time.Duration(bucket)
	}
	shift := bucket/subBuckets - 1
	low := uint64(bucket%subBuckets+subBuckets) << shift
	return time.Duration(low + 1<<shift - 1)
}
