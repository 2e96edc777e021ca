package sfu

import (
	"cmp"
	"slices"

	"github.com/sluice-live/sluice"
)

// ranked returns layers with the best first: the largest picture, then the
// highest measured bitrate.
func ranked(layers []*layer) []*layer {
	out := slices.Clone(layers)
	slices.SortStableFunc(out, func(a, b *layer) int {
		aw, ah := a.dimensions()
		bw, bh := b.dimensions()
		if c := cmp.Compare(bw*bh, aw*ah); c != 0 {
			return c
		}
		return cmp.Compare(b.bitrate(), a.bitrate())
	})
	return out
}

// candidate is what the choice of a layer depends on.
type candidate struct {
	rid           string
	width, height int
	active        bool // packets arrive
	keyframe      bool // it can be started or has been
}

// choose returns the index of the layer that a viewer should get, or -1 when
// there is none. Candidates are ranked, the best first. It is a pure function.
//
// A layer that the viewer named is taken as long as packets arrive. Otherwise it
// is the best active one within the limits, or the smallest active one when all
// are too large.
func choose(candidates []candidate, want sluice.LayerChoice) int {
	smallest := -1
	best := -1
	for i, c := range candidates {
		if !c.active {
			continue
		}
		if want.RID != "" && c.rid == want.RID {
			return i
		}
		if !c.keyframe {
			continue
		}
		smallest = i
		fits := (want.MaxWidth == 0 || c.width <= want.MaxWidth) && (want.MaxHeight == 0 || c.height <= want.MaxHeight)
		if fits && best < 0 {
			best = i
		}
	}
	if best < 0 {
		best = smallest
	}
	if best < 0 { // nothing has shown a keyframe yet: ask the best that is active
		best = slices.IndexFunc(candidates, func(c candidate) bool { return c.active })
	}
	return best
}

// menu is what all viewers of a shard choose from.
type menu struct {
	video      []*layer // ranked
	candidates []candidate
	audio      *layer
}

// read takes in what a publisher sends now.
func (c *menu) read(src *sources, now int64) {
	c.audio = src.audio
	c.video = ranked(src.video)
	c.candidates = c.candidates[:0]
	for _, l := range c.video {
		_, key := l.keyframe()
		w, h := l.dimensions()
		c.candidates = append(c.candidates, candidate{rid: l.rid, width: w, height: h, active: l.active(now), keyframe: key})
	}
}

// choose decides which layers a viewer gets. A stream without a publisher
// leaves what was wanted as it is: nothing comes, and the next publisher's
// layers replace it.
func (m *member) choose(c *menu, now int64) {
	if m.video != nil {
		if i := choose(c.candidates, m.want); i >= 0 {
			m.video.want(c.video[i], now)
		}
	}
	if m.audio != nil && c.audio != nil {
		m.audio.want(c.audio, now)
	}
}

// stop lets go of the layers of a viewer that has left.
func (m *member) stop() {
	for _, o := range []*outlet{m.video, m.audio} {
		if o != nil {
			hold(&o.wanted, nil)
			hold(&o.current, nil)
		}
	}
}
