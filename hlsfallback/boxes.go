package hlsfallback

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// box is one ISO BMFF box (ISO/IEC 14496-12 section 4.2): data is all of it,
// header included.
type box struct {
	kind string
	data []byte
}

func (b box) body() []byte { return b.data[8:] }

// errBoxes says that bytes are not the boxes that they should be.
var errBoxes = errors.New("the boxes are malformed")

// boxes cuts bytes into boxes. Sizes of 64 bits, which fragments do not need,
// are refused.
func boxes(data []byte) (list []box, err error) {
	for len(data) > 0 {
		if len(data) < 8 {
			return nil, errBoxes
		}
		size := binary.BigEndian.Uint32(data)
		if size < 8 || uint64(size) > uint64(len(data)) {
			return nil, errBoxes
		}
		list = append(list, box{string(data[4:8]), data[:size]})
		data = data[size:]
	}
	return list, nil
}

// child returns the first box of a kind, going down a path.
func child(data []byte, path ...string) (box, error) {
	var b box
	for _, kind := range path {
		list, err := boxes(data)
		if err != nil {
			return b, err
		}
		found := false
		for _, b = range list {
			if found = b.kind == kind; found {
				break
			}
		}
		if !found {
			return b, fmt.Errorf("%w: no %s", errBoxes, kind)
		}
		data = b.body()
	}
	return b, nil
}

// makeBox puts pieces into a box.
func makeBox(kind string, pieces ...[]byte) []byte {
	size := 8
	for _, p := range pieces {
		size += len(p)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(size))
	b = append(b, kind...)
	for _, p := range pieces {
		b = append(b, p...)
	}
	return b
}

// replaced rebuilds a box with the box at a path changed. It returns new bytes.
func replaced(b box, change func([]byte) []byte, path ...string) ([]byte, error) {
	if len(path) == 0 {
		return change(b.data), nil
	}
	list, err := boxes(b.body())
	if err != nil {
		return nil, err
	}
	pieces := make([][]byte, 0, len(list))
	done := false
	for _, inner := range list {
		data := inner.data
		if inner.kind == path[0] && !done {
			if data, err = replaced(inner, change, path[1:]...); err != nil {
				return nil, err
			}
			done = true
		}
		pieces = append(pieces, data)
	}
	if !done {
		return nil, fmt.Errorf("%w: no %s", errBoxes, path[0])
	}
	return makeBox(b.kind, pieces...), nil
}

// patched returns a change that writes a 32-bit number at an offset of a box.
func patched(offset int, value uint32) func([]byte) []byte {
	return func(data []byte) []byte {
		out := append([]byte(nil), data...)
		if len(out) >= offset+4 {
			binary.BigEndian.PutUint32(out[offset:], value)
		}
		return out
	}
}

// timescale reads the units per second of the track in an init section.
func timescale(init []byte) (uint32, error) {
	mdhd, err := child(init, "moov", "trak", "mdia", "mdhd")
	if err != nil {
		return 0, err
	}
	at := 20 // version 0: two times of 32 bits
	if len(mdhd.data) > 8 && mdhd.data[8] == 1 {
		at = 28
	}
	if len(mdhd.data) < at+4 {
		return 0, errBoxes
	}
	scale := binary.BigEndian.Uint32(mdhd.data[at:])
	if scale == 0 {
		return 0, errBoxes
	}
	return scale, nil
}

// mergedTrack returns the trak and trex of one rendition as track id: every
// version of its init section is a sample description of it.
func mergedTrack(versions [][]byte, id uint32) (trak, trex []byte, err error) {
	first, err := child(versions[0], "moov", "trak")
	if err != nil {
		return nil, nil, err
	}
	var entries [][]byte
	for _, init := range versions {
		stsd, err := child(init, "moov", "trak", "mdia", "minf", "stbl", "stsd")
		if err != nil {
			return nil, nil, err
		}
		if len(stsd.data) < 16 {
			return nil, nil, errBoxes
		}
		list, err := boxes(stsd.data[16:])
		if err != nil || len(list) != 1 {
			return nil, nil, fmt.Errorf("%w: not one sample description", errBoxes)
		}
		entries = append(entries, list[0].data)
	}
	head := binary.BigEndian.AppendUint32(make([]byte, 4, 8), uint32(len(entries)))
	stsd := makeBox("stsd", append([][]byte{head}, entries...)...)
	trak, err = replaced(first, func([]byte) []byte { return stsd }, "mdia", "minf", "stbl", "stsd")
	if err != nil {
		return nil, nil, err
	}
	idAt := 20 // of tkhd, version 0
	if tkhd, err := child(trak[8:], "tkhd"); err != nil {
		return nil, nil, err
	} else if len(tkhd.data) > 8 && tkhd.data[8] == 1 {
		idAt = 28
	}
	if trak, err = replaced(box{"trak", trak}, patched(idAt, id), "tkhd"); err != nil {
		return nil, nil, err
	}
	t, err := child(versions[0], "moov", "mvex", "trex")
	if err != nil {
		return nil, nil, err
	}
	return trak, patched(12, id)(t.data), nil
}

