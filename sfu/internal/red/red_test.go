package red

import (
	"bytes"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	in := []Block{
		{111, 1920, bytes.Repeat([]byte{1}, 300)},
		{111, 960, []byte{2, 2}},
		{111, 0, []byte{3}},
	}
	b := Append(nil, in)
	if len(b) != Size(in) {
		t.Errorf("%d bytes, Size says %d", len(b), Size(in))
	}
	Relabel(b, 109)
	var out [MaxBlocks]Block
	n, ok := Parse(b, &out)
	if !ok || n != len(in) {
		t.Fatalf("%d blocks, %v", n, ok)
	}
	for i := range in {
		if out[i].PT != 109 || out[i].Offset != in[i].Offset || !bytes.Equal(out[i].Data, in[i].Data) {
			t.Errorf("block %d is %+v", i, out[i])
		}
	}
}

func TestInvalidPayloads(t *testing.T) {
	many := bytes.Repeat([]byte{0x80, 1, 0, 0}, MaxBlocks)
	for name, b := range map[string][]byte{
		"empty":           {},
		"cut header":      {0x80 | 111, 1, 0},
		"no primary":      {0x80 | 111, 1, 0, 0},
		"block too long":  {0x80 | 111, 1, 0, 2, 111, 9},
		"too many blocks": append(many, 111),
	} {
		var blocks [MaxBlocks]Block
		if n, ok := Parse(b, &blocks); ok {
			t.Errorf("%s: %d blocks", name, n)
		}
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		offset uint32
		length int
		want   bool
	}{{960, 80, true}, {0, 80, false}, {1 << 14, 80, false}, {960, 0, false}, {960, 1024, false}, {1<<14 - 1, 1023, true}} {
		if got := Fits(tt.offset, tt.length); got != tt.want {
			t.Errorf("Fits(%d, %d) = %v", tt.offset, tt.length, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{111, 1, 2, 3})
	f.Add(Append(nil, []Block{{111, 960, []byte{1, 2}}, {111, 0, []byte{3}}}))
	f.Add([]byte{0x80 | 111, 0xff, 0xff, 0xff, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var blocks [MaxBlocks]Block
		n, ok := Parse(b, &blocks)
		if !ok {
			return
		}
		if again := Append(nil, blocks[:n]); !bytes.Equal(again, b) && n > 0 {
			t.Fatalf("%x became %x", b, again)
		}
		Relabel(b, 5)
		if m, ok := Parse(b, &blocks); !ok || m != n || blocks[n-1].PT != 5 {
			t.Fatalf("relabelled: %d of %d blocks", m, n)
		}
	})
}
