package fmp4

import (
	"encoding/binary"
	"slices"
)

// Sample is one access unit of a fragment.
type Sample struct {
	Ticks  uint32 // duration
	Offset uint32 // from when it is decoded to when it is shown
	Key    bool
	Data   []byte
}

const (
	flagsKey   = 0x02000000 // depends on no other
	flagsOther = 0x01010000 // depends on others, no sync sample
	sampleSize = 12         // bytes of one entry of trun, without its offset
	timed      = 0x000701   // trun has the offset of data; of each sample duration, size and flags
	shifted    = 0x000800   // and from when it is decoded to when it is shown
	// headSize is moof without the entries of trun.
	headSize = 8 + 16 + 8 + 20 + 20 + 20
)

// Fragment returns moof and mdat of consecutive samples of one track. number is
// that of the fragment in its track; start is the decode time of the first
// sample.
func Fragment(track, number uint32, start uint64, samples []Sample) []byte {
	row, form := sampleSize, uint32(timed)
	if slices.ContainsFunc(samples, func(s Sample) bool { return s.Offset > 0 }) {
		row, form = sampleSize+4, timed|shifted
	}
	moof := headSize + row*len(samples)
	size := moof + 8
	for _, s := range samples {
		size += len(s.Data)
	}
	b := make([]byte, 0, size)
	u32 := func(values ...uint32) {
		for _, v := range values {
			b = binary.BigEndian.AppendUint32(b, v)
		}
	}
	box := func(n int, kind string) {
		u32(uint32(n))
		b = append(b, kind...)
	}
	box(moof, "moof")
	box(16, "mfhd")
	u32(0, number)
	box(moof-24, "traf")
	box(20, "tfhd")
	u32(0x020002, track, 1) // default-base-is-moof, sample-description-index
	box(20, "tfdt")
	u32(1<<24, uint32(start>>32), uint32(start))
	box(20+row*len(samples), "trun")
	u32(form, uint32(len(samples)), uint32(moof+8))
	for _, s := range samples {
		flags := uint32(flagsOther)
		if s.Key {
			flags = flagsKey
		}
		u32(s.Ticks, uint32(len(s.Data)), flags)
		if row > sampleSize {
			u32(s.Offset)
		}
	}
	box(size-moof, "mdat")
	for _, s := range samples {
		b = append(b, s.Data...)
	}
	return b
}

// Found is a whole fragment inside a file.
type Found struct {
	Offset, Size int64
	Start        uint64 // decode time
	Ticks        uint64 // duration
	Samples      int
	Key          bool // begins with a keyframe
}

// Walk lists the whole fragments that a file begins with, as Fragment writes
// them, and stops at whatever else comes: the torn tail of a crash.
func Walk(b []byte) []Found {
	var all []Found
	at := int64(0)
	for {
		f, ok := first(b[at:])
		if !ok {
			return all
		}
		f.Offset = at
		all = append(all, f)
		at += f.Size
	}
}

// first reads the fragment at the beginning of b.
func first(b []byte) (f Found, ok bool) {
	if len(b) < headSize+8 || string(b[4:8]) != "moof" {
		return f, false
	}
	moof := int64(binary.BigEndian.Uint32(b))
	if moof < headSize || moof+8 > int64(len(b)) {
		return f, false
	}
	const traf, tfhd, tfdt, trun = 24, 32, 52, 72
	for at, kind := range map[int]string{8: "mfhd", traf: "traf", tfhd: "tfhd", tfdt: "tfdt", trun: "trun"} {
		if string(b[at+4:at+8]) != kind {
			return f, false
		}
	}
	row := int64(sampleSize)
	if binary.BigEndian.Uint32(b[trun+8:])&shifted != 0 {
		row += 4
	}
	count := int64(binary.BigEndian.Uint32(b[trun+12:]))
	if count*row != moof-headSize || count == 0 {
		return f, false
	}
	mdat := b[moof:]
	size := int64(binary.BigEndian.Uint32(mdat))
	if string(mdat[4:8]) != "mdat" || size < 8 || size > int64(len(mdat)) {
		return f, false
	}
	sum := int64(8)
	for entry := b[headSize:moof]; len(entry) > 0; entry = entry[row:] {
		f.Ticks += uint64(binary.BigEndian.Uint32(entry))
		sum += int64(binary.BigEndian.Uint32(entry[4:]))
	}
	f.Start = binary.BigEndian.Uint64(b[tfdt+12:])
	f.Key = binary.BigEndian.Uint32(b[headSize+8:]) == flagsKey
	f.Samples, f.Size = int(count), moof+size
	return f, sum == size
}
