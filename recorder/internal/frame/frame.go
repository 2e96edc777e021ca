package frame

import (
	"strings"
	"time"

	"github.com/sluice-live/sluice"
)

// maxUnit bounds the bytes of one access unit.
const maxUnit = 8 << 20

// Unit is one access unit: a picture, or one packet of sound.
type Unit struct {
	Timestamp uint32    // RTP
	Captured  time.Time // of Timestamp
	Key       bool      // decodes without any other
	Data      []byte    // as an MP4 sample; with length prefixes where the codec has NAL units
	Format    *Format   // set where a decoder must be set up anew: it holds from this unit on
	Ticks     uint32    // of sound: duration in RTP ticks
	Gap       bool      // of sound: packets are missing directly before it
}

// Format is what a decoder must know before the first unit.
type Format struct {
	Codec         string // as in SDP, upper case
	MIME          string // RFC 6381
	Width, Height int    // pixels
	FrameRate     float64
	Channels      int
	Sets          [][]byte // H.264: SPS, PPS; H.265: VPS, SPS, PPS; AV1: the sequence header
	AAC           []byte   // AudioSpecificConfig
}

// Assembler makes units of one track.
type Assembler struct {
	codec        string
	depacketizer depacketizer
	unit         Unit
	size         int
	open         bool // a unit is being made
	bad          bool // it cannot be completed
	unsure       bool // packets were lost since the last whole unit
	needKey      bool
	dropped      uint64
}

// depacketizer knows a codec's payload format.
type depacketizer interface {
	// starts reports whether a payload is the first of a unit, as far as it shows.
	starts(payload []byte) bool
	// add takes the next payload of a unit and reports whether it made sense.
	add(payload []byte) bool
	// take ends the unit. format is not nil when it differs from the last.
	take() (data []byte, key bool, format *Format)
	// reset forgets an unfinished unit.
	reset()
}

// New returns an assembler of a video track, or nil when the codec is not known.
func New(t *sluice.Track) *Assembler {
	a := &Assembler{needKey: true, codec: strings.ToUpper(t.Codec)}
	switch a.codec {
	case "H264":
		a.depacketizer = newH264(t.Format)
	case "H265":
		a.depacketizer = newH265(t.Format)
	case "AV1":
		a.depacketizer = &av1{}
	case "VP8":
		a.depacketizer = &vp8{}
	case "VP9":
		a.depacketizer = &vp9{}
	default:
		return nil
	}
	return a
}

// Codec is the codec as in SDP, upper case.
func (a *Assembler) Codec() string { return a.codec }

// NeedsKeyframe reports whether nothing can be passed on until a keyframe comes.
func (a *Assembler) NeedsKeyframe() bool { return a.needKey }

// Dropped counts the units that were lost or useless.
func (a *Assembler) Dropped() uint64 { return a.dropped }

// Push takes the next packet in order and calls emit with the unit that it
// completes.
func (a *Assembler) Push(p *sluice.Packet, emit func(Unit)) {
	if p.Lost > 0 {
		a.abandon()
		a.unsure, a.needKey = true, true
	}
	if len(p.Payload) == 0 {
		return
	}
	if a.open && p.Timestamp != a.unit.Timestamp {
		a.finish(emit)
	}
	if !a.open {
		a.open, a.size = true, 0
		a.unit = Unit{Timestamp: p.Timestamp, Captured: p.Captured}
		a.bad = a.unsure && !a.depacketizer.starts(p.Payload)
		a.depacketizer.reset()
	}
	a.size += len(p.Payload)
	if a.bad = a.bad || a.size > maxUnit || !a.depacketizer.add(p.Payload); a.bad {
		a.depacketizer.reset()
	}
	if p.Marker {
		a.finish(emit)
	}
}

// abandon gives the unfinished unit up.
func (a *Assembler) abandon() {
	if a.open {
		a.open = false
		a.dropped++
		a.depacketizer.reset()
	}
}

func (a *Assembler) finish(emit func(Unit)) {
	a.open = false
	if a.bad {
		a.needKey = true
		a.dropped++
		return
	}
	a.unsure = false
	data, key, format := a.depacketizer.take()
	if len(data) == 0 {
		return // parameter sets or padding alone
	}
	if a.needKey && !key {
		a.dropped++
		return
	}
	a.needKey = false
	a.unit.Data, a.unit.Key, a.unit.Format = data, key, format
	emit(a.unit)
}

// lengthPrefixed joins NAL units as MP4 samples hold them (ISO/IEC 14496-15).
func lengthPrefixed(units [][]byte) []byte {
	size := 0
	for _, u := range units {
		size += 4 + len(u)
	}
	out := make([]byte, 0, size)
	for _, u := range units {
		n := len(u)
		out = append(append(out, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), u...)
	}
	return out
}

// aggregated calls f with each unit that has a two-byte length before it, and
// reports whether they fill b.
func aggregated(b []byte, f func([]byte)) bool {
	for len(b) > 2 {
		n := int(b[0])<<8 | int(b[1])
		b = b[2:]
		if n == 0 || n > len(b) {
			return false
		}
		f(b[:n])
		b = b[n:]
	}
	return len(b) == 0
}

// parameter returns a value of a format parameter line.
func parameter(fmtp, key string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(k, key) {
			return v
		}
	}
	return ""
}
