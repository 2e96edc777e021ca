package flexfec

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

const (
	// window is how many packets of the stream are remembered.
	window = 256
	// maxPending is how many repair packets wait for more packets to come.
	maxPending = 16
)

// Decoder makes lost packets of one stream again. The zero value is not usable;
// see NewDecoder.
type Decoder struct {
	ssrc    uint32
	packets [window][]byte
	newest  uint16
	started bool
	pending [maxPending]repair
	next    int // of pending to be replaced
	out     []byte
}

// repair is a repair packet that has not served yet.
type repair struct {
	base    uint16
	masks   [3]uint64 // of 15, 31 and 63 packets, the first in the highest of these bits
	header  [10]byte
	parity  []byte
	waiting bool
}

// NewDecoder makes a decoder of the stream ssrc.
func NewDecoder(ssrc uint32) *Decoder { return &Decoder{ssrc: ssrc} }

// Packet takes a packet that has come, with its header. It is not copied and
// must not change any more.
func (d *Decoder) Packet(packet []byte) {
	if len(packet) < fixedHeader || binary.BigEndian.Uint32(packet[8:]) != d.ssrc {
		return
	}
	seq := binary.BigEndian.Uint16(packet[2:])
	if !d.started || int16(seq-d.newest) > 0 {
		d.started, d.newest = true, seq
	}
	d.packets[seq%window] = packet
}

// find returns a packet, nil when it has not come or is forgotten.
func (d *Decoder) find(seq uint16) []byte {
	p := d.packets[seq%window]
	if p == nil || binary.BigEndian.Uint16(p[2:]) != seq {
		return nil
	}
	return p
}

// Repair takes the payload of a repair packet. It is copied. ok is false for
// what is not one for this stream.
func (d *Decoder) Repair(payload []byte) (ok bool) {
	r := &d.pending[d.next]
	if r.parse(payload, d.ssrc) {
		d.next = (d.next + 1) % maxPending
		return true
	}
	return false
}

// parse reads the FEC header (section 4.2 of the draft).
func (r *repair) parse(b []byte, ssrc uint32) bool {
	if len(b) < HeaderBytes || b[0]&0xc0 != 0 || b[8] != 1 || binary.BigEndian.Uint32(b[12:]) != ssrc {
		return false
	}
	masks := [3]uint64{uint64(binary.BigEndian.Uint16(b[18:]) &^ lastMask)}
	at := HeaderBytes
	if b[18]&0x80 == 0 {
		if len(b) < at+4 {
			return false
		}
		last := b[at]&0x80 != 0
		masks[1] = uint64(binary.BigEndian.Uint32(b[at:]) &^ (1 << 31))
		at += 4
		if !last {
			if len(b) < at+8 || b[at]&0x80 == 0 {
				return false
			}
			masks[2] = binary.BigEndian.Uint64(b[at:]) &^ (1 << 63)
			at += 8
		}
	}
	if masks == [3]uint64{} || len(b)-at > maxParity {
		return false
	}
	r.base, r.masks, r.waiting = binary.BigEndian.Uint16(b[16:]), masks, true
	r.parity = append(r.parity[:0], b[at:]...)
	copy(r.header[:], b[:len(r.header)])
	return true
}

// each calls f with every protected sequence number until it returns false.
func (r *repair) each(f func(seq uint16) bool) {
	first := 0
	for i, width := range [...]int{15, 31, 63} {
		for mask := r.masks[i]; mask != 0; {
			bit := bits.Len64(mask) - 1
			mask &^= 1 << bit
			if !f(r.base + uint16(first+width-1-bit)) {
				return
			}
		}
		first += width
	}
}

// Recover makes one lost packet again, if that can be done now, and takes it as
// come. It is valid until the next call. ok is false when there is none.
func (d *Decoder) Recover() (packet []byte, ok bool) {
	for i := range d.pending {
		r := &d.pending[i]
		if !r.waiting {
			continue
		}
		if int16(d.newest-r.base) > window/2 {
			r.waiting = false
			continue
		}
		missing, lost := 0, uint16(0)
		r.each(func(seq uint16) bool {
			if d.find(seq) == nil {
				missing, lost = missing+1, seq
			}
			return missing < 2
		})
		if missing > 1 {
			continue
		}
		r.waiting = false
		if missing == 1 && d.restore(r, lost) {
			return d.out, true
		}
	}
	return nil, false
}

// restore makes the packet lost from the others that r protects (section 6.3.2).
func (d *Decoder) restore(r *repair, lost uint16) bool {
	if cap(d.out) < fixedHeader+maxParity {
		d.out = make([]byte, fixedHeader+maxParity)
	}
	out := d.out[:fixedHeader+maxParity]
	copy(out[:recovered], r.header[:2])
	copy(out[4:8], r.header[4:8])
	length := binary.BigEndian.Uint16(r.header[2:])
	clear(out[fixedHeader:])
	copy(out[fixedHeader:], r.parity)
	fits := true
	r.each(func(seq uint16) bool {
		if seq == lost {
			return true
		}
		p := d.find(seq)
		body := p[fixedHeader:]
		if fits = len(body) <= maxParity; !fits {
			return false
		}
		out[0] ^= p[0]
		out[1] ^= p[1]
		subtle.XORBytes(out[4:], out[4:8], p[4:8])
		length ^= uint16(len(body))
		subtle.XORBytes(out[fixedHeader:], out[fixedHeader:fixedHeader+len(body)], body)
		return true
	})
	if !fits || int(length) > maxParity {
		return false
	}
	out[0] = out[0]&0x3f | 0x80
	binary.BigEndian.PutUint16(out[2:], lost)
	binary.BigEndian.PutUint32(out[8:], d.ssrc)
	d.out = out[:fixedHeader+int(length)]
	d.Packet(append([]byte(nil), d.out...))
	return true
}
