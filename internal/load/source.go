package load

import "encoding/binary"

// The shape of the synthetic video.
const (
	frameRate       = 30
	framesPerGOP    = 2 * frameRate
	keyframeWeight  = 6    // size of a keyframe in delta frames
	packetBytes     = 1200 // of RTP, header included
	rtpHeaderBytes  = 12
	leastLastPacket = 120 // bytes of a frame's last packet: room for headers and stamps
	prefixBytes     = 16  // of a payload that are not filler, at most
	videoClock      = 90000
)

// Codecs of the synthetic video.
const (
	H264 = "h264"
	VP8  = "vp8"
)

// source makes the RTP packets of a synthetic video: a keyframe every two
// seconds, the rest delta frames of one size, exactly as many bytes of RTP a
// second as asked for. It is valid enough to be forwarded, and not to be
// decoded.
type source struct {
	codec string
	equal bool // keyframes are no larger than others
	ssrc  uint32
	pt    uint8

	bytesPerGOP int
	frame       int    // since the start
	seq         uint16 // of the next packet
	number      uint32 // of the next packet
	buf         [packetBytes]byte
}

func newSource(codec string, bitrate int, ssrc uint32, pt uint8) *source {
	s := &source{codec: codec, ssrc: ssrc, pt: pt, bytesPerGOP: bitrate / 8 * framesPerGOP / frameRate}
	s.fill(0, packetBytes)
	return s
}

// fill makes part of the packet filler again: bytes that cannot be taken for a
// start code or a stamp.
func (s *source) fill(from, to int) {
	for i := from; i < to; i++ {
		s.buf[i] = topBit | byte(i*37+11)
	}
}

// frameBytes is the size of the i-th frame of a GOP: cumulative rounding keeps
// the sum exact.
func (s *source) frameBytes(i int) int {
	weight := keyframeWeight
	if s.equal {
		weight = 1
	}
	upTo := func(frames int) int {
		if frames == 0 {
			return 0
		}
		return s.bytesPerGOP * (frames - 1 + weight) / (framesPerGOP - 1 + weight)
	}
	return upTo(i+1) - upTo(i)
}

// timestamp is the RTP timestamp of the next frame.
func (s *source) timestamp() uint32 {
	return uint32(uint64(s.frame) * videoClock / frameRate)
}

// packets is how many the next frame has, or one more.
func (s *source) packets() int { return s.frameBytes(s.frame%framesPerGOP)/packetBytes + 2 }

// next calls send with each packet of the next frame. turn waits until the
// packet may be sent and gives the time of that, for the stamp. The packet is only
// good during the call.
func (s *source) next(turn func() int64, send func(packet []byte) error) error {
	inGOP := s.frame % framesPerGOP
	key, ts := inGOP == 0, s.timestamp()
	left := s.frameBytes(inGOP)
	if key {
		n := s.parameters()
		if n > 0 {
			turn()
			s.header(ts, false)
			left -= rtpHeaderBytes + n
			if err := s.emit(rtpHeaderBytes+n, send); err != nil {
				return err
			}
		}
	}
	left = max(left, leastLastPacket)
	for first := true; left > 0; first = false {
		size := min(left, packetBytes)
		if rest := left - size; rest > 0 && rest < leastLastPacket {
			size -= leastLastPacket - rest
		}
		left -= size
		s.header(ts, left == 0)
		s.payload(key, first, left == 0)
		stamp{sent: turn(), number: s.number, frame: uint32(s.frame), last: left == 0, key: key}.put(s.buf[:size])
		if left == 0 {
			copy(s.buf[size-stampArea:], s.buf[size-stampBytes:size])
		}
		if err := s.emit(size, send); err != nil {
			return err
		}
	}
	s.frame++
	return nil
}

func (s *source) emit(size int, send func([]byte) error) error {
	s.seq++
	s.number++
	err := send(s.buf[:size])
	s.fill(rtpHeaderBytes, min(size, rtpHeaderBytes+prefixBytes))
	s.fill(size-min(size, stampArea), size)
	return err
}

