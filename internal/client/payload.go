package client

import (
	"encoding/binary"
	"strings"

	"github.com/Eyevinn/mp4ff/avc"
)

// payloadFacts is what one RTP payload tells about its video frame.
type payloadFacts struct {
	start         bool // surely the first packet of a frame
	key           bool // of a keyframe
	width, height int  // of a keyframe, when the payload says so
	pictureID     int  // VP8; -1: none
}

// inspect reads the head of a payload of the codec ("video/VP8", …).
func inspect(mime string, p []byte) payloadFacts {
	f := payloadFacts{pictureID: -1}
	if len(p) == 0 {
		return f
	}
	switch strings.ToUpper(strings.TrimPrefix(strings.ToLower(mime), "video/")) {
	case "VP8":
		inspectVP8(p, &f)
	case "VP9": // draft-ietf-payload-vp9: I P L F B E V Z
		f.start = p[0]&0x08 != 0
		f.key = f.start && p[0]&0x40 == 0
	case "AV1": // aggregation header: Z Y W W N
		f.start = p[0]&0x80 == 0
		f.key = p[0]&0x08 != 0
	case "H264":
		inspectH264(p, &f)
	case "H265":
		inspectH265(p, &f)
	}
	return f
}

// inspectVP8 reads the payload descriptor of RFC 7741 and the frame header of
// RFC 6386.
func inspectVP8(p []byte, f *payloadFacts) {
	first := p[0]&0x10 != 0 && p[0]&0x0f == 0
	extended := p[0]&0x80 != 0
	p = p[1:]
	if extended {
		if len(p) == 0 {
			return
		}
		x := p[0]
		p = p[1:]
		if x&0x80 != 0 {
			switch {
			case len(p) >= 2 && p[0]&0x80 != 0:
				f.pictureID = int(binary.BigEndian.Uint16(p) & 0x7fff)
				p = p[2:]
			case len(p) >= 1 && p[0]&0x80 == 0:
				f.pictureID = int(p[0])
				p = p[1:]
			default:
				return
			}
		}
		skip := 0
		if x&0x40 != 0 {
			skip++
		}
		if x&0x30 != 0 {
			skip++
		}
		if len(p) < skip {
			return
		}
		p = p[skip:]
	}
	f.start = first
	if !first || len(p) == 0 || p[0]&1 != 0 {
		return
	}
	f.key = true
	if len(p) >= 10 && p[3] == 0x9d && p[4] == 0x01 && p[5] == 0x2a {
		f.width = int(binary.LittleEndian.Uint16(p[6:]) & 0x3fff)
		f.height = int(binary.LittleEndian.Uint16(p[8:]) & 0x3fff)
	}
}

// inspectH264 reads the NAL units of RFC 6184: single, STAP-A and FU-A.
func inspectH264(p []byte, f *payloadFacts) {
	unit := func(n []byte) {
		if len(n) == 0 {
			return
		}
		switch n[0] & 0x1f {
		case 5:
			f.key = true
		case 7:
			f.start, f.key = true, true
			if sps, err := avc.ParseSPSNALUnit(n, false); err == nil {
				f.width, f.height = int(sps.Width), int(sps.Height)
			}
		}
	}
	switch p[0] & 0x1f {
	case 24:
		for rest := p[1:]; len(rest) >= 2; {
			size := int(binary.BigEndian.Uint16(rest))
			rest = rest[2:]
			if size > len(rest) {
				return
			}
			unit(rest[:size])
			rest = rest[size:]
		}
	case 28:
		if len(p) >= 2 && p[1]&0x1f == 5 {
			f.key = true
		}
	default:
		unit(p)
	}
}

// inspectH265 reads the NAL units of RFC 7798: single, AP and FU.
func inspectH265(p []byte, f *payloadFacts) {
	kind := func(b byte) byte { return b >> 1 & 0x3f }
	note := func(k byte) {
		switch {
		case k >= 32 && k <= 34: // parameter sets
			f.start, f.key = true, true
		case k >= 16 && k <= 21: // random access pictures
			f.key = true
		}
	}
	switch k := kind(p[0]); k {
	case 48:
		if len(p) >= 5 {
			note(kind(p[4]))
		}
	case 49:
		if len(p) >= 3 {
			if k := p[2] & 0x3f; k >= 16 && k <= 21 {
				f.key = true
			}
		}
	default:
		note(k)
	}
}
