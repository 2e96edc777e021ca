package sfu

import (
	"github.com/sluice-live/sluice/sfu/internal/choice"
)

// Cap says which streams' viewers do not get the best layer, to save what the
// node sends. It never takes the only layer away.
type Cap int32

const (
	CapNone Cap = iota
	CapLow      // streams of the lowest tier
	CapAll
)

// SetCap takes effect within a tenth of a second, with the next keyframes.
func (s *SFU) SetCap(c Cap) { s.cap.Store(int32(c)) }

// rank is the tier of the stream, as its publisher's grant says.
func (p *Publisher) rank() int {
	if p.relay != nil {
		return p.relay.told.Load().Tier
	}
	return p.tier
}

// ceiling is the most lines that a picture may have, 0 for any. It is those of
// the second largest layer.
func (p *Publisher) ceiling(layers []choice.Layer) int {
	if p == nil {
		return 0
	}
	switch Cap(p.sfu.cap.Load()) {
	case CapLow:
		if p.rank() > 0 {
			return 0
		}
	case CapAll:
	default:
		return 0
	}
	largest, second := 0, 0
	for _, l := range layers {
		if !l.Active || l.Height == 0 {
			continue
		}
		if l.Height > largest {
			largest, second = l.Height, largest
		} else if l.Height < largest {
			second = max(second, l.Height)
		}
	}
	return second
}

// under limits a viewer's choice to pictures of so many lines. A layer that the
// viewer has asked for and that is larger is not forwarded either.
func under(ceiling int, l choice.Limits, layers []choice.Layer) choice.Limits {
	if ceiling == 0 {
		return l
	}
	if l.MaxHeight == 0 || l.MaxHeight > ceiling {
		l.MaxHeight, l.Capped = ceiling, true
	}
	if l.RID == "" && !l.Spatial.Set {
		return l
	}
	for _, o := range layers {
		if (l.RID == "" || l.RID == o.RID) && (!l.Spatial.Set || l.Spatial.N == o.Spatial) && o.Height <= ceiling {
			return l
		}
	}
	l.RID, l.Spatial = "", choice.ID{}
	return l
}
