package estimate

const (
	// A ramp is rampPackets or more in rampTime whose delay grows by rampRise, no
	// step being half of it: the link has just become narrow, and has not paused.
	rampPackets = 4
	rampTime    = 400 * millisecond
	rampRise    = 50 * millisecond
	// rampFlat is how far a delay may lie above the least before it begins to grow.
	rampFlat = 10 * millisecond
	// rampSpan is the least time that tells what the link carries.
	rampSpan = 50 * millisecond
	// rampSlack is how much the newest delay may lie below the greatest.
	rampSlack = 10 * millisecond
)

// ramp tells within few packets that a queue grows, and what the link carries
// meanwhile.
type ramp struct {
	begun    bool
	probed   bool  // a probe is among the packets
	low      int64 // least delay
	since    int64 // arrival of the last packet that was hardly later
	newest   int64 // arrival of the last packet
	delay    int64 // of that
	high     int64 // greatest delay
	leap     int64 // greatest step from one packet to the next
	count    int   // packets, from that one on
	received int64 // bytes that have arrived since then
}

// add takes a packet.
func (r *ramp) add(arrival, delay int64, size int, probe bool) {
	low := delay
	if r.begun && arrival-r.since <= rampTime {
		low = min(low, r.low)
	}
	if delay <= low+rampFlat {
		*r = ramp{begun: true, probed: probe, low: low, since: arrival, newest: arrival, delay: delay, high: delay, count: 1}
		return
	}
	r.leap = max(r.leap, delay-r.delay)
	r.high = max(r.high, delay)
	r.newest, r.delay = max(r.newest, arrival), delay
	r.probed = r.probed || probe
	r.count++
	r.received += int64(size)
}

// steep reports whether the delay grows by more than noise would have it.
func (r *ramp) steep(noise int64) bool {
	return r.count >= rampPackets && r.queue() >= rampRise+noise && !r.pause() && r.delay >= r.high-rampSlack
}

// queue is how much longer the newest packet was under way than the fastest, in
// microseconds.
func (r *ramp) queue() int64 { return r.delay - r.low }

// pause reports whether the delay has leapt rather than grown.
func (r *ramp) pause() bool { return r.queue() < 2*r.leap }

// tells reports whether rate is what the link carries.
func (r *ramp) tells() bool {
	return r.queue() >= rampRise/2 && !r.pause() && r.newest-r.since >= rampSpan
}

// rate is what arrived while the delay grew, in bits per second.
func (r *ramp) rate() float64 {
	return float64(r.received) * 8 * float64(second) / float64(max(r.newest-r.since, millisecond))
}
