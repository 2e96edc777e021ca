package frame

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	mch264 "github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

const (
	h264IDR    = 5
	h264SPS    = 7
	h264PPS    = 8
	h264AUD    = 9
	h264Filler = 12
	h264STAPA  = 24
	h264FUA    = 28
)

// h264 is RFC 6184 with packetization modes 0 and 1.
type h264 struct {
	sps, pps sets
	current  *Format
	units    [][]byte
	fragment []byte
	inside   bool // a fragment is open
	key      bool
}

// sets are parameter sets of one kind, by their number.
type sets map[uint32][]byte

// put notes a parameter set. A publisher has few of them.
func (s sets) put(id uint32, data []byte) {
	if _, known := s[id]; known || len(s) < 32 {
		s[id] = bytes.Clone(data)
	}
}

// list returns the sets ordered by number.
func (s sets) list() [][]byte {
	ids := make([]uint32, 0, len(s))
	for id := range s {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	all := make([][]byte, 0, len(ids))
	for _, id := range ids {
		all = append(all, s[id])
	}
	return all
}

func newH264(fmtp string) *h264 {
	h := &h264{sps: sets{}, pps: sets{}}
	for text := range strings.SplitSeq(parameter(fmtp, "sprop-parameter-sets"), ",") {
		if nalu, err := base64.StdEncoding.DecodeString(text); err == nil {
			h.unit(nalu)
		}
	}
	h.reset()
	return h
}

func (h *h264) starts(b []byte) bool {
	switch kind := b[0] & 0x1f; kind {
	case h264STAPA:
		return len(b) > 3 && h264First(b[3:])
	case h264FUA:
		return len(b) > 2 && b[1]&0x80 != 0 && h264Begins(b[1]&0x1f, b[2:])
	default:
		return h264First(b)
	}
}

func h264First(nalu []byte) bool { return h264Begins(nalu[0]&0x1f, nalu[1:]) }

// h264Begins reports whether a NAL unit is the first of its picture: a delimiter,
// a parameter set, SEI, or the slice that holds the first macroblock.
func h264Begins(kind byte, body []byte) bool {
	switch kind {
	case 6, h264SPS, h264PPS, h264AUD:
		return true
	}
	return kind >= 1 && kind <= h264IDR && len(body) > 0 && body[0]&0x80 != 0
}

func (h *h264) add(b []byte) bool {
	kind := b[0] & 0x1f
	if kind != h264FUA && h.inside {
		return false
	}
	switch kind {
	case h264STAPA:
		return aggregated(b[1:], h.unit)
	case h264FUA:
		if len(b) < 3 {
			return false
		}
		start, end := b[1]&0x80 != 0, b[1]&0x40 != 0
		if start == h.inside {
			return false
		}
		if start {
			h.inside = true
			h.fragment = append(make([]byte, 0, 4*len(b)), b[0]&0xe0|b[1]&0x1f)
		}
		h.fragment = append(h.fragment, b[2:]...)
		if end {
			h.inside = false
			h.unit(h.fragment)
		}
		return true
	default:
		h.unit(b)
		return kind > 0 && kind < h264STAPA
	}
}

// unit takes a whole NAL unit.
func (h *h264) unit(b []byte) {
	if len(b) < 2 {
		return
	}
	switch b[0] & 0x1f {
	case h264SPS:
		if len(b) > 4 {
			if id, ok := golomb(b[4:]); ok {
				h.sps.put(id, b)
			}
		}
	case h264PPS:
		if id, ok := golomb(b[1:]); ok {
			h.pps.put(id, b)
		}
	case h264AUD, h264Filler:
	default:
		h.key = h.key || b[0]&0x1f == h264IDR
		h.units = append(h.units, b)
	}
}

func (h *h264) take() ([]byte, bool, *Format) {
	defer h.reset()
	if len(h.units) == 0 || h.inside {
		return nil, false, nil
	}
	var changed *Format
	if h.key {
		sets := append(h.sps.list(), h.pps.list()...)
		if h.current == nil || !slices.EqualFunc(sets, h.current.Sets, bytes.Equal) {
			format, err := h264Format(h.sps.list(), h.pps.list())
			if err != nil {
				return nil, false, nil // cannot be decoded
			}
			h.current, changed = format, format
		}
	}
	return lengthPrefixed(h.units), h.key, changed
}

func (h *h264) reset() {
	h.units, h.fragment, h.inside, h.key = nil, nil, false, false
}

// H264Format returns the format of parameter sets.
func H264Format(sets [][]byte) (*Format, error) {
	var sps, pps [][]byte
	for _, b := range sets {
		if len(b) > 4 && b[0]&0x1f == h264SPS {
			sps = append(sps, b)
		} else {
			pps = append(pps, b)
		}
	}
	return h264Format(sps, pps)
}

func h264Format(sps, pps [][]byte) (*Format, error) {
	if len(sps) == 0 || len(pps) == 0 {
		return nil, fmt.Errorf("parameter sets are missing")
	}
	var parsed mch264.SPS
	if err := parsed.Unmarshal(sps[0]); err != nil {
		return nil, fmt.Errorf("sequence parameter set: %w", err)
	}
	f := &Format{
		Codec: "H264", MIME: fmt.Sprintf("avc1.%02X%02X%02X", sps[0][1], sps[0][2], sps[0][3]),
		Width: parsed.Width(), Height: parsed.Height(), Sets: append(sps, pps...),
	}
	if f.Width < 1 || f.Height < 1 || f.Width > 1<<14 || f.Height > 1<<14 {
		return nil, fmt.Errorf("a picture of %dx%d", f.Width, f.Height)
	}
	return f, nil
}

// golomb reads an unsigned exponential-Golomb number (ITU-T H.264 section 9.1).
func golomb(b []byte) (uint32, bool) {
	bit := func(i int) uint32 { return uint32(b[i/8]>>(7-i%8)) & 1 }
	zeros := 0
	for ; zeros < 8*len(b) && bit(zeros) == 0; zeros++ {
		if zeros > 16 {
			return 0, false
		}
	}
	if 2*zeros >= 8*len(b) {
		return 0, false
	}
	value := uint32(0)
	for i := zeros; i <= 2*zeros; i++ {
		value = value<<1 | bit(i)
	}
	return value - 1, true
}
