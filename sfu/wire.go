package sfu

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/estimate"
	"github.com/sluice-live/sluice/sfu/internal/extension"
)

// startBitrate is what a path is taken to carry, in bits per second, until it
// has been measured.
const startBitrate = 4_000_000

// wire carries a viewer's RTP to the network. Only the viewer's shard uses it.
type wire interface {
	// write sends one packet, at the latest when the shard's batch is flushed.
	// extras are its header extensions beside the transport-wide number. All
	// arguments are the caller's again when it returns.
	write(sh *shard, t *track, h *rtp.Header, extras []extension.Element, payload []byte)
	// measure numbers packets from now on and tells e of them; nil ends that.
	measure(e *estimate.Estimator)
}

// pionWire sends through the peer connection: for viewers over TCP, and those
// whose keys are not known.
type pionWire struct{}

func (pionWire) write(sh *shard, t *track, h *rtp.Header, extras []extension.Element, payload []byte) {
	h.Extension, h.Extensions = false, h.Extensions[:0]
	if t.timeID != 0 {
		sent := sendTime(sh.now)
		t.sent = [sendTimeBytes]byte{byte(sent >> 16), byte(sent >> 8), byte(sent)}
		_ = h.SetExtension(t.timeID, t.sent[:])
	}
	for _, e := range extras {
		_ = h.SetExtension(e.ID, e.Data) // what has no place is left out
	}
	_, _ = t.writer.WriteRTP(h, payload) // fails only while the session ends
}

func (pionWire) measure(*estimate.Estimator) {}

// directWire encrypts into the shard's batch, which leaves in few system calls.
// Pion must never send RTP of the same session: two senders with one key would
// break AES-GCM.
type directWire struct {
	sealer   sealer
	to       atomic.Pointer[netip.AddrPort]
	estimate *estimate.Estimator // told of every packet; nil without transport-wide feedback
	next     uint16              // transport-wide sequence number
	consent  *consent            // asked for by the shard; nil: by Pion
}

// newWire chooses how a connected viewer is sent to.
func (v *Viewer) newWire() wire {
	if v.keys == nil || v.sender == nil {
		return pionWire{}
	}
	w := &directWire{}
	ice := v.sender.Transport().ICETransport()
	ice.OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) { v.follow(w, pair) })
	pair, err := ice.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return pionWire{}
	}
	to, ok := remoteOf(pair)
	if !ok {
		return pionWire{}
	}
	sealer, err := v.keys.sealer()
	if err != nil {
		v.log.Debug("send through Pion", "err", err)
		return pionWire{}
	}
	if v.consent {
		w.consent = &consent{transport: ice}
		if err := w.consent.renew(); err != nil {
			v.log.Debug("ask for consent", "err", err)
			w.consent = nil
		} else {
			v.restarted.Store(w.consent)
		}
	}
	v.log.Debug("send directly", "to", to)
	w.to.CompareAndSwap(nil, &to) // unless it has changed already
	w.sealer = sealer
	return w
}

func (w *directWire) measure(e *estimate.Estimator) { w.estimate = e }

// follow sends to where ICE has found the viewer now.
func (v *Viewer) follow(w *directWire, pair *webrtc.ICECandidatePair) {
	if v.data != nil {
		v.data.follow(pair)
	}
	if to, ok := remoteOf(pair); ok {
		w.to.Store(&to)
	} else if v.connected.Load() && w.to.Load() != nil {
		go v.Close("the path has changed to one that media cannot follow")
	}
}

// remoteOf returns where a pair leads; ok is false when the shared UDP socket
// cannot send there: TCP, or an address that needs a zone.
func remoteOf(pair *webrtc.ICECandidatePair) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(pair.Remote.Address)
	ok := err == nil && pair.Remote.Protocol == webrtc.ICEProtocolUDP && addr.Zone() == "" && !addr.IsLinkLocalUnicast()
	return netip.AddrPortFrom(addr, pair.Remote.Port), ok
}

func (w *directWire) write(sh *shard, t *track, h *rtp.Header, extras []extension.Element, payload []byte) {
	roc, ok := t.rollover(h.SSRC).of(h.SequenceNumber)
	if !ok {
		sh.late++
		return
	}
	n := marshal(sh.header[:], h)
	var first stamp
	switch {
	case w.estimate != nil && t.twccID != 0:
		first = stamp{id: t.twccID, bytes: transportNumberBytes, value: uint32(w.next)}
	case t.timeID != 0 && t.twccID == 0:
		first = stamp{id: t.timeID, bytes: sendTimeBytes, value: sendTime(sh.now)}
	}
	if first.bytes > 0 || len(extras) > 0 {
		n = extend(sh.header[:], first, extras)
	}
	if first.bytes == transportNumberBytes {
		w.estimate.Sent(w.next, n+len(payload), sh.now, sh.probing)
		w.next++
	}
	sealed, err := w.sealer.seal(sh.batch.Space(), sh.header[:n], payload, roc)
	if err != nil {
		sh.sfu.counters.unsealed.Add(1)
		return
	}
	sh.batch.Add(*w.to.Load(), len(sealed))
	if t.shield != nil && h.SSRC == t.ssrc {
		w.protect(sh, t, h, sh.header[:n], payload, first)
	}
}

// maxHeader is the most bytes of a header that is sent.
const maxHeader = rtpHeaderBytes + extension.MaxBytes

// stamp is a header extension that differs with each sending: the transport-wide
// sequence number, or the time. The zero value is none.
type stamp struct {
	id    uint8
	bytes uint8
	value uint32
}

const (
	transportNumberBytes = 2
	sendTimeBytes        = 3
)

// sendTime is the time of sending as its extension has it: 24 bits of seconds, 18
// of them behind the point.
func sendTime(now int64) uint32 {
	const most = 64 * int64(time.Second)
	return uint32(now % most << 18 / int64(time.Second))
}

// extend adds header extensions to a fixed header, the stamp first, and returns the
// size of both.
func extend(b []byte, first stamp, extras []extension.Element) int {
	e := extension.Begin(b, extension.Wide(extras))
	if room, ok := e.Room(first.id, int(first.bytes)); ok {
		for i := range room {
			room[i] = byte(first.value >> (8 * (len(room) - 1 - i)))
		}
	}
	for i := range extras {
		e.Add(extras[i].ID, extras[i].Data)
	}
	return e.End(0)
}

// marshal writes the fixed header (RFC 3550 section 5.1) and returns its size.
func marshal(b []byte, h *rtp.Header) int {
	b[0] = 2 << 6
	if h.Padding {
		b[0] |= 1 << 5
	}
	b[1] = h.PayloadType
	if h.Marker {
		b[1] |= 1 << 7
	}
	binary.BigEndian.PutUint16(b[2:], h.SequenceNumber)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], h.SSRC)
	return rtpHeaderBytes
}
