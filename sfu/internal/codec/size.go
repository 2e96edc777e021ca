package codec

import (
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/pion/rtp/codecs"
)

// Size returns the picture size in pixels that the payload of a keyframe's
// packet declares; ok is false when this packet declares none.
func (c Codec) Size(payload []byte) (width, height int, ok bool) {
	switch c {
	case H264:
		h264NALUs(payload, func(kind byte, nalu []byte) bool {
			var sps h264.SPS
			if kind == h264SPS && nalu != nil && sps.Unmarshal(nalu) == nil {
				width, height = sps.Width(), sps.Height()
			}
			return width == 0
		})
	case H265:
		h265NALUs(payload, func(kind byte, nalu []byte) bool {
			var sps h265.SPS
			if kind == h265SPS && nalu != nil && sps.Unmarshal(nalu) == nil {
				width, height = sps.Width(), sps.Height()
			}
			return width == 0
		})
	case VP8:
		width, height = vp8Size(payload)
	case VP9:
		width, height = vp9Size(payload)
	case AV1:
		width, height = av1Size(payload)
	}
	return width, height, width > 0 && height > 0
}

// vp8Size reads the frame header of a keyframe (RFC 6386 section 9.1).
func vp8Size(b []byte) (width, height int) {
	d, ok := ParseVP8(b)
	if !ok || !d.Start || len(b) < d.Size+10 {
		return 0, 0
	}
	f := b[d.Size:]
	if f[0]&1 != 0 || f[3] != 0x9d || f[4] != 0x01 || f[5] != 0x2a {
		return 0, 0
	}
	return int(f[6]) | int(f[7]&0x3f)<<8, int(f[8]) | int(f[9]&0x3f)<<8
}

// vp9Size prefers the scalability structure, whose last entry is the largest
// spatial layer, to the header of the frame itself.
func vp9Size(b []byte) (width, height int) {
	if sizes, n := vp9Sizes(b); n > 0 {
		return sizes[n-1].Width, sizes[n-1].Height
	}
	var p codecs.VP9Packet
	frame, err := p.Unmarshal(b)
	if err != nil || !p.B || p.P {
		return 0, 0
	}
	var h vp9.Header
	if h.Unmarshal(frame) != nil || h.NonKeyFrame {
		return 0, 0
	}
	return h.Width(), h.Height()
}

// Size of a picture in pixels.
type Size struct{ Width, Height int }

// vp9Sizes reads the picture sizes of the scalability structure, one for each of
// n spatial layers, the lowest first. n is 0 when the packet has none.
func vp9Sizes(b []byte) (sizes [MaxSpatial]Size, n int) {
	d, ok := ParseVP9(b)
	if !ok || !d.Start || d.Inter || b[0]&0x02 == 0 || len(b) <= d.Size {
		return sizes, 0
	}
	s := b[d.Size:]
	count := int(s[0]>>5) + 1
	if s[0]&0x10 == 0 || len(s) < 1+4*count || count > MaxSpatial {
		return sizes, 0
	}
	for i := range count {
		e := s[1+4*i:]
		sizes[i] = Size{int(e[0])<<8 | int(e[1]), int(e[2])<<8 | int(e[3])}
	}
	return sizes, count
}

const av1SequenceHeader = 1

// av1Size looks for the sequence header among the OBU elements of the packet
// (AV1 RTP specification section 4.4).
func av1Size(b []byte) (width, height int) {
	if len(b) < 2 {
		return 0, 0
	}
	elements := int(b[0] >> 4 & 3) // W: 0 means that each element has a length
	continued := b[0]&0x80 != 0    // Z: the first element began in an earlier packet
	b = b[1:]
	for i := 1; len(b) > 0; i++ {
		obu := b
		if elements == 0 || i < elements {
			var size av1.LEB128
			n, err := size.Unmarshal(b)
			if err != nil || uint64(size) > uint64(len(b)-n) {
				return 0, 0
			}
			obu, b = b[n:n+int(size)], b[n+int(size):]
		} else {
			b = nil
		}
		if (i > 1 || !continued) && len(obu) > 0 && obu[0]>>3&0xf == av1SequenceHeader {
			var h av1.SequenceHeader
			if h.Unmarshal(obu) == nil {
				return h.Width(), h.Height()
			}
		}
	}
	return 0, 0
}
