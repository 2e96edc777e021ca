package sfu

import "github.com/sluice-live/sluice/sfu/internal/ring"

const (
	// evenShare bounds the padding that makes the packets of a frame equal, as a
	// divisor of the frame's size, and evenPacket that of one packet, as a divisor
	// of the largest.
	evenShare  = 64
	evenPacket = 8
)

// evenness is to what size the packets of a frame are padded. A run of
// datagrams that the kernel cuts has one size but for its last, which may be
// shorter. What publishers cut into about equal parts, the larger ones last, and a
// frame whose rest was too small for a packet, would else be two messages for
// each viewer in place of one.
//
// It is the same for all viewers of a layer, so a shard finds it once a frame.
type evenness struct {
	ring *ring.Ring
	from uint64 // of the frame: ring index
	end  uint64 // behind its last packet
	size int    // of a payload; 0: as they are
}

// read looks at what is there of the frame from p on, up to head.
func (e *evenness) read(r *ring.Ring, p *ring.Packet, head uint64) {
	if e.ring == r && p.Index >= e.from && p.Index < e.end {
		return
	}
	*e = evenness{ring: r, from: p.Index, end: p.Index + 1, size: len(p.Payload)}
	bytes := len(p.Payload)
	for ; e.end < head; e.end++ {
		q := r.At(e.end)
		if q == nil || q.Timestamp != p.Timestamp {
			break
		}
		e.size = max(e.size, len(q.Payload))
		bytes += len(q.Payload)
	}
	total := 0
	for i := e.from; i+1 < e.end; i++ {
		if q := r.At(i); q != nil {
			total += e.padding(q)
		}
	}
	if total > bytes/evenShare {
		e.size = 0
	}
}

// padding is how many bytes p is padded with: none for the last packet, which may
// be shorter, nor where it would be much.
func (e *evenness) padding(p *ring.Packet) int {
	missing := e.size - len(p.Payload)
	if missing <= 0 || p.Index+1 >= e.end || missing > min(e.size/evenPacket, maxPadding) {
		return 0
	}
	return missing
}

// even is how many bytes a packet of the current layer is padded with. What is
// sent again in place, or as the sum of others, is sent as it is: a resend must
// be the same to the last bit, and bytes are dear where the path is narrow.
func (o *outlet) even(sh *shard, p *ring.Packet) int {
	if _, direct := o.wire.(*directWire); !direct || o.track.rtxSSRC == 0 || o.format.rtx == 0 ||
		o.track.shield != nil || o.pace > 0 || !o.thin.Asleep() {
		return 0
	}
	sh.even.read(o.current.ring, p, o.current.ring.Head())
	return sh.even.padding(p)
}

// padded returns the payload with padding behind it (RFC 3550 section 5.1), valid
// until the next call.
func (sh *shard) padded(payload []byte, padding int) []byte {
	n := copy(sh.patched[:], payload)
	b := sh.patched[:n+padding]
	clear(b[n:])
	b[len(b)-1] = byte(padding)
	return b
}
