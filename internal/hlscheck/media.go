package hlscheck

import "encoding/binary"

// mediaCheck looks into the fragments of a rendition: decode times that go on,
// and parts that begin with a sync sample when they say so.
type mediaCheck struct {
	fail  func(rule, format string, args ...any)
	next  uint64 // decode time that the next fragment must have
	known bool
}

// gap forgets what should come next.
func (m *mediaCheck) gap() { m.known = false }

func (m *mediaCheck) part(p Part, data []byte) {
	first := true
	for len(data) >= 8 {
		size := uint64(binary.BigEndian.Uint32(data))
		if size < 8 || size > uint64(len(data)) {
			m.fail("3.1.2", "part %s holds malformed boxes", p.URI)
			return
		}
		if string(data[4:8]) == "moof" {
			m.fragment(p, data[8:size], first)
			first = false
		}
		data = data[size:]
	}
	if first || len(data) > 0 {
		m.fail("3.1.2", "part %s holds no fragment, or half of one", p.URI)
	}
}

func (m *mediaCheck) fragment(p Part, moof []byte, first bool) {
	traf := find(moof, "traf")
	tfhd, tfdt, trun := find(traf, "tfhd"), find(traf, "tfdt"), find(traf, "trun")
	if len(tfhd) < 8 || len(tfdt) < 8 || len(trun) < 8 {
		m.fail("3.1.2", "part %s has a fragment without tfhd, tfdt or trun", p.URI)
		return
	}
	at := uint64(binary.BigEndian.Uint32(tfdt[4:]))
	if tfdt[0] == 1 && len(tfdt) >= 12 {
		at = binary.BigEndian.Uint64(tfdt[4:])
	}
	if m.known && at != m.next {
		if off := int64(at - m.next); off > 2 || off < -2 { // rounding of its start
			m.fail("3.1.2", "part %s begins %d units after the end of the one before it", p.URI, off)
		}
	}
	samples := parseRun(tfhd, trun)
	m.next, m.known = at+samples.duration, samples.timed
	if first && samples.flagged && p.Independent && !samples.sync {
		m.fail("4.4.4.9", "part %s says INDEPENDENT and begins with a sample that is not", p.URI)
	}
}

type samples struct {
	duration             uint64
	timed, sync, flagged bool
}

// parseRun reads durations and the first sample's flags (ISO/IEC 14496-12
// sections 8.8.7 and 8.8.8).
func parseRun(tfhd, trun []byte) (s samples) {
	flags := binary.BigEndian.Uint32(tfhd) & 0xffffff
	at := 8
	var each, defaults uint32
	for _, field := range []struct {
		flag uint32
		size int
		to   *uint32
	}{{0x1, 8, nil}, {0x2, 4, nil}, {0x8, 4, &each}, {0x10, 4, nil}, {0x20, 4, &defaults}} {
		if flags&field.flag == 0 {
			continue
		}
		if len(tfhd) < at+field.size {
			return s
		}
		if field.to != nil {
			*field.to = binary.BigEndian.Uint32(tfhd[at:])
		}
		at += field.size
	}
	s.timed = flags&0x8 != 0
	s.flagged = flags&0x20 != 0
	runFlags, count := binary.BigEndian.Uint32(trun)&0xffffff, binary.BigEndian.Uint32(trun[4:])
	rest := trun[8:]
	if runFlags&0x1 != 0 {
		rest = rest[min(4, len(rest)):]
	}
	first := defaults
	if runFlags&0x4 != 0 && len(rest) >= 4 {
		first, s.flagged = binary.BigEndian.Uint32(rest), true
		rest = rest[4:]
	}
	row := 0
	for _, flag := range []uint32{0x100, 0x200, 0x400, 0x800} {
		if runFlags&flag != 0 {
			row += 4
		}
	}
	if uint64(len(rest)) < uint64(count)*uint64(row) {
		return samples{}
	}
	if runFlags&0x400 != 0 && count > 0 && runFlags&0x4 == 0 {
		flagsAt := 0
		for _, flag := range []uint32{0x100, 0x200} {
			if runFlags&flag != 0 {
				flagsAt += 4
			}
		}
		first, s.flagged = binary.BigEndian.Uint32(rest[flagsAt:]), true
	}
	s.sync = first&0x10000 == 0 // sample_is_non_sync_sample
	s.duration = uint64(each) * uint64(count)
	if runFlags&0x100 != 0 {
		s.duration, s.timed = 0, true
		for i := range int(count) {
			s.duration += uint64(binary.BigEndian.Uint32(rest[i*row:]))
		}
	}
	return s
}

// find returns the body of the first box of a kind.
func find(data []byte, kind string) []byte {
	for len(data) >= 8 {
		size := uint64(binary.BigEndian.Uint32(data))
		if size < 8 || size > uint64(len(data)) {
			return nil
		}
		if string(data[4:8]) == kind {
			return data[8:size]
		}
		data = data[size:]
	}
	return nil
}
