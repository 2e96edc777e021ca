package clips

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	ivfFileHeader  = 32
	ivfFrameHeader = 12
)

// readIVF reads the container of libvpx and libaom.
func readIVF(raw []byte) (*Track, time.Duration, error) {
	if len(raw) < ivfFileHeader || string(raw[:4]) != "DKIF" {
		return nil, 0, errors.New("not an IVF file")
	}
	t := &Track{
		Width:  int(binary.LittleEndian.Uint16(raw[12:])),
		Height: int(binary.LittleEndian.Uint16(raw[14:])),
	}
	switch fourcc := string(raw[8:12]); fourcc {
	case "VP80":
		t.Codec = VP8
	case "VP90":
		t.Codec = VP9
	case "AV01":
		t.Codec = AV1
	default:
		return nil, 0, fmt.Errorf("IVF of unknown codec %q", fourcc)
	}
	rate, scale := binary.LittleEndian.Uint32(raw[16:]), binary.LittleEndian.Uint32(raw[20:])
	header := int(binary.LittleEndian.Uint16(raw[6:]))
	if rate == 0 || scale == 0 || header < ivfFileHeader || header > len(raw) {
		return nil, 0, errors.New("bad IVF header")
	}
	tick := float64(scale) / float64(rate) * float64(time.Second)
	for rest := raw[header:]; len(rest) >= ivfFrameHeader; {
		size := int(binary.LittleEndian.Uint32(rest))
		pts := binary.LittleEndian.Uint64(rest[4:])
		if size > len(rest)-ivfFrameHeader {
			break // cut off: what came before is whole
		}
		data := rest[ivfFrameHeader : ivfFrameHeader+size]
		rest = rest[ivfFrameHeader+size:]
		if size == 0 {
			continue
		}
		f := frame{at: time.Duration(float64(pts) * tick), key: keyframe(t.Codec, data), data: data}
		if n := len(t.frames); n > 0 && f.at <= t.frames[n-1].at {
			return nil, 0, errors.New("IVF timestamps do not increase")
		}
		t.frames = append(t.frames, f)
	}
	if len(t.frames) == 0 {
		return nil, 0, errors.New("IVF without frames")
	}
	return t, t.rebase(), nil
}

// rebase moves the first frame to time 0 and returns the length of the track,
// the last frame taken as long as the one before it.
func (t *Track) rebase() time.Duration {
	first := t.frames[0].at
	for i := range t.frames {
		t.frames[i].at -= first
	}
	n := len(t.frames)
	if n == 1 {
		return time.Second / defaultFrameRate
	}
	return 2*t.frames[n-1].at - t.frames[n-2].at
}

// keyframe reports whether a VP8 (RFC 6386 9.1), VP9 or AV1 frame stands alone.
func keyframe(codec Codec, data []byte) bool {
	if len(data) == 0 {
		return false
	}
	b := data[0]
	switch codec {
	case VP8:
		return b&1 == 0
	case VP9:
		if b>>6 != 2 { // frame_marker
			return false
		}
		b <<= 2
		if b>>6 == 3 { // profile 3 has one more bit
			b <<= 1
		}
		return b&0x20 == 0 && b&0x10 == 0 // not show_existing_frame, frame_type KEY
	case AV1: // a temporal unit that starts with a sequence header, after its delimiter
		if b>>3&0xf == 2 && len(data) > 2 {
			b = data[2]
		}
		return b>>3&0xf == 1
	}
	return false
}
