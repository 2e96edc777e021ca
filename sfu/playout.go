package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/extension"
)

// playoutDelayURI names the header extension that says how long a receiver
// should hold a picture back: 12 bits of minimum and 12 bits of maximum, in
// units of playoutDelayUnit. A sender repeats it until a report shows that it
// has come through.
const playoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

const (
	playoutDelayUnit  = 10 * time.Millisecond
	playoutDelayBytes = 3
	playoutDelayMask  = 1<<12 - 1
	// playoutDelaySet marks a value, which may be zero.
	playoutDelaySet = 1 << 31
)

// MaxPlayoutDelay is the longest that the extension can ask for.
const MaxPlayoutDelay = playoutDelayMask * playoutDelayUnit

// playoutDelayOf is what the configuration asks of viewers; 0: nothing.
func playoutDelayOf(c Config) uint32 {
	if c.PlayoutDelayMax == 0 {
		return 0
	}
	return playoutDelaySet | uint32(c.PlayoutDelayMin/playoutDelayUnit)<<12 | uint32(c.PlayoutDelayMax/playoutDelayUnit)
}

// noteDelay takes the extension of a publisher's packet; nil when it has none.
func (l *layer) noteDelay(data []byte) {
	if len(data) == playoutDelayBytes {
		l.delay.Store(playoutDelaySet | uint32(data[0])<<16 | uint32(data[1])<<8 | uint32(data[2]))
	}
}

// playoutDelay is what a viewer is told. The zero value has told nothing.
type playoutDelay struct {
	value     uint32
	first     uint16 // sequence number of the first packet that said so
	confirmed bool
	data      [playoutDelayBytes]byte
	element   [1]extension.Element
}

// extras returns the header extensions of the packet with a sequence number,
// beside the transport-wide number. They are valid until the next call.
func (o *outlet) extras(sh *shard, seq uint64) []extension.Element {
	if o.track.delayID == 0 {
		return nil
	}
	value := o.current.delay.Load()
	if value == 0 {
		value = sh.sfu.delay
	}
	d := &o.delay
	if value != d.value && value != 0 {
		d.value, d.first, d.confirmed = value, uint16(seq), false
		d.data = [playoutDelayBytes]byte{byte(value >> 16), byte(value >> 8), byte(value)}
		d.element[0] = extension.Element{ID: o.track.delayID, Data: d.data[:]}
	}
	if d.value == 0 || d.confirmed {
		return nil
	}
	return d.element[:]
}

// confirm takes the greatest sequence number that a viewer has reported.
func (d *playoutDelay) confirm(highest uint16) {
	if d.value != 0 && int16(highest-d.first) >= 0 {
		d.confirmed = true
	}
}

// extensionID returns the id that was negotiated for a header extension; 0 for
// none, and for those that only the two-byte form has room for.
func extensionID(negotiated []webrtc.RTPHeaderExtensionParameter, uri string) uint8 {
	for _, e := range negotiated {
		if e.URI == uri && e.ID > 0 && e.ID < 15 {
			return uint8(e.ID)
		}
	}
	return 0
}
