package flexfec

import (
	"crypto/subtle"
	"encoding/binary"
)

const (
	// MaxGroup is how many packets one repair packet of ours protects.
	MaxGroup = 15
	// HeaderBytes is the FEC header of a repair packet with a mask of MaxGroup.
	HeaderBytes = 20

	maxParity   = 1500 // bytes of the largest packet that can be protected
	fixedHeader = 12   // of RTP
	recovered   = 8    // bytes of the fixed header that are in the parity
	lastMask    = 1 << 15
)

// Encoder gathers the parity of a group of packets. The zero value is empty.
type Encoder struct {
	count  int
	base   uint16 // sequence number of the first packet
	mask   uint16 // bit 14 is base
	header [recovered]byte
	length uint16
	size   int // of the parity
	parity [maxParity]byte
}

// Len is the number of packets in the group.
func (e *Encoder) Len() int { return e.count }

// Size is the size of the repair payload for what was added.
func (e *Encoder) Size() int { return HeaderBytes + e.size }

// Add takes a packet: its header with extensions, and its payload. A packet that
// does not belong to the group, because it is too large or too far from the
// first, is left out.
func (e *Encoder) Add(header, payload []byte) {
	size := len(header) - fixedHeader + len(payload)
	if len(header) < fixedHeader || size > maxParity {
		return
	}
	seq := binary.BigEndian.Uint16(header[2:])
	if e.count == 0 {
		e.base = seq
	}
	at := seq - e.base
	bit := uint16(1) << (MaxGroup - 1 - min(at, MaxGroup-1))
	if at >= MaxGroup || e.mask&bit != 0 {
		return
	}
	e.mask |= bit
	e.count++
	for i := range recovered {
		e.header[i] ^= header[i]
	}
	e.length ^= uint16(size)
	extensions := len(header) - fixedHeader
	subtle.XORBytes(e.parity[:], e.parity[:extensions], header[fixedHeader:])
	subtle.XORBytes(e.parity[extensions:], e.parity[extensions:extensions+len(payload)], payload)
	e.size = max(e.size, size)
}

// Payload writes the repair payload for the stream ssrc to b, which has room for
// Size bytes, empties the group and returns the size written.
func (e *Encoder) Payload(b []byte, ssrc uint32) int {
	b[0], b[1] = e.header[0]&0x3f, e.header[1] // R and F are 0
	binary.BigEndian.PutUint16(b[2:], e.length)
	copy(b[4:8], e.header[4:])
	b[8], b[9], b[10], b[11] = 1, 0, 0, 0 // one SSRC
	binary.BigEndian.PutUint32(b[12:], ssrc)
	binary.BigEndian.PutUint16(b[16:], e.base)
	binary.BigEndian.PutUint16(b[18:], lastMask|e.mask)
	n := HeaderBytes + copy(b[HeaderBytes:], e.parity[:e.size])
	clear(e.parity[:e.size])
	e.count, e.mask, e.length, e.size, e.header = 0, 0, 0, 0, [recovered]byte{}
	return n
}
