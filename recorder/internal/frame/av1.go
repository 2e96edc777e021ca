package frame

import (
	"bytes"
	"fmt"

	mcav1 "github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/pion/rtp/codecs"
)

const av1SequenceHeader = 1

// av1 is the AV1 RTP payload format 1.0; samples are low-overhead OBUs.
type av1 struct {
	reader  codecs.AV1Depacketizer
	current *Format
	data    []byte
}

func (a *av1) starts(b []byte) bool { return b[0]&0x80 == 0 } // Z

func (a *av1) add(b []byte) bool {
	obus, err := a.reader.Unmarshal(b)
	if err != nil {
		return false
	}
	a.data = append(a.data, obus...)
	return true
}

func (a *av1) take() ([]byte, bool, *Format) {
	data := a.data
	a.data = nil
	var changed *Format
	header := sequenceHeader(data)
	if header != nil && (a.current == nil || !bytes.Equal(header, a.current.Sets[0])) {
		format, err := av1Format(header)
		if err != nil {
			return nil, false, nil
		}
		a.current, changed = format, format
	}
	return data, header != nil, changed
}

func (a *av1) reset() { a.reader, a.data = codecs.AV1Depacketizer{}, nil }

// sequenceHeader returns the sequence header OBU with its size field, or nil: an
// encoder puts one before each keyframe.
func sequenceHeader(data []byte) []byte {
	for len(data) > 1 {
		head := 1
		if data[0]&0x04 != 0 { // extension
			head++
		}
		if data[0]&0x02 == 0 || len(data) <= head {
			return nil
		}
		var size mcav1.LEB128
		n, err := size.Unmarshal(data[head:])
		if err != nil || uint64(size) > uint64(len(data)-head-n) {
			return nil
		}
		end := head + n + int(size)
		if data[0]>>3&0xf == av1SequenceHeader {
			return data[:end]
		}
		data = data[end:]
	}
	return nil
}

func av1Format(header []byte) (*Format, error) {
	var h mcav1.SequenceHeader
	if err := h.Unmarshal(header); err != nil {
		return nil, fmt.Errorf("sequence header: %w", err)
	}
	if len(h.SeqLevelIdx) == 0 || len(h.SeqTier) == 0 {
		return nil, fmt.Errorf("sequence header without a level")
	}
	tier := "M"
	if h.SeqTier[0] {
		tier = "H"
	}
	f := &Format{
		Codec: "AV1", MIME: fmt.Sprintf("av01.%d.%02d%s.%02d", h.SeqProfile, h.SeqLevelIdx[0], tier, h.ColorConfig.BitDepth),
		Width: h.Width(), Height: h.Height(), Sets: [][]byte{bytes.Clone(header)},
	}
	if f.Width < 1 || f.Height < 1 || f.Width > 1<<14 || f.Height > 1<<14 {
		return nil, fmt.Errorf("a picture of %dx%d", f.Width, f.Height)
	}
	return f, nil
}
