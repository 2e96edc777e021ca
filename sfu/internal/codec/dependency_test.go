package codec

import (
	"bytes"
	"testing"
)

// bits writes fields for tests: pairs of value and width.
func bits(fields ...uint32) []byte {
	w := bitWriter{b: make([]byte, MaxDependency)}
	for i := 0; i < len(fields); i += 2 {
		w.bits(fields[i], int(fields[i+1]))
	}
	return w.b[:(w.at+7)/8]
}

// twoByTwo is a keyframe's extension with a structure of two spatial and two
// temporal layers, four decode targets, two chains and sizes.
func twoByTwo() []byte {
	fields := []uint32{
		1, 1, 0, 1, 5, 6, 1000, 16, // first packet, template 5, frame 1000
		1, 1, 0, 1, 0, 1, 0, 1, 0, 1, // with a structure
		5, 6, 3, 5, // offset 5, four decode targets
		1, 2, 2, 2, 1, 2, 3, 2, // layers: 0/0, 0/1, 1/0, 1/1
	}
	for _, dtis := range [][4]uint32{{2, 2, 2, 2}, {0, 1, 0, 1}, {0, 0, 2, 2}, {0, 0, 0, 1}} {
		for _, dti := range dtis {
			fields = append(fields, dti, 2)
		}
	}
	fields = append(fields,
		1, 1, 3, 4, 0, 1, // 0/0 refers to the frame 4 before
		1, 1, 1, 4, 0, 1, // 0/1: 2 before
		1, 1, 3, 4, 1, 1, 0, 4, 0, 1, // 1/0: 4 and 1 before
		1, 1, 1, 4, 1, 1, 0, 4, 0, 1, // 1/1: 2 and 1 before
		2, 2, // two chains: ns(5) has 2 bits for values below 3
		0, 1, 0, 1, 1, 1, 1, 1, // decode targets are protected by
	)
	for range 8 {
		fields = append(fields, 1, 4)
	}
	fields = append(fields, 1, 1, 319, 16, 179, 16, 639, 16, 359, 16)
	return bits(fields...)
}

