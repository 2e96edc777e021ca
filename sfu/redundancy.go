package sfu

import (
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/red"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	// redundantLoss is the loss that a viewer reports, as a fraction, from which
	// on its sound is sent with redundancy for redundantTime.
	redundantLoss = 0.02
	redundantTime = int64(10 * time.Second)
	// redundantFrames are repeated at most. Those beyond the first are left out
	// when the payload would exceed redundantBytes.
	redundantFrames = 2
	redundantBytes  = 512
)

// redundancy is what a layer of Opus knows of RED (RFC 2198). Its payloads are
// built once, by the reader, while the publisher sends RED itself or a viewer
// behind a path with losses wants it.
type redundancy struct {
	opus, red uint8        // the publisher's payload types; red 0: not negotiated
	sent      atomic.Bool  // the publisher sends RED
	until     atomic.Int64 // some viewer wants it until then; SFU clock
}

// payloadTypes returns the formats of Opus and its RED among what a publisher
// sends, and the parameters of Opus. red is 0 when it was not negotiated.
func payloadTypes(codecs []webrtc.RTPCodecParameters) (opus, red uint8, fmtp string) {
	for _, c := range codecs {
		switch {
		case isRED(c.MimeType):
			red = uint8(c.PayloadType)
		case opus == 0 && isOpus(c.MimeType):
			opus, fmtp = uint8(c.PayloadType), c.SDPFmtpLine
		}
	}
	return opus, red, fmtp
}

// unpack returns the primary frame of a RED payload, and puts those of its other
// frames into the ring that did not come themselves: plain receivers get them
// too, and in order. ok is false for what is not a valid payload of Opus.
func (r *reader) unpack(seq uint64, payload []byte, now int64) (primary []byte, ok bool) {
	l := r.layer
	n, ok := red.Parse(payload, &r.blocks)
	if !ok {
		return nil, false
	}
	for _, b := range r.blocks[:n] {
		if b.PT != l.red.opus {
			return nil, false
		}
	}
	l.red.sent.Store(true)
	for back := n - 1; back > 0; back-- {
		r.restore(seq-uint64(back), &r.blocks[n-1-back], now)
	}
	return r.blocks[n-1].Data, true
}

// restore puts the frame of a redundant block into the ring when its packet got
// lost: it lies between what came before it and the packet that repeats it.
func (r *reader) restore(seq uint64, b *red.Block, now int64) {
	l := r.layer
	timestamp := r.header.Timestamp - b.Offset
	if !r.started || !red.Fits(b.Offset, len(b.Data)) || seq <= r.newest || l.ring.BySeq(seq) != nil {
		return
	}
	if before := l.ring.BySeq(r.newest); before == nil || int32(timestamp-before.Timestamp) <= 0 {
		return
	}
	p := r.packet()
	*p = ring.Packet{Seq: seq, Timestamp: timestamp, Arrival: now, Payload: b.Data}
	p.Redundant = r.redundant(p, now)
	r.newest = seq
	r.note(p, now)
	l.ring.Put(p)
	r.sfu.counters.restored.Add(1)
}

// redundant builds the RED payload of a packet that is about to enter the ring:
// nil when nobody wants it, or nothing came before it.
func (r *reader) redundant(p *ring.Packet, now int64) []byte {
	l := r.layer
	if l.codec.Video() || !l.red.sent.Load() && now >= l.red.until.Load() {
		return nil
	}
	// The primary frame goes last: filled from there.
	var blocks [redundantFrames + 1]red.Block
	at := redundantFrames
	blocks[at] = red.Block{PT: l.red.opus, Data: p.Payload}
	for back := uint64(1); back <= redundantFrames; back++ {
		before := l.ring.BySeq(p.Seq - back)
		if before == nil {
			break
		}
		b := red.Block{PT: l.red.opus, Offset: p.Timestamp - before.Timestamp, Data: before.Payload}
		if !red.Fits(b.Offset, len(b.Data)) {
			break
		}
		at--
		blocks[at] = b
		if size := red.Size(blocks[at:]); back > 1 && size > redundantBytes || size > maxPacket-rtpHeaderBytes {
			at++
			break
		}
	}
	if at == redundantFrames {
		return nil
	}
	size := red.Size(blocks[at:])
	if len(r.slab) < size {
		r.slab = make([]byte, slabBytes)
	}
	out := red.Append(r.slab[:0:size], blocks[at:])
	r.slab = r.slab[size:]
	return out
}

// endure notes that a viewer reports losses: its sound comes with redundancy for
// a while.
func (o *outlet) endure(loss float64, now int64) {
	if loss < redundantLoss || o.current == nil || o.format == nil || o.format.red == 0 {
		return
	}
	o.lossy = now + redundantTime
	o.current.red.until.Store(o.lossy)
}

// redundant returns the RED payload of a packet when the viewer is to get it,
// with its own payload types; nil otherwise. It is valid until the next call.
func (o *outlet) redundant(sh *shard, p *ring.Packet) []byte {
	l := o.current
	if o.format.red == 0 || sh.now >= o.lossy && !l.red.sent.Load() {
		return nil
	}
	if o.format.pt == l.red.opus {
		return p.Redundant
	}
	b := sh.patched[:copy(sh.patched[:], p.Redundant)]
	red.Relabel(b, o.format.pt)
	return b
}
