package sfu

import (
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/sfu/internal/rewrite"
	"github.com/sluice-live/sluice/sfu/internal/ring"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

const (
	// burstPackets may go to one viewer at once; what is more follows at
	// pacePackets a millisecond, so that a keyframe or a cached GOP does not
	// overflow the viewer's socket.
	burstPackets = 64
	pacePackets  = 12
	paceUnit     = int64(time.Millisecond) // a nanosecond earns pacePackets/paceUnit packets
	// maxLag is how far behind live a viewer may fall before it skips to a newer
	// keyframe.
	maxLag = int64(time.Second)
	// freshKeyframe is how old a keyframe may be to start or switch with it
	// rather than ask for one.
	freshKeyframe = int64(time.Second)
	// switchKeyframe is the same for a viewer that sees another layer meanwhile.
	switchKeyframe = int64(250 * time.Millisecond)
	// keyframePatience is how long a new viewer waits for a requested keyframe
	// before it starts from the cached GOP.
	keyframePatience = int64(250 * time.Millisecond)
)

// outlet is one outgoing track of one viewer: which layer it shows, how far in
// that layer's ring it is, and the numbers that the viewer has seen. Only the
// viewer's shard touches it.
type outlet struct {
	track  *track
	wire   wire
	line   rewrite.Timeline[*layer]
	thin   thin.Filter
	point  thin.Point // to be forwarded of wanted
	header rtp.Header
	resend resender
	delay  playoutDelay

	current *layer // shown; nil: nothing
	format  *trackFormat
	cursor  uint64 // ring index of its next packet
	begun   int64  // when it was begun

	wanted *layer // to be shown; equal to current when settled
	from   uint64 // ring head of wanted when the wait for it began
	since  int64  // when that was
	chosen bool   // the viewer asked for it

	lossy    int64 // sound is sent with redundancy until then
	tokens   int64 // packets that may be sent now, times paceUnit
	refilled int64
	pace     int   // bits per second that the path takes; 0: not a limit
	clear    int64 // when the path has taken what was sent

	newest struct { // packet sent with the greatest sequence number
		layer     *layer
		timestamp uint32
		arrival   int64
	}

	packets, bytes, dropped uint64                           // all that was sent, and what was skipped
	padded                  uint64                           // of bytes
	reported                struct{ packets, octets uint32 } // of the RTP stream itself
}

// want makes l the layer to show. nil stops the outlet.
func (o *outlet) want(l *layer, now int64) {
	if l == o.wanted {
		return
	}
	occupy(&o.wanted, l)
	o.since = now
	if l == nil {
		occupy(&o.current, nil)
		return
	}
	o.from = l.ring.Head()
}

// aim sets the operating point of the wanted layer.
func (o *outlet) aim(p thin.Point) { o.point = p }

// occupy puts l into slot and keeps the layers' count of watchers.
func occupy(slot **layer, l *layer) {
	if *slot != nil {
		(*slot).watchers.Add(-1)
	}
	if l != nil {
		l.watchers.Add(1)
	}
	*slot = l
}

// forward sends what is due and reports whether more is waiting for its turn.
func (o *outlet) forward(sh *shard, now int64) (backlog bool) {
	if o.wanted != o.current && o.wanted != nil {
		o.change(sh, now)
	}
	if o.current == nil {
		return false
	}
	if o.resend.torn {
		o.mend(sh, now)
	}
	if o.resend.blind {
		o.see(now)
	}
	if o.current == o.wanted && o.point != o.thin.Goal() {
		if o.newest.layer == o.current {
			o.thin.Aim(o.point, o.newest.timestamp)
		} else {
			o.thin.Start(o.point) // nothing of it has been sent
		}
	}
	if o.thin.Waits() {
		o.current.askKeyframe(now)
	}
	r := o.current.ring
	end := o.due(sh, now)
	if o.cursor >= end {
		return false
	}
	o.catchUp(sh, now)
	o.refill(now)
	for ; o.cursor < end; o.cursor++ {
		if o.tokens < paceUnit || o.pace > 0 && o.clear > now {
			return true
		}
		p := r.At(o.cursor)
		if p == nil {
			o.overrun(sh, end, now)
			return false
		}
		o.tokens -= paceUnit
		o.send(sh, p)
	}
	return false
}

// catchUp leaves out what lies before the newest keyframe when the viewer has
// fallen more than maxLag behind: on a busy node, or behind a narrow path. While
// there is no newer keyframe one is asked for, if that is of use.
func (o *outlet) catchUp(sh *shard, now int64) {
	l := o.current
	p := l.ring.At(o.cursor)
	if p == nil || !l.codec.Video() || now-p.Arrival < maxLag || p.Arrival < o.begun {
		return
	}
	index, ok := l.keyframe()
	if !ok || index <= o.cursor {
		if l.keyframes.useful(now) {
			l.askKeyframe(now)
		}
		return
	}
	o.dropped += index - o.cursor
	sh.sfu.counters.overrun.Add(index - o.cursor)
	o.begin(sh, l, index)
}

// refill adds the packets that time allows.
func (o *outlet) refill(now int64) {
	o.tokens = min(o.tokens+(now-o.refilled)*pacePackets, burstPackets*paceUnit)
	o.refilled = now
}

// overrun gives up what the ring has forgotten and waits for a keyframe.
func (o *outlet) overrun(sh *shard, head uint64, now int64) {
	o.dropped += head - o.cursor
	sh.sfu.counters.overrun.Add(head - o.cursor)
	occupy(&o.current, nil)
	o.from, o.since = head, now
}

// change shows the wanted layer if it can be started now, and asks for a
// keyframe otherwise.
func (o *outlet) change(sh *shard, now int64) {
	l := o.wanted
	if o.format == nil || o.format.codec != l.codec {
		if f := o.track.format(l); f == nil {
			return // the viewer has no such codec
		}
	}
	if !l.codec.Video() {
		if l.ring.Head() > o.from {
			o.begin(sh, l, o.soundFrom(l))
		}
		return
	}
	index, ok := l.keyframe()
	switch {
	case ok && (index >= o.from || o.mayStart(l, index, now)):
		o.begin(sh, l, index)
	default:
		l.askKeyframe(now)
	}
}

// soundFrom returns where sound goes on that l carries from now on: behind what
// was sent before, and at the live edge when nothing was. Frames of sound have a
// fixed length, so none can be sent faster to catch up.
func (o *outlet) soundFrom(l *layer) uint64 {
	index := l.ring.Head() - 1
	for ; index > o.from; index-- {
		if before := l.ring.At(index - 1); before == nil || o.elapsed(l, before) <= 0 {
			break
		}
	}
	return index
}

// mayStart reports whether to start from a keyframe that came before it was
// wanted.
func (o *outlet) mayStart(l *layer, index uint64, now int64) bool {
	p := l.ring.At(index)
	if p == nil {
		return false
	}
	age := now - p.Arrival
	if o.current != nil && o.current.active(now) {
		return age < switchKeyframe
	}
	if o.pace > 0 && age > switchKeyframe && now-o.since < keyframePatience && l.keyframes.obeys() {
		return false // what lies between it and now would clog the path
	}
	return age < freshKeyframe || !l.keyframes.obeys() || now-o.since > keyframePatience
}

// begin shows l from the packet with that index on.
func (o *outlet) begin(sh *shard, l *layer, index uint64) {
	first := l.ring.At(index)
	if first == nil {
		o.from = l.ring.Head()
		return
	}
	edge := first
	if newest := l.ring.At(l.ring.Head() - 1); l.codec.Video() && newest != nil && int32(newest.Timestamp-first.Timestamp) > 0 {
		edge = newest
	}
	o.line.Begin(l, rewrite.Start{
		First:      rewrite.Packet{Seq: firstSeq(l.ring, first), Timestamp: first.Timestamp},
		Edge:       rewrite.Packet{Seq: edge.Seq, Timestamp: edge.Timestamp},
		Descriptor: first.Descriptor, Frame: first.Frame.Number, Elapsed: o.elapsed(l, edge),
	})
	o.thin.Start(o.point)
	if o.current != nil && o.current != l {
		o.countSwitch(sh)
	}
	occupy(&o.current, l)
	o.resend.blind = false
	o.cursor, o.format, o.begun = index, o.track.format(l), sh.now
}

// maxEarly is how many packets of a frame may be missing before the first one
// that came.
const maxEarly = 16

// firstSeq is the lowest sequence number that may belong to the frame whose
// first packet to arrive is p: those between it and the packet before it are
// late, and their places are kept.
func firstSeq(r *ring.Ring, p *ring.Packet) uint64 {
	if p.Index == 0 {
		return p.Seq
	}
	before := r.At(p.Index - 1)
	if before == nil || before.Seq >= p.Seq || p.Seq-before.Seq > maxEarly {
		return p.Seq
	}
	return before.Seq + 1
}

func (o *outlet) countSwitch(sh *shard) {
	if o.chosen {
		sh.sfu.counters.switchesChosen.Add(1)
	} else {
		sh.sfu.counters.switchesAuto.Add(1)
	}
}

// maxSkew is how far capture times may differ from arrival times.
const maxSkew = int64(time.Second)

// elapsed is the time from the newest packet sent to edge, in clock ticks. It is
// measured on the publisher's clock when both layers have sender reports; then
// it is negative for a layer that comes later than the one before.
func (o *outlet) elapsed(l *layer, edge *ring.Packet) int64 {
	last := &o.newest
	if last.layer == nil {
		return 0
	}
	nanos := max(edge.Arrival-last.arrival, 0)
	if last.layer.clock.offset == l.clock.offset && last.layer.clock.exact() && l.clock.exact() {
		exact := l.clock.captured(edge.Timestamp) - last.layer.clock.captured(last.timestamp)
		if d := exact - nanos; d > -maxSkew && d < maxSkew {
			nanos = exact // otherwise the publisher has set its clock
		}
	}
	return nanos / 1000 * int64(l.clock.hertz) / 1_000_000
}

// send forwards one packet of the current layer under the viewer's numbers.
func (o *outlet) send(sh *shard, p *ring.Packet) {
	in := rewrite.Packet{Seq: p.Seq, Timestamp: p.Timestamp}
	marker := p.Marker
	if !o.thin.Asleep() {
		v := o.thin.Next(&p.Frame, p.Timestamp)
		if !v.Keep {
			o.leave(sh, in, v)
			return
		}
		if v.Joined {
			o.line.Join(p.Seq)
		}
		marker = marker || v.Marker
	}
	out, ok := o.line.Map(in)
	if !ok {
		o.dropped++
		sh.late++
		return
	}
	h := &o.header
	h.Version, h.SSRC, h.PayloadType = 2, o.track.ssrc, o.format.pt
	h.Marker, h.SequenceNumber, h.Timestamp = marker, uint16(out.Seq), out.Timestamp
	piece := o.line.Current()
	payload := sh.payload(piece, out.Left, p)
	if p.Redundant != nil {
		if repeated := o.redundant(sh, p); repeated != nil {
			h.PayloadType, payload = o.format.red, repeated
		}
	}
	extras := o.extras(sh, out.Seq)
	if p.Dependency != nil {
		extras = o.dependency(sh, piece, p, extras)
	}
	padding := o.even(sh, p)
	if padding > 0 {
		h.Padding, payload = true, sh.padded(payload, padding)
	}
	o.wire.write(sh, o.track, h, extras, payload)
	h.Padding = false
	if last, sent := o.line.Last(); !sent || out.Seq > last.Seq {
		o.newest.layer, o.newest.timestamp, o.newest.arrival = o.current, p.Timestamp, p.Arrival
	}
	o.line.Sent(out, &p.Descriptor, p.Frame.Number)
	o.count(sh, o.current.kind(), len(payload))
	o.padded += uint64(padding)
	o.occupy(sh.now, len(payload))
	o.reported.packets++
	o.reported.octets += uint32(len(payload) - padding)
	o.resend.earn(rtpHeaderBytes + len(payload))
}

// occupy notes that a paced path is busy with a packet.
func (o *outlet) occupy(now int64, payload int) {
	if o.pace > 0 {
		o.clear = max(o.clear, now) + int64(rtpHeaderBytes+payload)*8*int64(time.Second)/int64(o.pace)
	}
}

func (o *outlet) count(sh *shard, kind int, payload int) {
	n := uint64(rtpHeaderBytes + payload)
	o.packets++
	o.bytes += n
	sh.packets[kind]++
	sh.bytes[kind] += n
}

// rtpHeaderBytes is the RTP header without extensions.
const rtpHeaderBytes = 12
