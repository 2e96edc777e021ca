package sfu

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/rewrite"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	// resendShare is the part of the media bytes that may be sent again, as
	// a divisor.
	resendShare = 4
	// resendReserve is what may be sent again before anything was earned, and
	// the most that is saved up, in bytes.
	resendReserve = 64 << 10
	// maxResends of one packet.
	maxResends = 3
	// resendHistory is how many packets' resends are remembered.
	resendHistory = 512
	// lossTime is how long a narrow path may be busy with lost packets of layers
	// that were left. When there are more a keyframe is asked for instead: it
	// brings the picture back sooner.
	lossTime = int64(40 * time.Millisecond)
	// twiceLoss is the loss that a viewer reports, as a fraction, from which on what
	// it asks for is sent twice: each round trip more that a packet is missing is one
	// more for which the picture may stand still.
	twiceLoss = 0.03
	// minResendGap is the least time between two resends of a packet when the
	// round trip is not known or shorter.
	minResendGap = int64(10 * time.Millisecond)
)

// resender answers NACKs for one outlet within a budget.
type resender struct {
	budget  int64 // bytes; resendReserve more than what was earned
	history []resent
	seq     uint16 // next sequence number on the RTX stream
	turn    uint64 // which recent packet the next padding repeats
	header  rtp.Header
	fills   *fills // nil: none

	twice bool   // much is lost, and not because the path is full
	spare int    // bytes that spatial layers above the wanted ones may still take
	torn  bool   // a keyframe must make up for what was lost of them
	renew uint64 // from this ring index on

	blind bool   // a keyframe must follow, since the viewer may decode with the wrong parameter sets
	sight uint64 // from this ring index on
}

// fills are the newest packets in whose place padding was sent.
type fills struct {
	n    int
	list [16]struct {
		layer *layer
		seq   uint64
	}
}

// fill notes that padding was sent in the place of a packet.
func (r *resender) fill(l *layer, seq uint64) {
	if r.fills == nil {
		r.fills = new(fills)
	}
	f := &r.fills.list[r.fills.n%len(r.fills.list)]
	f.layer, f.seq = l, seq
	r.fills.n++
}

func (r *resender) filled(l *layer, seq uint64) bool {
	if r.fills == nil {
		return false
	}
	for i := range r.fills.list {
		if f := &r.fills.list[i]; f.layer == l && f.seq == seq {
			return true
		}
	}
	return false
}

// leave notes that other layers of l are wanted from now on, behind a path of so
// many bits per second. lossy tells that it has lost more of those that are left
// than can be sent again.
func (r *resender) leave(l *layer, pace int, lossy bool) {
	r.spare = int(int64(pace) / 8 * lossTime / int64(time.Second))
	r.torn = lossy && l.keyframes.obeys()
	r.renew = l.ring.Head()
}

// resent remembers how often a packet was sent again.
type resent struct {
	at    int64
	seq   uint16
	times uint8
}

func (r *resender) earn(bytes int) {
	r.budget = min(r.budget+int64(bytes)/resendShare, resendReserve)
}

// allow reports whether the packet may be sent again now, and notes it.
func (r *resender) allow(seq uint16, bytes int, rtt, now int64) bool {
	if r.budget+resendReserve < int64(bytes) {
		return false
	}
	if r.history == nil {
		r.history = make([]resent, resendHistory)
	}
	h := &r.history[seq%resendHistory]
	if h.seq != seq || h.times == 0 || now-h.at > int64(time.Minute) {
		*h = resent{seq: seq}
	}
	if h.times >= maxResends || h.times > 0 && now-h.at < max(rtt, minResendGap) {
		return false
	}
	h.times++
	h.at = now
	r.budget -= int64(bytes)
	return true
}

// afford takes the bytes of a second copy, when that leaves half of the reserve for
// what is asked for next.
func (r *resender) afford(bytes int) bool {
	if r.budget+resendReserve/2 < int64(bytes) {
		return false
	}
	r.budget -= int64(bytes)
	return true
}

// exhausted reports whether all that may be done for the packet was done, and in
// vain.
func (r *resender) exhausted(seq uint16, rtt, now int64) bool {
	if r.history == nil {
		return false
	}
	h := &r.history[seq%resendHistory]
	return h.seq == seq && h.times >= maxResends && now-h.at >= max(rtt, minResendGap)
}

