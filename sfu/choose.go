package sfu

import (
	"cmp"
	"slices"
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
