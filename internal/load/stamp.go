package load

import "bytes"

// stamp is what a publisher puts at the end of each packet's payload, so that a
// probe knows when the packet was sent. It survives a server that cuts frames
// into packets of its own.
type stamp struct {
	sent   int64  // nanoseconds of the wall clock
	number uint32 // of the packet
	frame  uint32 // of the packet's frame
	last   bool   // of its frame
	key    bool   // of a keyframe
}

// Every byte of a stamp has its top bit set, so that it never looks like a start
// code within an H.264 NAL unit.
const (
	stampMagic = "\xd5\xb7\xe9\x8b\xc3\xf1\x9d\xa7"
	sentBytes  = 10
	numBytes   = 5
	stampBytes = len(stampMagic) + sentBytes + 2*numBytes + 1

	// stampArea is where the stamp of a frame's last packet is, twice: a server
	// that cuts frames anew can cut only one of the two.
	stampArea = 3 * stampBytes

	flagLast = 1
	flagKey  = 2
	topBit   = 0x80
)

// put writes the stamp over the last bytes of b, which holds at least
// stampBytes.
func (s stamp) put(b []byte) {
	b = b[len(b)-stampBytes:]
	n := copy(b, stampMagic)
	putSevens(b[n:n+sentBytes], uint64(s.sent))
	n += sentBytes
	putSevens(b[n:n+numBytes], uint64(s.number))
	n += numBytes
	putSevens(b[n:n+numBytes], uint64(s.frame))
	n += numBytes
	b[n] = topBit
	if s.last {
		b[n] |= flagLast
	}
	if s.key {
		b[n] |= flagKey
	}
}

// nextStamp returns the first whole stamp in b and what follows it.
func nextStamp(b []byte) (s stamp, rest []byte, ok bool) {
	i := bytes.Index(b, []byte(stampMagic))
	if i < 0 || len(b)-i < stampBytes {
		return stamp{}, nil, false
	}
	b = b[i+len(stampMagic):]
	s.sent = int64(sevens(b[:sentBytes]))
	b = b[sentBytes:]
	s.number, s.frame = uint32(sevens(b[:numBytes])), uint32(sevens(b[numBytes:2*numBytes]))
	b = b[2*numBytes:]
	s.last, s.key = b[0]&flagLast != 0, b[0]&flagKey != 0
	return s, b[1:], true
}

func putSevens(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = topBit | byte(v&0x7f)
		v >>= 7
	}
}

func sevens(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<7 | uint64(c&0x7f)
	}
	return v
}
