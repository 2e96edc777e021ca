package archive

import (
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
)

// TestRecoverUsesNoNumberTwice: of what was being written, the whole parts become
// a segment under a name of its own; where nothing was written yet, a gap takes the
// number. A second look changes nothing.
func TestRecoverUsesNoNumberTwice(t *testing.T) {
	t.Parallel()
	a := &Archive{Store: blob.NewMemory(1 << 20)}
	start := time.Unix(1_700_000_000, 0).UTC()
	m := Meta{
		Recording:  sluice.Recording{ID: "rec", Stream: "demo", Started: start},
		Origin:     start.UnixNano(),
		Renditions: []sluice.Rendition{{ID: "torn", Kind: sluice.RenditionVideo}, {ID: "between", Kind: sluice.RenditionVideo}},
	}
	w := a.NewWriter("rec", Limits{Queue: 1 << 20, Space: func() error { return nil }, Done: func(Outcome) {}}, slog.New(slog.DiscardHandler))
	w.Meta(m)
	part := func(second int) []byte {
		return fmp4.Fragment(fmp4.VideoTrack, 1, uint64(second)*fmp4.VideoTimescale, []fmp4.Sample{{Ticks: fmp4.VideoTimescale, Key: true, Data: []byte("key")}})
	}
	for _, id := range []string{"torn", "between"} {
		w.Init(id, 1, []byte("init"))
		data := part(0)
		w.Part(id, 0, data)
		w.Segment(id, sluice.Segment{Init: 1, Start: start, Duration: time.Second, Size: int64(len(data)), Parts: []sluice.Part{{Duration: time.Second, Bytes: sluice.ByteRange{Length: int64(len(data))}}}})
	}
	w.Part("torn", 1, part(1))
	w.Part("torn", 1, part(2)[:20])
	w.Close()

	first, err := a.Recover(m)
	if err != nil || first.Adopted != 1 || first.Passed != 1 || first.Trimmed != 20 {
		t.Fatalf("%+v, %v", first, err)
	}
	if s := first.Segments["torn"]; len(s) != 2 || !s[1].Repaired || s[1].Gap || s[1].Duration != time.Second {
		t.Errorf("torn: %+v", s)
	}
	if s := first.Segments["between"]; len(s) != 2 || !s[1].Gap || s[1].Sequence != 1 || s[1].Duration != time.Second {
		t.Errorf("between: %+v", s)
	}
	again, err := a.Recover(m)
	if err != nil || again.Adopted != 0 || again.Passed != 0 || len(again.Segments["torn"]) != 2 || len(again.Segments["between"]) != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}
	m.Closed = true
	if closed, err := a.Recover(m); err != nil || closed.Passed != 0 {
		t.Errorf("closed: %+v, %v", closed, err)
	}
}
