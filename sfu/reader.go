package sfu

import (
	"errors"
	"io"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/lost"
	"github.com/sluice-live/sluice/sfu/internal/red"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	maxPacket   = 1500     // bytes of the largest RTP packet taken
	slabBytes   = 64 << 10 // payload memory is taken in slabs
	slabStructs = 64       // and packet structs too
)

// reader moves one incoming RTP stream into its layer's ring. It is the only
// writer of the ring and runs until the track ends.
type reader struct {
	layer *layer
	sfu   *SFU
	wake  func(urgency) // tells shards and taps; never blocks

	gaps      *lost.List // nil when the publisher cannot send packets again
	publisher *Publisher // asked for them

	blocks  [red.MaxBlocks]red.Block // scratch of unpack
	delayID uint8                    // header extension of the playout delay; 0: none
	dependencies
	pictures uint16 // picture id, extended to 16 bits

	mender *mender // nil: without repair packets

	unwrap  ring.Unwrapper
	newest  uint64 // greatest sequence number so far
	header  rtp.Header
	slab    []byte
	structs []ring.Packet

	frame      uint32 // timestamp of the newest frame
	frameIndex uint64 // ring index of its first packet
	frameKey   bool   // it is known to be a keyframe
	started    bool
	unfinished
	fresh bool // the layer has just become one to choose
}

// run reads until the track fails, which is how a session ends it.
func (r *reader) run(track incoming) error {
	for {
		n, attributes, err := track.Read(r.space())
		if errors.Is(err, io.ErrShortBuffer) || errors.Is(err, webrtc.ErrCodecNotFound) { // too long, or of no payload type that was negotiated
			r.sfu.counters.malformed.Add(1)
			continue
		}
		if err != nil {
			return err
		}
		again := attributes.Get(webrtc.AttributeRtxPayloadType) != nil
		if again {
			r.sfu.counters.resentIn.Add(1)
		}
		if r.mender != nil {
			r.mender.resent = again
		}
		grown := r.take(n)
		if r.mender != nil {
			grown = r.mend() || grown
		}
		if grown {
			r.tell()
		}
	}
}

// space returns where the next packet goes.
func (r *reader) space() []byte {
	if len(r.slab) < maxPacket {
		r.slab = make([]byte, slabBytes)
	}
	return r.slab[:maxPacket]
}

// take handles the n bytes that were read into space and reports whether the
// ring grew.
func (r *reader) take(n int) bool {
	raw := r.slab[:n:n]
	now := r.sfu.now()
	payload, ok := parseRTP(&r.header, raw)
	if !ok {
		r.sfu.counters.malformed.Add(1)
		return false
	}
	seq := r.unwrap.Unwrap(r.header.SequenceNumber)
	if r.gaps != nil {
		r.repair(seq, now)
	}
	if r.layer.ring.BySeq(seq) != nil {
		r.sfu.counters.duplicate.Add(1)
		return false
	}
	if seq+r.layer.ring.Size() <= r.newest {
		// The ring cannot tell whether it was forwarded before.
		r.sfu.counters.late.Add(1)
		return false
	}
	r.slab = r.slab[n:]
	if r.mender != nil {
		r.mender.remember(&r.header, raw)
	}
	if r.layer.red.red != 0 && r.header.PayloadType == r.layer.red.red {
		if payload, ok = r.unpack(seq, payload, now); !ok {
			r.sfu.counters.malformed.Add(1)
			return false
		}
	}
	r.newest = max(r.newest, seq)
	p := r.packet()
	*p = ring.Packet{
		Seq: seq, Timestamp: r.header.Timestamp, Arrival: now, Marker: r.header.Marker, Payload: payload,
	}
	if r.delayID != 0 {
		r.layer.noteDelay(r.header.GetExtension(r.delayID))
	}
	r.place(p)
	p.Redundant = r.redundant(p, now)
	r.note(p, now)
	r.layer.ring.Put(p)
	if !r.waits(p) {
		r.layer.whole.Store(p.Index + 1)
	}
	if r.frameKey {
		first := r.layer.gop.Swap(r.frameIndex+1) == 0
		r.fresh = r.fresh || first
	}
	kind := r.layer.kind()
	r.sfu.counters.packetsIn[kind].Add(1)
	r.sfu.counters.bytesIn[kind].Add(uint64(n))
	if r.layer.remote != nil {
		r.sfu.counters.relayedIn.Add(uint64(n))
	}
	return true
}

