package netwire

import (
	"math/rand/v2"
	"time"
)

// Settings are what a wire does to the packets of each direction. The zero value
// is a wire without any fault.
type Settings struct {
	Delay   time.Duration // one way
	Jitter  time.Duration // uniform, beside the delay
	Queue   time.Duration // longest wait for the rate; what would wait longer is dropped; 0: DefaultQueue
	Rate    int           // bits per second of IP packets; 0: no limit
	Loss    float64       // fraction of packets, at random
	NoUDP   bool          // a firewall that lets no UDP through
	Reorder bool          // let jitter change the order
}

// DefaultQueue is the queue of a common home router.
const DefaultQueue = 200 * time.Millisecond

// Counters are what one direction of a wire has seen.
type Counters struct {
	Packets, Bytes uint64 // taken in
	Lost           uint64 // by Settings.Loss or NoUDP
	Full           uint64 // dropped because the queue was full
}

// link decides when the packets of one direction arrive. It has no clock and no
// lock.
type link struct {
	random *rand.Rand
	free   time.Time // when the rate lets the next packet go
	last   time.Time // arrival of the packet before
	counts Counters
}

// admit returns when a packet of so many bytes arrives that was sent at now. ok
// is false when it never does.
func (l *link) admit(s Settings, size int, now time.Time) (at time.Time, ok bool) {
	l.counts.Packets++
	l.counts.Bytes += uint64(size)
	if l.random.Float64() < s.Loss {
		l.counts.Lost++
		return at, false
	}
	at = now
	if s.Rate > 0 {
		if l.free.Before(now) {
			l.free = now
		}
		if l.free.Sub(now) > s.queue() {
			l.counts.Full++
			return at, false
		}
		l.free = l.free.Add(time.Duration(float64(size) * 8 / float64(s.Rate) * float64(time.Second)))
		at = l.free
	}
	at = at.Add(s.Delay)
	if s.Jitter > 0 {
		at = at.Add(time.Duration(l.random.Int64N(int64(s.Jitter))))
	}
	if !s.Reorder && at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at, true
}

func (s Settings) queue() time.Duration {
	if s.Queue > 0 {
		return s.Queue
	}
	return DefaultQueue
}
