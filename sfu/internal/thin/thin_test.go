package thin

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// vp8 is the pattern of three temporal layers that browsers send: "+" marks a
// frame that refers to the lowest layer only.
func vp8() []string { return []string{"0", "2+", "1+", "2", "0", "2", "1", "2"} }

// show feeds a pattern from its n-th frame on and writes down what is kept.
func show(f *Filter, pattern []string, from, n int) string {
	var kept []string
	for i := from; i < from+n; i++ {
		name := pattern[i%len(pattern)]
		p := codec.Frame{
			Layered: true, Temporal: name[0] - '0', Begin: true, End: true, Sync: strings.HasSuffix(name, "+"),
			Number: uint16(i), Consecutive: true, Key: i == 0,
		}
		if v := f.Next(&p, uint32(i)*3000); v.Keep {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, " ")
}

func TestTemporalLayersOfVP8(t *testing.T) {
	var f Filter
	f.Start(Point{3, 0})
	if got, want := show(&f, vp8(), 0, 8), "0 0"; got != want {
		t.Errorf("the lowest layer is %q, want %q", got, want)
	}
	f.Aim(Point{3, 1}, 0)
	if got, want := show(&f, vp8(), 12, 12), "0 0 1+ 0 1"; got != want {
		t.Errorf("one layer up %q, want %q: only where the frame refers to the lowest layer", got, want)
	}
	f.Aim(Whole(), 0)
	if got, want := show(&f, vp8(), 24, 16), "0 2+ 1+ 2 0 2 1 2 0 2+ 1+ 2 0 2 1 2"; got != want {
		t.Errorf("all %q, want %q", got, want)
	}
	f.Aim(Point{3, 1}, 39*3000)
	if got, want := show(&f, vp8(), 40, 8), "0 1+ 0 1"; got != want {
		t.Errorf("down again %q, want %q", got, want)
	}
	if got := f.Now(); got != (Point{3, 1}) {
		t.Errorf("now %+v", got)
	}
}

func TestDownAtTheNextPictureOnly(t *testing.T) {
	var f Filter
	f.Start(Whole())
	if !f.Asleep() {
		t.Fatal("not asleep with nothing to leave out")
	}
	f.Aim(Point{0, 3}, 3000)
	for i, tt := range []struct {
		ts      uint32
		spatial uint8
		want    Verdict
	}{
		{3000, 1, Verdict{Keep: true}}, // of the picture that was under way
		{3000, 2, Verdict{Keep: true}},
		{6000, 0, Verdict{Keep: true, Marker: true}},
		{6000, 1, Verdict{}},
		{6000, 2, Verdict{}},
		{9000, 0, Verdict{Keep: true, Marker: true}},
	} {
		p := codec.Frame{Layered: true, Spatial: tt.spatial, Begin: true, End: true}
		if got := f.Next(&p, tt.ts); got != tt.want {
			t.Errorf("packet %d: %+v, want %+v", i, got, tt.want)
		}
	}
	if f.Waits() {
		t.Error("waits for a keyframe without a wish")
	}
	f.Aim(Whole(), 9000)
	upper := codec.Frame{Layered: true, Spatial: 1, Begin: true, End: true}
	if f.Next(&upper, 12000).Keep || !f.Waits() {
		t.Error("an upper layer is let through without a keyframe, or none is asked for")
	}
	key := codec.Frame{Layered: true, Begin: true, Key: true}
	f.Next(&key, 15000)
	if !f.Next(&upper, 15000).Keep || f.Waits() || !f.Asleep() {
		t.Error("the keyframe does not bring the upper layers")
	}
}

// TestReferences: frames whose references are told come back as soon as they
// refer to nothing that was left out.
func TestReferences(t *testing.T) {
	// Two temporal layers, where the upper one refers to its own last frame in
	// every other pair.
	frame := func(i int) codec.Frame {
		p := codec.Frame{Layered: true, Begin: true, End: true, RefsSet: true, Number: uint16(65530 + i), Temporal: uint8(i % 2), Key: i == 0}
		switch i % 4 {
		case 0, 2:
			p.Refs = 1 << 1
		case 1:
			p.Refs = 1 << 0
		case 3:
			p.Refs = 1<<0 | 1<<1
		}
		if i == 0 {
			p.Refs = 0
		}
		return p
	}
	var f Filter
	f.Start(Point{3, 0})
	var kept []int
	for i := range 40 {
		if i == 10 {
			f.Aim(Whole(), 0)
		}
		p := frame(i)
		if f.Next(&p, uint32(i)*3000).Keep {
			kept = append(kept, i)
		}
	}
	want := []int{0, 2, 4, 6, 8, 10, 12}
	for i := 13; i < 40; i++ {
		want = append(want, i)
	}
	if !slices.Equal(kept[:9], []int{0, 2, 4, 6, 8, 10, 12, 13, 14}) || len(kept) != len(want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	for i := 40; i < 120; i++ {
		p := frame(i)
		f.Next(&p, uint32(i)*3000)
	}
	if !f.Asleep() {
		t.Error("still watching long after the last frame was left out")
	}
}

func TestWhatIsMissingBelongsToTheFrameLeftOut(t *testing.T) {
	base := func(number uint16, begin, end bool) codec.Frame {
		return codec.Frame{Layered: true, Begin: begin, End: end, Number: number, Consecutive: true}
	}
	upper := func(number uint16, begin, end bool) codec.Frame {
		p := base(number, begin, end)
		p.Temporal = 1
		return p
	}
	for _, tt := range []struct {
		name   string
		before []codec.Frame
		p      codec.Frame
		want   Verdict
	}{
		{"another packet of it", []codec.Frame{upper(2, true, false)}, upper(2, false, true), Verdict{Joined: true}},
		{"the next frame, its end lost", []codec.Frame{upper(2, true, false)}, base(3, true, false), Verdict{Keep: true, Joined: true}},
		{"the next frame, nothing lost", []codec.Frame{upper(2, true, true)}, base(3, true, false), Verdict{Keep: true}},
		{"the frame after a lost one", []codec.Frame{upper(2, true, false)}, base(4, true, false), Verdict{Keep: true}},
		{"the next frame, its start lost", []codec.Frame{upper(2, true, false)}, base(3, false, false), Verdict{Keep: true}},
		{"the next frame to leave out", []codec.Frame{upper(2, true, false)}, upper(3, true, true), Verdict{Joined: true, Picture: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f Filter
			f.Start(Point{3, 0})
			for i := range tt.before {
				f.Next(&tt.before[i], 3000*uint32(tt.before[i].Number))
			}
			if got := f.Next(&tt.p, 3000*uint32(tt.p.Number)); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestLatePacketsFollowTheirLayer(t *testing.T) {
	var f Filter
	f.Start(Point{3, 0})
	show(&f, vp8(), 0, 8)
	for temporal, want := range []bool{true, false, false} {
		p := codec.Frame{Layered: true, Temporal: uint8(temporal), Begin: true}
		if got := f.Next(&p, 3000).Keep; got != want {
			t.Errorf("late packet of layer %d: %v", temporal, got)
		}
	}
}

// FuzzNext: whatever is fed, nothing is let through that refers to a frame that
// was left out.
func FuzzNext(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0x80, 5, 6, 7})
	f.Add([]byte{0xff, 0x3, 0x80, 0x41, 0x10})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var filter Filter
		filter.Start(Point{0, 0})
		left := map[uint16]bool{}
		for i, b := range steps {
			if b&0x80 != 0 {
				filter.Aim(Point{b & 3, b >> 2 & 3}, uint32(i))
			}
			p := codec.Frame{
				Layered: true, Begin: true, End: true, RefsSet: true, Number: uint16(65500 + i),
				Temporal: b & 3, Refs: uint64(b >> 2 & 15),
			}
			if filter.Next(&p, uint32(i+1)*10).Keep {
				for n := range 4 {
					if p.Refs>>n&1 != 0 && left[p.Number-uint16(n)-1] {
						t.Fatalf("frame %d refers to one that was left out", i)
					}
				}
			} else {
				left[p.Number] = true
			}
		}
	})
}