// retrack rewrites the fragments of a segment: they belong to track id, use the
// sample description with the index (0: as the track says), and begin at start
// in the track's units when they are further from it than slack.
func retrack(segment []byte, id, index uint32, start, slack uint64) ([]byte, error) {
	list, err := boxes(segment)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(segment)+64)
	var shift uint64
	first := true
	for _, b := range list {
		if b.kind != "moof" {
			out = append(out, b.data...)
			continue
		}
		traf, err := child(b.body(), "traf")
		if err != nil {
			return nil, err
		}
		if first {
			if shift, err = shiftOf(traf, start, slack); err != nil {
				return nil, err
			}
			first = false
		}
		next, err := retraf(traf, id, index, shift)
		if err != nil {
			return nil, err
		}
		moof, err := replaced(b, func([]byte) []byte { return next }, "traf")
		if err != nil {
			return nil, err
		}
		out = append(out, moof...)
	}
	return out, nil
}

// shiftOf is what to add to the decode times of a segment.
func shiftOf(traf box, start, slack uint64) (uint64, error) {
	tfdt, err := child(traf.body(), "tfdt")
	if err != nil {
		return 0, err
	}
	is, err := decodeTime(tfdt)
	if err != nil {
		return 0, err
	}
	if d := int64(start - is); d <= int64(slack) && d >= -int64(slack) {
		return 0, nil
	}
	return start - is, nil
}

func decodeTime(tfdt box) (uint64, error) {
	switch {
	case len(tfdt.data) >= 20 && tfdt.data[8] == 1:
		return binary.BigEndian.Uint64(tfdt.data[12:]), nil
	case len(tfdt.data) >= 16 && tfdt.data[8] == 0:
		return uint64(binary.BigEndian.Uint32(tfdt.data[12:])), nil
	}
	return 0, errBoxes
}

// Flags of tfhd and trun (ISO/IEC 14496-12 sections 8.8.7 and 8.8.8).
const (
	tfhdBaseOffset  = 0x1
	tfhdDescription = 0x2
	trunDataOffset  = 0x1
)

func retraf(traf box, id, index uint32, shift uint64) ([]byte, error) {
	list, err := boxes(traf.body())
	if err != nil {
		return nil, err
	}
	grown := 0
	var pieces [][]byte
	for _, b := range list {
		data := b.data
		switch b.kind {
		case "tfhd":
			if data, err = retfhd(data, id, index); err != nil {
				return nil, err
			}
			grown = len(data) - len(b.data)
		case "tfdt":
			data = append([]byte(nil), data...)
			t, err := decodeTime(b)
			if err != nil {
				return nil, err
			}
			if data[8] == 1 {
				binary.BigEndian.PutUint64(data[12:], t+shift)
			} else {
				binary.BigEndian.PutUint32(data[12:], uint32(t+shift))
			}
		case "trun":
			if len(data) >= 20 && data[11]&trunDataOffset != 0 && grown > 0 {
				data = append([]byte(nil), data...)
				binary.BigEndian.PutUint32(data[16:], binary.BigEndian.Uint32(data[16:])+uint32(grown))
			}
		}
		pieces = append(pieces, data)
	}
	return makeBox("traf", pieces...), nil
}

// retfhd sets the track and the sample description. Offsets must count from the
// moof, as CMAF wants it.
func retfhd(data []byte, id, index uint32) ([]byte, error) {
	if len(data) < 16 || data[11]&tfhdBaseOffset != 0 {
		return nil, errBoxes
	}
	out := append([]byte(nil), data...)
	binary.BigEndian.PutUint32(out[12:], id)
	if out[11]&tfhdDescription != 0 {
		if len(out) < 20 {
			return nil, errBoxes
		}
		binary.BigEndian.PutUint32(out[16:], max(index, 1))
		return out, nil
	}
	if index <= 1 {
		return out, nil
	}
	out[11] |= tfhdDescription
	out = append(out[:16:16], append(binary.BigEndian.AppendUint32(nil, index), out[16:]...)...)
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	return out, nil
}