func (s *source) header(ts uint32, marker bool) {
	s.buf[0] = 2 << 6
	s.buf[1] = s.pt
	if marker {
		s.buf[1] |= 1 << 7
	}
	binary.BigEndian.PutUint16(s.buf[2:], s.seq)
	binary.BigEndian.PutUint32(s.buf[4:], ts)
	binary.BigEndian.PutUint32(s.buf[8:], s.ssrc)
}

// H.264 NAL unit types and packet types (RFC 6184 section 5.2).
const (
	nalSlice = 1
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
	nalType  = 0x1f
	nri      = 3 << 5
)

// Parameter sets of 1280x720, constrained baseline, level 3.1.
const (
	sps = "\x67\x42\xe0\x1f\xda\x01\x40\x16\xe4"
	pps = "\x68\xce\x38\x80"
)

// parameters writes the payload of the packet before a keyframe, if the codec
// has one, and returns its size.
func (s *source) parameters() int {
	if s.codec != H264 {
		return 0
	}
	b := append(s.buf[rtpHeaderBytes:rtpHeaderBytes], nri|nalSTAPA)
	for _, unit := range []string{sps, pps} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(unit))), unit...)
	}
	return len(b)
}

// payload writes the first bytes of a packet's payload; the rest is filler.
func (s *source) payload(key, first, last bool) {
	if s.codec == VP8 {
		s.payloadVP8(key, first)
		return
	}
	kind, slice := byte(nalSlice), byte(0x9a) // first_mb 0, P slice, parameter set 0
	if key {
		kind, slice = nalIDR, 0x88 // I slice
	}
	b := s.buf[rtpHeaderBytes:]
	if first && last {
		b[0], b[1], b[2] = nri|kind, slice, topBit
		return
	}
	b[0], b[1] = nri|nalFUA, kind
	if first {
		b[1] |= 1 << 7
	}
	if last {
		b[1] |= 1 << 6
	}
	b[2] = slice
}

// payloadVP8 writes a descriptor with a picture id (RFC 7741 section 4.2) and,
// in a frame's first packet, the frame header.
func (s *source) payloadVP8(key, first bool) {
	b := s.buf[rtpHeaderBytes:]
	b[0], b[1] = 1<<7, 1<<7
	binary.BigEndian.PutUint16(b[2:], 1<<15|uint16(s.frame)&0x7fff)
	if !first {
		return
	}
	b[0] |= 1 << 4
	if key {
		copy(b[4:], "\x10\x02\x00\x9d\x01\x2a\x00\x05\xd0\x02")
		return
	}
	copy(b[4:], "\x11\x02\x00")
}

// startsKeyframe reports whether a payload is the first of a keyframe, for the
// codecs that load offers.
func startsKeyframe(codec string, payload []byte) bool {
	if len(payload) < 2 {
		return false
	}
	if codec == VP8 {
		return startsKeyframeVP8(payload)
	}
	switch payload[0] & nalType {
	case nalIDR, nalSPS:
		return true
	case nalSTAPA:
		return len(payload) > 3 && (payload[3]&nalType == nalSPS || payload[3]&nalType == nalIDR)
	case nalFUA:
		return payload[1]&(1<<7) != 0 && payload[1]&nalType == nalIDR
	}
	return false
}

func startsKeyframeVP8(payload []byte) bool {
	if payload[0]&0x1f != 1<<4 { // start of partition 0
		return false
	}
	at := 1
	if payload[0]&(1<<7) != 0 {
		extended := payload[1]
		at++
		if extended&(1<<7) != 0 {
			if at >= len(payload) {
				return false
			}
			at += 1 + int(payload[at]>>7)
		}
		if extended&(1<<6) != 0 {
			at++
		}
		if extended&(3<<4) != 0 {
			at++
		}
	}
	return at < len(payload) && payload[at]&1 == 0
}
