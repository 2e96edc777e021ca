package recorder

import (
	"math"

	"github.com/sluice-live/sluice"
)

// measure adds a segment to the rendition's bit rates.
func (o *output) measure(g sluice.Segment) {
	if g.Gap || g.Duration <= 0 {
		return
	}
	bits := float64(g.Size) * 8
	o.bits += bits
	o.seconds += g.Duration.Seconds()
	o.what.Average = int(o.bits / o.seconds)
	if g.Duration >= o.show.recorder.cfg.Segment/2 { // RFC 8216bis section 4.4.6.2: a lone short one does not count
		o.what.Peak = max(o.what.Peak, int(math.Ceil(bits/g.Duration.Seconds())))
	}
}

// differs reports whether what was described is out of date by a twentieth.
func (o *output) differs() bool {
	off := func(a, b float64) bool { return math.Abs(a-b) > b/20 }
	return off(float64(o.what.Peak), float64(o.told.Peak)) || off(float64(o.what.Average), float64(o.told.Average)) ||
		off(o.what.FrameRate, o.told.FrameRate)
}

// usualRate returns the rate that was meant by a measured one.
func usualRate(measured float64) float64 {
	for _, usual := range []float64{15, 20, 24, 25, 30, 50, 60, 120} {
		if math.Abs(measured-usual) < usual/50 {
			return usual
		}
	}
	return math.Round(measured*1000) / 1000
}
