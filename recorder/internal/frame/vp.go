package frame

import (
	mcvp9 "github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/pion/rtp/codecs"
)

// vp8 is RFC 7741.
type vp8 struct {
	width, height int
	data          []byte
	key           bool
}

func (v *vp8) starts(b []byte) bool {
	var p codecs.VP8Packet
	_, err := p.Unmarshal(b)
	return err == nil && p.S == 1 && p.PID == 0
}

func (v *vp8) add(b []byte) bool {
	var p codecs.VP8Packet
	payload, err := p.Unmarshal(b)
	if err != nil || len(v.data) == 0 && (p.S != 1 || p.PID != 0) {
		return false
	}
	if len(v.data) == 0 && len(payload) > 0 {
		v.key = payload[0]&1 == 0
	}
	v.data = append(v.data, payload...)
	return true
}

func (v *vp8) take() ([]byte, bool, *Format) {
	defer v.reset()
	f := v.data
	if !v.key || len(f) < 10 || f[3] != 0x9d || f[4] != 0x01 || f[5] != 0x2a {
		return f, false, nil // a keyframe without its start code (RFC 6386 section 9.1) is none
	}
	width, height := int(f[6])|int(f[7]&0x3f)<<8, int(f[8])|int(f[9]&0x3f)<<8
	return f, true, changedSize("VP8", &v.width, &v.height, width, height)
}

func (v *vp8) reset() { v.data, v.key = nil, false }

// changedSize returns a format when the size is new.
func changedSize(codec string, width, height *int, w, h int) *Format {
	if w == *width && h == *height {
		return nil
	}
	*width, *height = w, h
	return &Format{Codec: codec, Width: w, Height: h}
}

// vp9 is RFC 9628. The spatial layers of one picture become one superframe (VP9
// bitstream specification, annex B).
type vp9 struct {
	width, height int
	data          []byte
	frames        []int // offsets at which layer frames begin
	key           bool
}

func (v *vp9) starts(b []byte) bool {
	var p codecs.VP9Packet
	_, err := p.Unmarshal(b)
	return err == nil && p.B && p.SID == 0
}

func (v *vp9) add(b []byte) bool {
	var p codecs.VP9Packet
	payload, err := p.Unmarshal(b)
	if err != nil || len(v.data) == 0 && !p.B {
		return false
	}
	if p.B {
		if len(v.frames) == 0 {
			v.key = !p.P
		}
		if len(v.frames) == 8 {
			return false
		}
		v.frames = append(v.frames, len(v.data))
	}
	v.data = append(v.data, payload...)
	return true
}

func (v *vp9) take() ([]byte, bool, *Format) {
	defer v.reset()
	if len(v.data) == 0 {
		return nil, false, nil
	}
	var changed *Format
	if v.key {
		last := v.frames[len(v.frames)-1]
		var h mcvp9.Header
		if h.Unmarshal(v.data[last:]) == nil && !h.NonKeyFrame {
			changed = changedSize("VP9", &v.width, &v.height, h.Width(), h.Height())
		} else if v.width == 0 && h.Unmarshal(v.data) == nil && !h.NonKeyFrame {
			changed = changedSize("VP9", &v.width, &v.height, h.Width(), h.Height())
		}
	}
	return v.superframe(), v.key, changed
}

func (v *vp9) superframe() []byte {
	if len(v.frames) < 2 {
		return v.data
	}
	marker := byte(0xc0 | 3<<3 | (len(v.frames) - 1)) // sizes of four bytes
	out := append(v.data, marker)
	for i, from := range v.frames {
		to := len(v.data)
		if i+1 < len(v.frames) {
			to = v.frames[i+1]
		}
		n := to - from
		out = append(out, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return append(out, marker)
}

func (v *vp9) reset() { v.data, v.frames, v.key = nil, nil, false }
