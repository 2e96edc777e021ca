package lost

import "time"

const (
	// maxMissing bounds the list. A larger gap is not repaired but forwarded as
	// it is: the viewers wait for the next keyframe anyway.
	maxMissing = 256
	// patience is how long a packet may be out of order before it is asked for.
	patience = 5 * time.Millisecond
	// maxAsks of one packet.
	maxAsks = 6
	// deadline is how old a gap may get: what comes later helps no player.
	deadline = time.Second
	// minInterval is the least time between two requests for one packet when the
	// round trip is shorter or not known.
	minInterval = 20 * time.Millisecond
)

// List is the packets that are missing. The zero value is ready.
type List struct {
	missing [maxMissing]entry
	n       int
	highest uint64
	started bool
}

type entry struct {
	seq   uint64
	since time.Duration // when the gap was seen
	asked time.Duration // when it was asked for last
	asks  int
}

// Arrived notes a packet by its extended sequence number.
func (l *List) Arrived(seq uint64, now time.Duration) {
	switch {
	case !l.started:
		l.started = true
		l.highest = seq
	case seq > l.highest:
		if seq-l.highest > maxMissing {
			l.n = 0 // a jump: nothing of before can be repaired in time
		} else {
			for s := l.highest + 1; s < seq; s++ {
				l.add(s, now)
			}
		}
		l.highest = seq
	default:
		l.remove(seq)
	}
}

// add notes a missing packet; the oldest gives way when the list is full.
func (l *List) add(seq uint64, now time.Duration) {
	if l.n == maxMissing {
		copy(l.missing[:], l.missing[1:])
		l.n--
	}
	l.missing[l.n] = entry{seq: seq, since: now}
	l.n++
}

func (l *List) remove(seq uint64) {
	for i := range l.n {
		if l.missing[i].seq == seq {
			copy(l.missing[i:l.n], l.missing[i+1:l.n])
			l.n--
			return
		}
	}
}

// Len is how many packets are missing.
func (l *List) Len() int { return l.n }

// Due appends the low 16 bits of the packets to ask for now to out, in order,
// and forgets those that are not worth it any more. rtt is the round trip to
// the publisher, 0 when it is not known.
func (l *List) Due(now, rtt time.Duration, out []uint16) []uint16 {
	keep := 0
	for i := range l.n {
		e := l.missing[i]
		if now-e.since > deadline || e.asks == maxAsks && now-e.asked > max(rtt, minInterval) {
			continue
		}
		if e.due(now, rtt) {
			e.asked = now
			e.asks++
			out = append(out, uint16(e.seq))
		}
		l.missing[keep] = e
		keep++
	}
	l.n = keep
	return out
}

func (e *entry) due(now, rtt time.Duration) bool {
	if e.asks == 0 {
		return now-e.since >= patience
	}
	// Each try waits a little longer: a path that loses much is not helped by
	// more traffic.
	wait := max(rtt+rtt/4, minInterval)
	return e.asks < maxAsks && now-e.asked >= wait*time.Duration(e.asks+1)/2
}
