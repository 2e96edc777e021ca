package frame

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/Eyevinn/mp4ff/hevc"
)

const (
	h265FirstIRAP = 16
	h265LastIRAP  = 23
	h265VPS       = 32
	h265SPS       = 33
	h265PPS       = 34
	h265AUD       = 35
	h265Filler    = 38
	h265AP        = 48
	h265FU        = 49
)

// h265 is RFC 7798 without decoding order numbers.
type h265 struct {
	vps, sps, pps sets
	current       *Format
	units         [][]byte
	fragment      []byte
	inside        bool
	key           bool
}

func newH265(fmtp string) *h265 {
	h := &h265{vps: sets{}, sps: sets{}, pps: sets{}}
	for _, key := range []string{"sprop-vps", "sprop-sps", "sprop-pps"} {
		for text := range strings.SplitSeq(parameter(fmtp, key), ",") {
			if nalu, err := base64.StdEncoding.DecodeString(text); err == nil {
				h.unit(nalu)
			}
		}
	}
	h.reset()
	return h
}

func h265Kind(b byte) byte { return b >> 1 & 0x3f }

func (h *h265) starts(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	switch kind := h265Kind(b[0]); kind {
	case h265AP:
		return len(b) > 6 && h265Begins(h265Kind(b[4]), b[6])
	case h265FU:
		return b[2]&0x80 != 0 && h265Begins(b[2]&0x3f, b[3])
	default:
		return h265Begins(kind, b[2])
	}
}

// h265Begins reports whether a NAL unit is the first of its picture, by its type
// and the first byte behind its header.
func h265Begins(kind, first byte) bool {
	return kind >= h265VPS && kind <= h265AUD || kind == 39 || kind < h265VPS && first&0x80 != 0
}

func (h *h265) add(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	kind := h265Kind(b[0])
	if kind != h265FU && h.inside {
		return false
	}
	switch kind {
	case h265AP:
		return aggregated(b[2:], h.unit)
	case h265FU:
		start, end := b[2]&0x80 != 0, b[2]&0x40 != 0
		if start == h.inside {
			return false
		}
		if start {
			h.inside = true
			h.fragment = append(make([]byte, 0, 4*len(b)), b[0]&0x81|b[2]&0x3f<<1, b[1])
		}
		h.fragment = append(h.fragment, b[3:]...)
		if end {
			h.inside = false
			h.unit(h.fragment)
		}
		return true
	default:
		h.unit(b)
		return kind < h265AP
	}
}

func (h *h265) unit(b []byte) {
	if len(b) < 3 {
		return
	}
	switch kind := h265Kind(b[0]); {
	case kind == h265VPS:
		h.vps.put(uint32(b[2]>>4), b)
	case kind == h265SPS:
		h.sps.put(0, b) // its number lies behind the profile; WebRTC has one
	case kind == h265PPS:
		if id, ok := golomb(b[2:]); ok {
			h.pps.put(id, b)
		}
	case kind == h265AUD, kind == h265Filler:
	default:
		h.key = h.key || kind >= h265FirstIRAP && kind <= h265LastIRAP
		h.units = append(h.units, b)
	}
}

func (h *h265) take() ([]byte, bool, *Format) {
	defer h.reset()
	if len(h.units) == 0 || h.inside {
		return nil, false, nil
	}
	var changed *Format
	if h.key {
		sets := slices.Concat(h.vps.list(), h.sps.list(), h.pps.list())
		if h.current == nil || !slices.EqualFunc(sets, h.current.Sets, bytes.Equal) {
			format, err := h265Format(sets, h.sps.list())
			if err != nil {
				return nil, false, nil
			}
			h.current, changed = format, format
		}
	}
	return lengthPrefixed(h.units), h.key, changed
}

func (h *h265) reset() {
	h.units, h.fragment, h.inside, h.key = nil, nil, false, false
}

func h265Format(sets, sps [][]byte) (*Format, error) {
	if len(sps) == 0 || len(sets) < 3 {
		return nil, fmt.Errorf("parameter sets are missing")
	}
	parsed, err := hevc.ParseSPSNALUnit(sps[0])
	if err != nil {
		return nil, fmt.Errorf("sequence parameter set: %w", err)
	}
	width, height := parsed.ImageSize()
	if width < 1 || height < 1 || width > 1<<14 || height > 1<<14 {
		return nil, fmt.Errorf("a picture of %dx%d", width, height)
	}
	return &Format{
		Codec: "H265", MIME: hevc.CodecString("hvc1", parsed),
		Width: int(width), Height: int(height), Sets: sets,
	}, nil
}