// again answers a NACK for one of the viewer's sequence numbers: on the RTX
// stream when it was negotiated (RFC 4588), else in place.
func (o *outlet) again(sh *shard, seq uint16, rtt, now int64) bool {
	piece, source, left, ok := o.line.Find(seq)
	if !ok {
		return false
	}
	if o.pace > 0 && piece != o.line.Current() {
		return false // of what was left because the path is full
	}
	p := piece.Source.ring.BySeq(source)
	if p == nil {
		return false
	}
	format := o.track.format(piece.Source)
	if piece.Source == o.current && o.resend.exhausted(seq, rtt, now) {
		o.current.askKeyframe(now)
	}
	if piece.Source == o.current && piece == o.line.Current() && piece.Starts(source) && o.hidesLoss() && !o.resend.blind {
		o.resend.blind, o.resend.sight = true, o.current.ring.Head()
		o.see(now)
	}
	rtx := format != nil && o.track.rtxSSRC != 0 && format.rtx != 0
	if format == nil || !o.repeatable(piece.Source, p, rtx) || !o.resend.allow(seq, len(p.Payload), rtt, now) ||
		piece.Source == o.current && o.forgoes(p) {
		return false
	}
	h := &o.resend.header
	*h = rtp.Header{Version: 2, Marker: p.Marker || o.thin.Marks(&p.Frame), Timestamp: piece.Time(rewrite.Packet{Seq: p.Seq, Timestamp: p.Timestamp})}
	payload := sh.payload(piece, left, p)
	if rtx {
		h.SSRC, h.PayloadType, h.SequenceNumber = o.track.rtxSSRC, format.rtx, o.resend.seq
		o.resend.seq++
		payload = sh.retransmission(seq, payload)
	} else {
		h.SSRC, h.PayloadType, h.SequenceNumber = o.track.ssrc, format.pt, seq
	}
	extras := o.dependency(sh, piece, p, nil)
	o.wire.write(sh, o.track, h, extras, payload)
	o.count(sh, Video, len(payload))
	o.occupy(sh.now, len(payload))
	if rtx && o.resend.twice && o.resend.afford(len(payload)) {
		h.SequenceNumber = o.resend.seq
		o.resend.seq++
		o.wire.write(sh, o.track, h, extras, payload)
		o.count(sh, Video, len(payload))
	}
	return true
}

// forgoes reports whether a lost packet of the current layer is not sent again
// because spatial or temporal layers are left out since. A player shows no
// picture of which a part is missing, nor what refers to it, although nothing
// refers to that part any more.
func (o *outlet) forgoes(p *ring.Packet) bool {
	l, r := o.current, &o.resend
	if o.pace == 0 || !p.Frame.Layered || o.thin.Asleep() || !l.keyframes.obeys() {
		return false
	}
	if r.torn {
		return true
	}
	if kept := o.thin.Now(); p.Frame.Spatial <= kept.Spatial || p.Frame.Temporal > kept.Temporal {
		return p.Frame.Temporal > kept.Temporal
	}
	if r.spare -= len(p.Payload); r.spare >= 0 {
		return false
	}
	r.torn, r.renew = true, l.ring.Head()
	return true
}

// mend goes on from a keyframe where that takes a viewer less time than what was
// lost: the one that was forwarded last, when it is so new that no other may be
// asked for, or the next.
func (o *outlet) mend(sh *shard, now int64) {
	l := o.current
	index, ok := l.keyframe()
	if ok && index >= o.resend.renew {
		o.resend.torn = false
		if o.cursor < index {
			o.begin(sh, l, index) // what is left before it would make it wait, and shows no picture
		}
		return
	}
	if first := l.ring.At(index); ok && first != nil {
		age := now - first.Arrival
		if age < switchKeyframe || age < keyframeInterval && l.keyframes.spent(now) {
			o.resend.torn = false
			o.begin(sh, l, index)
			return
		}
	}
	l.askKeyframe(now)
}

// see asks for a keyframe until there is one: the request that the switch itself
// has made may be so new that no other is passed on yet.
func (o *outlet) see(now int64) {
	if index, ok := o.current.keyframe(); ok && index >= o.resend.sight {
		o.resend.blind = false
		return
	}
	o.current.askKeyframe(now)
}

// hidesLoss reports whether a decoder may not notice that the first packet of a
// keyframe is missing: in H.264 and H.265 that one holds the parameter sets, and
// the rest is decoded with those of the layer before.
func (o *outlet) hidesLoss() bool {
	return o.current.codec == codec.H264 || o.current.codec == codec.H265
}

// repeat returns a packet of the current piece as RTX payload, with its
// timestamp. ok is false when the viewer has not been sent it.
func (o *outlet) repeat(sh *shard, p *ring.Packet) (payload []byte, timestamp uint32, ok bool) {
	out, ok := o.line.Map(rewrite.Packet{Seq: p.Seq, Timestamp: p.Timestamp})
	if last, sent := o.line.Last(); !ok || !sent || out.Seq > last.Seq || o.resend.filled(o.current, p.Seq) {
		return nil, 0, false
	}
	return sh.retransmission(uint16(out.Seq), sh.payload(o.line.Current(), out.Left, p)), out.Timestamp, true
}

// retransmission returns the payload of an RTX packet (RFC 4588 section 4),
// valid until the next call.
func (sh *shard) retransmission(seq uint16, payload []byte) []byte {
	binary.BigEndian.PutUint16(sh.rtx[:], seq)
	return sh.rtx[:2+copy(sh.rtx[2:], payload)]
}
