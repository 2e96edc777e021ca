package fmp4

import (
	"bytes"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"
)

func fragments() []byte {
	one := Fragment(VideoTrack, 1, 900_000, []Sample{{Ticks: 3000, Key: true, Data: []byte("key")}, {Ticks: 3003, Data: []byte("other")}})
	two := Fragment(VideoTrack, 2, 906_003, []Sample{{Ticks: 3000, Offset: 1500, Data: []byte("x")}})
	return append(one, two...)
}

// TestFragment reads what is written with another implementation.
func TestFragment(t *testing.T) {
	f, err := mp4.DecodeFile(bytes.NewReader(fragments()))
	if err != nil {
		t.Fatal(err)
	}
	samples, err := f.Segments[0].Fragments[0].GetFullSamples(nil)
	if err != nil || len(samples) != 2 || samples[0].DecodeTime != 900_000 || samples[1].DecodeTime != 903_000 || samples[1].Dur != 3003 ||
		string(samples[1].Data) != "other" || !samples[0].IsSync() || samples[1].IsSync() {
		t.Errorf("%+v, %v", samples, err)
	}
	late, err := f.Segments[0].Fragments[1].GetFullSamples(nil)
	if err != nil || len(late) != 1 || late[0].DecodeTime != 906_003 || late[0].PresentationTime() != 907_503 {
		t.Errorf("%+v, %v", late, err)
	}
}

// TestWalk cuts a file at every byte: only whole fragments are found.
func TestWalk(t *testing.T) {
	b := fragments()
	whole := Walk(b)
	if len(whole) != 2 || whole[0].Ticks != 6003 || whole[0].Start != 900_000 || !whole[0].Key || whole[1].Key || whole[1].Offset+whole[1].Size != int64(len(b)) {
		t.Fatalf("%+v", whole)
	}
	for n := range len(b) {
		want := 0
		if int64(n) >= whole[0].Size {
			want = 1
		}
		if got := Walk(b[:n]); len(got) != want {
			t.Errorf("of %d bytes: %+v", n, got)
		}
	}
}

func FuzzWalk(f *testing.F) {
	f.Add(fragments())
	f.Add(fragments()[:150])
	f.Add([]byte("\x00\x00\x00\x08moof"))
	f.Fuzz(func(t *testing.T, b []byte) {
		at := int64(0)
		for _, found := range Walk(b) {
			if found.Offset != at || found.Size <= 0 || found.Samples < 1 {
				t.Fatalf("%+v at %d", found, at)
			}
			at += found.Size
		}
		if at > int64(len(b)) {
			t.Fatalf("%d of %d bytes", at, len(b))
		}
	})
}
