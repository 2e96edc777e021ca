package archive

import (
	"bytes"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

func lines(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var all []byte
	for _, e := range entries {
		line, err := formatLine(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, line...)
	}
	return all
}

func numbered(seq uint64) entry {
	return entry{CRC: 7, Segment: &sluice.Segment{Sequence: seq, Init: 1, Start: time.Unix(int64(seq), 5).UTC(), Duration: 2 * time.Second, Size: 9,
		Parts: []sluice.Part{{Duration: 2 * time.Second, Bytes: sluice.ByteRange{Length: 9}}}}}
}

// TestTornIndex cuts and damages an index at every byte: what is before it
// stands, what is behind it is not believed.
func TestTornIndex(t *testing.T) {
	whole := lines(t, numbered(4), numbered(5), numbered(6))
	first := int64(len(lines(t, numbered(4))))
	for n := range len(whole) {
		segments, good := parseIndex(whole[:n])
		if want := int64(len(segments)) * first; good != want || good > int64(n) {
			t.Fatalf("of %d bytes %d are good, with %d segments", n, good, len(segments))
		}
		damaged := bytes.Clone(whole)
		damaged[n] ^= 1
		if segments, _ := parseIndex(damaged); int64(len(segments)) > int64(n)/first {
			t.Fatalf("%d segments with byte %d damaged", len(segments), n)
		}
	}
}

func TestIndex(t *testing.T) {
	for name, tt := range map[string]struct {
		entries []entry
		want    []uint64
	}{
		"in order":          {[]entry{numbered(0), numbered(1)}, []uint64{0, 1}},
		"a number twice":    {[]entry{numbered(3), numbered(3), numbered(4)}, []uint64{3}},
		"a number left out": {[]entry{numbered(3), numbered(5)}, []uint64{3}},
		"removed":           {[]entry{numbered(3), numbered(4), {Removed: 4}, numbered(5)}, []uint64{4, 5}},
		"all removed":       {[]entry{numbered(3), {Removed: 9}, numbered(4)}, []uint64{3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			segments, _ := parseIndex(lines(t, tt.entries...))
			var got []uint64
			for _, s := range segments {
				got = append(got, s.Sequence)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("%v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("%v, want %v", got, tt.want)
				}
			}
		})
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(lines(f, numbered(1), numbered(2)))
	f.Add(lines(f, numbered(1), entry{Removed: 1}))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		segments, good := parseIndex(b)
		if good > int64(len(b)) || good > 0 && b[good-1] != '\n' {
			t.Fatalf("%d of %d bytes", good, len(b))
		}
		again, same := parseIndex(b[:good])
		if same != good || len(again) != len(segments) {
			t.Fatal("the good part reads otherwise alone")
		}
		for i := 1; i < len(segments); i++ {
			if segments[i].Sequence != segments[i-1].Sequence+1 {
				t.Fatal("numbers do not rise by one")
			}
		}
	})
}