func TestDependencyStructure(t *testing.T) {
	d, err := ParseDependency(twoByTwo(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := d.Structure
	if !d.Attached || !d.Begin || d.End || d.Number != 1000 || d.Spatial != 0 || d.Temporal != 0 || d.Active != 15 {
		t.Errorf("%+v", d)
	}
	if s.Targets != 4 || s.Spatial != 2 || s.Sizes[0] != (Size{320, 180}) || s.Sizes[1] != (Size{640, 360}) {
		t.Errorf("%d targets, %d spatial layers, sizes %v", s.Targets, s.Spatial, s.Sizes)
	}
	for _, tt := range []struct {
		spatial, temporal uint8
		want              uint32
	}{{0, 0, 1}, {0, 1, 3}, {1, 0, 5}, {1, 1, 15}, {3, 3, 15}} {
		if got := s.ActiveFor(tt.spatial, tt.temporal); got != tt.want {
			t.Errorf("layers up to %d/%d are the targets %b, want %b", tt.spatial, tt.temporal, got, tt.want)
		}
	}
	for _, tt := range []struct {
		name              string
		raw               []byte
		spatial, temporal uint8
		refs              uint64
	}{
		{"short form", bits(1, 1, 1, 1, 6, 6, 1001, 16), 0, 1, 1 << 1},
		{"upper layers", bits(0, 1, 1, 1, 8, 6, 1003, 16), 1, 1, 1<<1 | 1},
		{"own references", bits(0, 1, 1, 1, 7, 6, 1002, 16, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 2, 6, 4, 2, 2, 17, 8, 0, 2), 1, 0, 1<<6 | 1<<17},
		{"far references", bits(0, 1, 1, 1, 7, 6, 1002, 16, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 3, 2, 100, 12, 0, 2), 1, 0, ^uint64(0)},
		{"own targets and chains", bits(0, 1, 1, 1, 6, 6, 9, 16, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 8, 0, 16), 0, 1, 1 << 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseDependency(tt.raw, s)
			if err != nil || got.Attached || got.Structure != s || got.Spatial != tt.spatial || got.Temporal != tt.temporal || got.Refs != tt.refs {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestDependencyRefused(t *testing.T) {
	d, err := ParseDependency(twoByTwo(), nil)
	if err != nil {
		t.Fatal(err)
	}
	endless := []uint32{0, 24, 1, 1, 0, 4, 0, 6, 0, 5}
	for range 100 {
		endless = append(endless, 0, 2)
	}
	for name, raw := range map[string][]byte{
		"empty":             {},
		"two bytes":         {0x80, 0},
		"no such template":  bits(1, 1, 1, 1, 20, 6, 0, 16),
		"cut in the middle": twoByTwo()[:12],
		"cut in the flags":  bits(1, 1, 1, 1, 6, 6, 0, 16, 3, 5),
		"endless templates": bits(endless...),
		"too long":          make([]byte, MaxDependency+1),
	} {
		if got, err := ParseDependency(raw, d.Structure); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := ParseDependency(bits(1, 1, 1, 1, 5, 6, 0, 16), nil); err == nil {
		t.Error("understood without a structure")
	}
}

func TestDependencyWrite(t *testing.T) {
	first, err := ParseDependency(twoByTwo(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		raw  []byte
		mask uint32
	}{
		{"short form", bits(1, 1, 1, 1, 6, 6, 1001, 16), 3},
		{"short form as it was", bits(1, 1, 1, 1, 6, 6, 1001, 16), 0},
		{"structure", twoByTwo(), 5},
		{"with a mask", bits(1, 1, 1, 1, 6, 6, 1001, 16, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 7, 4), 3},
		{"own references", bits(1, 1, 1, 1, 7, 6, 1002, 16, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 2, 6, 4, 2, 2, 17, 8, 0, 2), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := bytes.Clone(tt.raw)
			d, err := ParseDependency(tt.raw, first.Structure)
			if err != nil {
				t.Fatal(err)
			}
			var dst [MaxDependency]byte
			n := d.Write(dst[:], 65000, tt.mask)
			got, err := ParseDependency(dst[:n], d.Structure)
			if err != nil {
				t.Fatalf("%x: %v", dst[:n], err)
			}
			if got.Number != d.Number+65000 || got.Begin != d.Begin || got.End != d.End || got.Spatial != d.Spatial ||
				got.Temporal != d.Temporal || got.Refs != d.Refs || got.Attached != d.Attached {
				t.Errorf("wrote %+v of %+v", got, d)
			}
			if want := tt.mask; want != 0 && got.Active != want {
				t.Errorf("active decode targets %b, want %b", got.Active, want)
			}
			if !bytes.Equal(before, tt.raw) {
				t.Error("the original was changed")
			}
		})
	}
}

func TestDependencyAllocatesNothing(t *testing.T) {
	d, err := ParseDependency(twoByTwo(), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := bits(1, 1, 1, 1, 6, 6, 1001, 16)
	var dst [MaxDependency]byte
	if n := testing.AllocsPerRun(100, func() {
		got, err := ParseDependency(raw, d.Structure)
		if err != nil || got.Write(dst[:], 1, 3) != 5 {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func FuzzDependency(f *testing.F) {
	f.Add(twoByTwo(), bits(1, 1, 1, 1, 6, 6, 1001, 16), uint32(3))
	f.Add(twoByTwo(), bits(1, 1, 1, 1, 7, 6, 1002, 16, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 4, 0, 8, 1, 2, 6, 4, 0, 2, 0, 16), uint32(1))
	f.Fuzz(func(t *testing.T, first, second []byte, mask uint32) {
		var in *Structure
		for _, raw := range [][]byte{first, second} {
			before := bytes.Clone(raw)
			d, err := ParseDependency(raw, in)
			if !bytes.Equal(raw, before) {
				t.Fatal("reading changed the extension")
			}
			if err != nil {
				continue
			}
			in = d.Structure
			var dst [MaxDependency]byte
			n := d.Write(dst[:], 1, mask)
			again, err := ParseDependency(dst[:n], d.Structure)
			if err != nil || again.Number != d.Number+1 || again.Spatial != d.Spatial || again.Temporal != d.Temporal || again.Refs != d.Refs {
				t.Fatalf("%x became %x: %+v, %v; was %+v", raw, dst[:n], again, err, d)
			}
		}
	})
}
