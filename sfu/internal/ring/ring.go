package ring

import (
	"sync/atomic"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// Packet is one received RTP packet. It and its payload are never changed once
// put into a ring.
type Packet struct {
	Index     uint64 // arrival order in its ring, from 0; set by Put
	Seq       uint64 // RTP sequence number, extended beyond 16 bits
	Timestamp uint32 // RTP timestamp, units of the codec's clock
	Arrival   int64  // nanoseconds on the SFU's monotonic clock
	Marker    bool
	Payload   []byte
	Redundant []byte // the payload and those before it as RED; nil: not built

	Descriptor codec.Descriptor  // of VP8 and VP9
	Frame      codec.Frame       // where it lies among spatial and temporal layers
	Dependency *codec.Dependency // nil without the extension
}

// Ring is a fixed-size log of packets. The zero value is not usable; see New.
type Ring struct {
	mask  uint64
	order []atomic.Pointer[Packet] // slot: arrival index
	seqs  []atomic.Pointer[Packet] // slot: sequence number
	head  atomic.Uint64            // index of the next packet
}

// New makes a ring that remembers size packets, rounded up to a power of two.
func New(size int) *Ring {
	n := uint64(1)
	for n < uint64(max(size, 1)) {
		n <<= 1
	}
	return &Ring{
		mask:  n - 1,
		order: make([]atomic.Pointer[Packet], n),
		seqs:  make([]atomic.Pointer[Packet], n),
	}
}

// Size is the number of packets that the ring remembers.
func (r *Ring) Size() uint64 { return r.mask + 1 }

// Head is the index that the next packet will get.
func (r *Ring) Head() uint64 { return r.head.Load() }

// Put appends p, sets its Index, and forgets the oldest packet when full. Only
// one goroutine may call it.
func (r *Ring) Put(p *Packet) {
	p.Index = r.head.Load()
	r.order[p.Index&r.mask].Store(p)
	r.seqs[p.Seq&r.mask].Store(p)
	r.head.Store(p.Index + 1)
}

// At returns the packet with that index, or nil when it is forgotten or still
// to come.
func (r *Ring) At(index uint64) *Packet {
	p := r.order[index&r.mask].Load()
	if p == nil || p.Index != index {
		return nil
	}
	return p
}

// BySeq returns the packet with that extended sequence number, or nil when it
// is forgotten or never came.
func (r *Ring) BySeq(seq uint64) *Packet {
	p := r.seqs[seq&r.mask].Load()
	if p == nil || p.Seq != seq {
		return nil
	}
	return p
}

// Unwrapper extends 16-bit sequence numbers. The zero value is ready.
type Unwrapper struct {
	last    uint64
	started bool
}

// Unwrap returns the extended number of seq nearest to the greatest seen so
// far. The first one lies in the second cycle, so that reordering cannot go
// below zero.
func (u *Unwrapper) Unwrap(seq uint16) uint64 {
	if !u.started {
		u.started = true
		u.last = 1<<16 | uint64(seq)
		return u.last
	}
	ext := u.last + uint64(int64(int16(seq-uint16(u.last))))
	u.last = max(u.last, ext)
	return ext
}
