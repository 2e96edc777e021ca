package sfu

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/sfu/internal/rewrite"
)

const (
	// resendShare is the part of the media bytes that may be sent again
	// (FAULTS N9), as a divisor.
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
	header  rtp.Header
}

// resent remembers how often a packet was sent again.
type resent struct {
	at    int64
	seq   uint16
	times uint8
}

func (r *resender) earn(bytes uint64) {
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

// again answers a NACK for one of the viewer's sequence numbers: on the RTX
// stream when it was negotiated (RFC 4588), else in place.
func (o *outlet) again(sh *shard, seq uint16, rtt, now int64) bool {
	piece, source, ok := o.line.Find(seq)
	if !ok {
		return false
	}
	p := piece.Source.ring.BySeq(source)
	if p == nil {
		return false
	}
	out, ok := piece.Map(rewrite.Packet{Seq: p.Seq, Timestamp: p.Timestamp})
	format := o.track.format(piece.Source)
	if !ok || format == nil || !o.resend.allow(seq, len(p.Payload), rtt, now) {
		return false
	}
	h := &o.resend.header
	h.Version, h.Marker, h.Timestamp = 2, p.Marker, out.Timestamp
	payload := sh.payload(piece, p)
	if o.track.rtxSSRC != 0 && format.rtx != 0 {
		h.SSRC, h.PayloadType, h.SequenceNumber = o.track.rtxSSRC, format.rtx, o.resend.seq
		o.resend.seq++
		binary.BigEndian.PutUint16(sh.rtx[:], seq)
		payload = sh.rtx[:2+copy(sh.rtx[2:], payload)]
	} else {
		h.SSRC, h.PayloadType, h.SequenceNumber = o.track.ssrc, format.pt, seq
	}
	o.wire.write(sh, o.track, h, payload)
	n := uint64(rtpHeaderBytes + len(payload))
	o.packets++
	o.bytes += n
	sh.packets++
	sh.bytes += n
	return true
}
