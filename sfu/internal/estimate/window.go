package estimate

// Throughput is counted in buckets of the receiver's clock.
const (
	bucketTime   = 32 * millisecond
	longBuckets  = 16      // 512 ms
	shortBuckets = 8       // 256 ms
	briefBuckets = 4       // 128 ms
	briefRate    = 600_000 // six full packets
	minSpan      = 100 * millisecond
)

// throughput is the rate at which packets arrived at the receiver.
type throughput struct {
	begun  bool
	bytes  [longBuckets]int64
	bucket int64 // number of the newest bucket
	since  int64 // arrival of the first packet counted
	newest int64 // arrival of the newest packet
}

// restart forgets what was counted: there is a hole in the reports.
func (t *throughput) restart() { *t = throughput{} }

func (t *throughput) add(arrival int64, size int) {
	bucket := arrival / bucketTime
	switch {
	case !t.begun:
		*t = throughput{begun: true, bucket: bucket, since: arrival, newest: arrival}
	case bucket > t.bucket:
		for b := max(t.bucket+1, bucket-longBuckets+1); b <= bucket; b++ {
			t.bytes[uint64(b)%longBuckets] = 0
		}
		t.bucket = bucket
	case bucket <= t.bucket-longBuckets:
		return
	}
	t.newest = max(t.newest, arrival)
	t.bytes[uint64(bucket)%longBuckets] += int64(size)
}

// long is the rate over about 500 ms.
func (t *throughput) long() float64 { return t.rate(longBuckets) }

// busy is the rate of the link while a queue stands: that over about 250 ms, or
// over 130 ms when the link was idle before, if enough arrived to tell.
func (t *throughput) busy() float64 {
	short, brief := t.rate(shortBuckets), t.rate(briefBuckets)
	if brief < briefRate {
		return short
	}
	return max(short, brief)
}

// brief is the rate over about 130 ms, for a link that has just become narrow.
func (t *throughput) brief() float64 { return t.rate(briefBuckets) }

func (t *throughput) rate(buckets int64) float64 {
	if !t.begun {
		return 0
	}
	var bytes int64
	for b := t.bucket - buckets + 1; b <= t.bucket; b++ {
		bytes += int64(t.bytes[uint64(b)%longBuckets])
	}
	from := max((t.bucket-buckets+1)*bucketTime, t.since)
	return float64(bytes) * 8 * float64(second) / float64(max(t.newest-from, minSpan))
}

// steady reports whether enough was counted to act upon.
func (t *throughput) steady() bool { return t.begun && t.newest-t.since >= minSpan }

const (
	lossTime    = 500 * millisecond
	lossPackets = 20 // fewer say nothing
	// heavyLoss is the loss within one report, of heavyPackets at least, that tells
	// beside any queue that it has just become full.
	heavyLoss    = 0.50
	heavyPackets = 4
)

// lossWindow counts fates in two windows, the present one and the one before.
type lossWindow struct {
	arrived, lost       int
	arrivedOld, lostOld int
	since               int64
	told                struct{ arrived, lost int } // by the newest report
}

// open begins a report.
func (w *lossWindow) open() { w.told.arrived, w.told.lost = 0, 0 }

// heavy reports whether the newest report tells of so much loss that what arrived is
// all that the path carries.
func (w *lossWindow) heavy() bool {
	return w.told.lost >= heavyPackets && float64(w.told.lost) > heavyLoss*float64(w.told.lost+w.told.arrived)
}

func (w *lossWindow) lostPacket() {
	w.lost++
	w.told.lost++
}

// arrivedPacket counts a packet; late tells that it was counted lost before.
func (w *lossWindow) arrivedPacket(late bool) {
	w.arrived++
	w.told.arrived++
	switch {
	case !late:
	case w.lost > 0:
		w.lost--
	case w.lostOld > 0:
		w.lostOld--
	}
}

func (w *lossWindow) fraction() float64 {
	total := w.arrived + w.arrivedOld + w.lost + w.lostOld
	if total < lossPackets {
		return 0
	}
	return float64(w.lost+w.lostOld) / float64(total)
}

// turn closes the present window when its time is over and reports whether it
// did.
func (w *lossWindow) turn(now int64) bool {
	if w.since == 0 {
		w.since = now
	}
	if now-w.since < lossTime || w.arrived+w.lost < lossPackets/2 {
		return false
	}
	*w = lossWindow{arrivedOld: w.arrived, lostOld: w.lost, since: now, told: w.told}
	return true
}
