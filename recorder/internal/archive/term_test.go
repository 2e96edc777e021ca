package archive

import (
	"bytes"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

func aTerm(number uint64) Term {
	return Term{
		Meta: Meta{
			Recording: sluice.Recording{ID: "rec", Stream: "demo", Started: time.Unix(1, 0).UTC()}, Term: number,
			Renditions: []sluice.Rendition{{ID: "v", Kind: sluice.RenditionVideo}},
		},
		Before: []Written{{Term: number - 1, Lines: 3}},
	}
}

func logLines(t testing.TB, all ...logLine) []byte {
	t.Helper()
	var b []byte
	for _, l := range all {
		line, err := formatLine(l)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, line...)
	}
	return b
}

// TestLog reads lines of two renditions: what is known already, torn or removed does
// not count, and what is missing is a gap.
func TestLog(t *testing.T) {
	b := logLines(t,
		logLine{Rendition: "v", entry: numbered(3)}, logLine{Rendition: "a", entry: numbered(0)}, logLine{Rendition: "v", entry: numbered(4)}, logLine{Rendition: "v", entry: numbered(4)},
		logLine{Rendition: "v", entry: numbered(7)}, logLine{Rendition: "v", entry: entry{Removed: 4}})
	v := &View{segments: map[string][]kept{}}
	if n := v.add(append(b, "torn"...), 9, 0, chunkLines); n != 6 {
		t.Errorf("%d lines", n)
	}
	list := v.Segments()["v"]
	if len(list) != 4 || list[0].Sequence != 4 || list[3].Sequence != 7 || !list[1].Gap || !list[2].Gap || list[3].Gap {
		t.Errorf("%+v", list)
	}
	if k, ok := v.find("v", 7); !ok || k.term != 9 || k.crc != 7 {
		t.Errorf("%+v, %v", k, ok)
	}
	again := &View{segments: map[string][]kept{}}
	if n := again.add(b, 9, 0, 2); n != 2 || len(again.segments["v"]) != 1 {
		t.Errorf("%d lines of two that count", n)
	}
	if n := again.add(b, 9, 2, chunkLines); n != 6 || len(again.segments["v"]) != len(list) {
		t.Errorf("the rest of them: %d lines", n)
	}
}

func FuzzTerm(f *testing.F) {
	line, err := formatLine(aTerm(7))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line, logLines(f, logLine{Rendition: "v", entry: numbered(1)}, logLine{Rendition: "v", entry: numbered(2)}))
	f.Add(bytes.ToUpper(line), logLines(f, logLine{Rendition: "../v", entry: numbered(1)}))
	far := numbered(2)
	far.Segment.Sequence = 1 << 63
	f.Add([]byte("00000000 {}\n"), logLines(f, logLine{Rendition: "v", entry: numbered(1)}, logLine{Rendition: "v", entry: far}, logLine{Rendition: "v", entry: entry{Removed: 1 << 63}}))
	f.Fuzz(func(t *testing.T, b, log []byte) {
		if term, err := parseTerm(b, "rec"); err == nil && (term.ID != "rec" || term.Term == 0) {
			t.Errorf("%+v", term)
		}
		v := &View{segments: map[string][]kept{}}
		if n := v.add(log, 1, 0, chunkLines); n > bytes.Count(log, []byte{'\n'}) {
			t.Errorf("%d lines", n)
		}
		for id, list := range v.segments {
			if checkID(id) != nil {
				t.Errorf("rendition %q", id)
			}
			for i := 1; i < len(list); i++ {
				if list[i].Sequence != list[i-1].Sequence+1 {
					t.Error("numbers do not rise by one")
				}
			}
		}
	})
}