// repair asks for packets that are missing. Packets that keep coming are its
// clock.
func (r *reader) repair(seq uint64, now int64) {
	r.gaps.Arrived(seq, time.Duration(now))
	if r.gaps.Len() == 0 {
		return
	}
	rtt := time.Duration(r.publisher.rtt.Load())
	if due := r.gaps.Due(time.Duration(now), rtt, nil); len(due) > 0 {
		r.publisher.ask(repair{ssrc: r.layer.ssrc, seqs: due})
	}
}

// tell wakes the taps, and then the shards, which so run first, when somebody
// waits for this packet: at once at the end of a frame, which they then send in
// one go.
func (r *reader) tell() {
	complete, release := r.header.Marker || !r.layer.codec.Video(), r.release
	r.release = false
	if complete && r.layer.taps.Load() > 0 {
		r.wake(frameTapped)
	}
	switch {
	case r.fresh:
		r.fresh = false
		r.wake(choices)
	case r.layer.watchers.Load() == 0:
	case complete:
		r.wake(frameEnd)
	case release:
		r.wake(layerEnd)
	default:
		r.wake(framePart)
	}
}

func (r *reader) packet() *ring.Packet {
	if len(r.structs) == 0 {
		r.structs = make([]ring.Packet, slabStructs)
	}
	p := &r.structs[0]
	r.structs = r.structs[1:]
	return p
}

// note follows frames and keyframes, and keeps the layer's totals.
func (r *reader) note(p *ring.Packet, now int64) {
	l := r.layer
	if !r.started {
		l.clock.start(p.Timestamp, now)
		r.fresh = true
	}
	if !r.started || int32(p.Timestamp-r.frame) > 0 {
		r.started = true
		r.frame, r.frameIndex, r.frameKey = p.Timestamp, l.ring.Head(), false
		r.begin()
		l.frames.Add(1)
	}
	if p.Timestamp == r.frame && p.Frame.Key {
		if !r.frameKey {
			r.frameKey = true
			l.keyframes.arrived(now)
		}
		l.noteSizes(p)
	}
	if p.Frame.Layered {
		l.cells[p.Frame.Spatial][p.Frame.Temporal].add(p)
	}
	l.packets.Add(1)
	l.bytes.Add(uint64(len(p.Payload)))
	l.lastArrival.Store(now)
}

// parseRTP reads the header into h and returns the payload without padding
// (RFC 3550 section 5.1). ok is false for what is not a valid packet.
func parseRTP(h *rtp.Header, raw []byte) (payload []byte, ok bool) {
	n, err := h.Unmarshal(raw)
	if err != nil || n > len(raw) {
		return nil, false
	}
	payload = raw[n:]
	if h.Padding {
		if len(payload) == 0 {
			return nil, false
		}
		padding := int(payload[len(payload)-1])
		if padding == 0 || padding > len(payload) {
			return nil, false
		}
		payload = payload[:len(payload)-padding]
	}
	return payload, true
}

// simulcastReports is the RTCP about one layer of a simulcast.
type simulcastReports struct {
	receiver *webrtc.RTPReceiver
	rid      string
}

// Read implements incoming.
func (s simulcastReports) Read(b []byte) (int, interceptor.Attributes, error) {
	return s.receiver.ReadSimulcast(b, s.rid)
}

// reportsOf is the RTCP about a track.
func reportsOf(receiver *webrtc.RTPReceiver, rid string) incoming {
	if rid != "" {
		return simulcastReports{receiver, rid}
	}
	return receiver
}

// readReports takes the sender reports of a track until it ends.
func readReports(reports incoming, l *layer, now func() int64) {
	buf := make([]byte, maxPacket)
	for {
		n, _, err := reports.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == l.ssrc {
				l.clock.observe(sr.NTPTime, sr.RTPTime, now())
			}
		}
	}
}
