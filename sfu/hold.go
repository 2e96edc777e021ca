package sfu

import (
	"time"

	"github.com/sluice-live/sluice/sfu/internal/ring"
)

// Packets of a frame that publishers spread over time wait for the rest of it,
// since the frame is of no use before its last packet, and each message to the
// kernel costs as much as several packets in it. They wait holdEach for each viewer
// of the node and processor, at least paceInterval and at most holdMost: what they
// cost by themselves stays a small part of the processors' time, and a node with
// little to do holds up nobody whose path takes a frame as long as the publisher does.
const (
	holdEach = 200 * int64(time.Microsecond)
	holdMost = 12 * int64(time.Millisecond)
)

// holdTime is how long packets wait for the rest of their frame, at most.
func holdTime(viewers, processors int64) int64 {
	return min(max(viewers*holdEach/processors, int64(paceInterval)), holdMost)
}

// unfinished is what a reader knows of the end of the newest frame.
type unfinished struct {
	ended   bool // its last packet has come
	marks   bool // that of the frame before did: the publisher tells where frames end, and no end was lost
	release bool // something has come that does not wait
}

// begin notes that a new frame has begun.
func (u *unfinished) begin() { u.marks, u.ended = u.ended, false }

// waits reports whether a packet may wait for the rest of its frame. Neither the
// end of a spatial layer may, of which some viewers get no more, nor what the
// publisher has sent again of an earlier frame.
func (r *reader) waits(p *ring.Packet) bool {
	if p.Timestamp == r.frame {
		r.ended = r.ended || p.Marker
		if r.marks && !r.ended && !p.Frame.End && r.layer.codec.Video() {
			return true
		}
	}
	r.release = true
	return false
}

// due returns the ring index up to which the viewer gets its layer now: all that
// has come, but for a frame that has not ended, which waits sh.hold for that. A
// path that is busy takes what there is.
func (o *outlet) due(sh *shard, now int64) uint64 {
	l := o.current
	whole := l.whole.Load() // before the head, which is never less
	head := l.ring.Head()
	if o.pace > 0 {
		sh.hasty = true
		return head
	}
	from := max(whole, o.cursor)
	if from >= head {
		return head
	}
	p := l.ring.At(from)
	if p == nil || now-p.Arrival >= sh.hold {
		return head
	}
	if at := p.Arrival + sh.hold; sh.next == 0 || at < sh.next {
		sh.next = at
	}
	return from
}

// patience is how long what has come waits for more.
func (sh *shard) patience() int64 {
	if sh.hasty || sh.soon.Load() {
		return int64(paceInterval)
	}
	return sh.hold
}

// round gives viewers what is due to them and sets the timer to the next round,
// if one is known to be needed.
func (sh *shard) round(timer *time.Timer) {
	sh.waiting.Store(false)
	sh.soon.Store(false)
	backlog := sh.forward(sh.now)
	at := sh.next
	sh.next = 0
	if soon := sh.sfu.now() + int64(paceInterval); backlog && (at == 0 || soon < at) {
		at = soon
	}
	if at == 0 {
		timer.Stop()
		return
	}
	sh.schedule(timer, at)
	sh.waiting.Store(backlog || !sh.hasty) // what comes next may be due before
}

// schedule makes sure of a round at that time or before.
func (sh *shard) schedule(timer *time.Timer, at int64) {
	if sh.next == 0 || at < sh.next {
		sh.next = at
		timer.Reset(time.Duration(at - sh.sfu.now()))
	}
	sh.waiting.Store(true)
}
