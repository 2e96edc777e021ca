package clips

import (
	"errors"
	"time"
)

const oggPageHeader = 27

// readOgg reads the first Opus stream of an Ogg file (RFC 3533, RFC 7845).
func readOgg(raw []byte) (*Track, time.Duration, error) {
	packets, err := oggPackets(raw)
	if err != nil {
		return nil, 0, err
	}
	if len(packets) < 3 || len(packets[0]) < 8 || string(packets[0][:8]) != "OpusHead" {
		return nil, 0, errors.New("not an Ogg Opus file")
	}
	t := &Track{Codec: Opus}
	var at time.Duration
	for _, p := range packets[2:] { // after OpusHead and OpusTags
		d := opusDuration(p)
		if d == 0 {
			return nil, 0, errors.New("bad Opus packet")
		}
		t.frames = append(t.frames, frame{at: at, key: true, data: p})
		at += d
	}
	return t, at, nil
}

// oggPackets joins the lacing of the pages of the first stream.
func oggPackets(raw []byte) ([][]byte, error) {
	var packets [][]byte
	var open []byte
	for first := true; len(raw) >= oggPageHeader; first = false {
		if string(raw[:4]) != "OggS" {
			return nil, errors.New("not an Ogg page")
		}
		count := int(raw[26])
		if len(raw) < oggPageHeader+count {
			break
		}
		lacing, body := raw[oggPageHeader:oggPageHeader+count], raw[oggPageHeader+count:]
		total := 0
		for _, l := range lacing {
			total += int(l)
		}
		if total > len(body) {
			break // cut off
		}
		if first && raw[5]&2 == 0 {
			return nil, errors.New("the first Ogg page does not begin a stream")
		}
		raw = body[total:]
		for _, l := range lacing {
			open = append(open, body[:l]...)
			body = body[l:]
			if l < 255 {
				packets = append(packets, open)
				open = nil
			}
		}
	}
	return packets, nil
}

// opusDuration returns the length of an Opus packet (RFC 6716 3.1), 0 when it is
// malformed.
func opusDuration(p []byte) time.Duration {
	if len(p) == 0 {
		return 0
	}
	toc := p[0]
	var per time.Duration // of one frame
	switch config := toc >> 3; {
	case config < 12: // SILK
		per = []time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16: // hybrid
		per = []time.Duration{10, 20}[config&1] * time.Millisecond
	default: // CELT
		per = []time.Duration{2500, 5000, 10000, 20000}[config&3] * time.Microsecond
	}
	switch toc & 3 {
	case 0:
		return per
	case 1, 2:
		return 2 * per
	}
	if len(p) < 2 {
		return 0
	}
	d := time.Duration(p[1]&0x3f) * per
	if d > 120*time.Millisecond {
		return 0
	}
	return d
}
