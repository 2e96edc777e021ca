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
	if o.pace > 0 && piece.Source != o.current {
		return false // of a layer that was left because the path is full
	}
	p := piece.Source.ring.BySeq(source)
	if p == nil {
		return false
	}
	format := o.track.format(piece.Source)
	if piece.Source == o.current && (o.resend.exhausted(seq, rtt, now) || piece.Starts(source) && o.hidesLoss()) {
		o.current.askKeyframe(now)
	}
	rtx := format != nil && o.track.rtxSSRC != 0 && format.rtx != 0
	if format == nil || !o.repeatable(p, rtx, piece.Source == o.current) || !o.resend.allow(seq, len(p.Payload), rtt, now) {
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
	o.wire.write(sh, o.track, h, o.dependency(sh, piece, p, nil), payload)
	o.count(sh, Video, len(payload))
	return true
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
	if last, sent := o.line.Last(); !ok || !sent || out.Seq > last.Seq {
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
