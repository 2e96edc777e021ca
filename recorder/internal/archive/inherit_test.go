package archive

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// TestInheritWhatLags takes over a recording of which a transcoded rendition is behind
// the rest, and another had only been announced: all have the same discontinuities,
// and no number that players may have seen is free.
func TestInheritWhatLags(t *testing.T) {
	t.Parallel()
	const length = 2 * time.Second
	start := time.Unix(1_700_000_000, 0).UTC()
	at := func(n int) time.Time { return start.Add(time.Duration(n) * length) }
	view := &View{Term: aTerm(1), segments: map[string][]kept{}}
	view.Term.Renditions = []sluice.Rendition{{ID: "v", Kind: sluice.RenditionVideo}, {ID: "aac", Kind: sluice.RenditionAudio}, {ID: "h264", Kind: sluice.RenditionVideo}}
	for n := range 10 {
		s := sluice.Segment{Sequence: uint64(n), Init: 1, Start: at(n), Duration: length, Discontinuity: n == 3 || n == 8}
		s.Breaks = map[bool]uint64{n >= 3: 1}[true] + map[bool]uint64{n >= 8: 1}[true]
		view.segments["v"] = append(view.segments["v"], kept{Segment: s, term: 1})
		if n < 7 { // it has not come to the second discontinuity yet
			view.segments["aac"] = append(view.segments["aac"], kept{Segment: s, term: 1})
		}
	}
	next := view.Term
	next.Term = 2
	a := &Archive{Store: blob.NewMemory(1 << 20)}
	now := at(10).Add(3 * time.Second)
	all, gaps, err := a.Inherit(next, view, now, length)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 {
		t.Fatalf("%d renditions", len(all))
	}
	added := 0
	for id, list := range all {
		have := len(view.segments[id])
		added += len(list) - have
		breaks := uint64(0)
		for n, s := range list {
			if s.Discontinuity {
				breaks++
			}
			if s.Sequence != uint64(n) || s.Breaks != breaks || n >= have != s.Gap || s.Duration <= 0 {
				t.Errorf("%s: %+v", id, s)
			}
			if n > 0 && s.Start.Before(list[n-1].Start) {
				t.Errorf("%s: segment %d begins before the one before it", id, n)
			}
		}
		last := list[len(list)-1]
		if end := last.Start.Add(last.Duration); breaks != 2 || end.Before(now) || end.After(now.Add(5*time.Second)) {
			t.Errorf("%s: %d discontinuities, it ends %v after now", id, breaks, end.Sub(now))
		}
	}
	if added != len(gaps) {
		t.Errorf("%d gaps of %d are for the store", len(gaps), added)
	}
	again, err := a.Timeline(t.Context(), next.Meta)
	if err != nil || len(again["aac"]) != len(all["aac"]) || len(again["h264"]) != len(all["h264"]) {
		t.Errorf("the disk has %d and %d segments, %v", len(again["aac"]), len(again["h264"]), err)
	}
}
