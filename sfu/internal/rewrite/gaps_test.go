package rewrite

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// TestLeave feeds packets in order of arrival: those of keep get a place, "x" is
// left out, "j" too and what is missing before it, "J" joins what is missing
// before a packet that is kept.
func TestLeave(t *testing.T) {
	type step struct {
		what string
		seq  uint64
		want uint64 // place; 0: none
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{"k", 100, 100}, {"x", 101, 0}, {"x", 102, 0}, {"k", 103, 101}, {"x", 104, 0}, {"k", 105, 102}}},
		{"lost between what is kept", []step{{"k", 100, 100}, {"k", 102, 102}, {"x", 103, 0}, {"k", 104, 103}, {"k", 101, 101}}},
		{"lost at a border may be wanted", []step{{"k", 100, 100}, {"x", 101, 0}, {"k", 103, 102}, {"k", 102, 101}}},
		{"lost before what is left out", []step{{"k", 100, 100}, {"x", 102, 0}, {"k", 103, 102}, {"k", 101, 101}}},
		{"lost within what is left out", []step{{"k", 100, 100}, {"x", 101, 0}, {"j", 103, 0}, {"k", 104, 101}, {"x", 102, 0}}},
		{"lost at the end of what is left out", []step{{"k", 100, 100}, {"x", 101, 0}, {"J", 103, 101}, {"x", 102, 0}}},
		{"not known to be left out", []step{{"k", 100, 100}, {"x", 101, 0}, {"x", 103, 0}, {"k", 104, 102}, {"k", 102, 101}}},
		{"a place that stays empty", []step{{"k", 100, 100}, {"k", 102, 102}, {"x", 101, 101}}},
		{"reordered", []step{{"k", 100, 100}, {"x", 102, 0}, {"x", 101, 101}, {"k", 103, 102}}},
		{"a late one of what was left out", []step{{"k", 100, 100}, {"x", 101, 0}, {"k", 102, 101}, {"k", 101, 0}}},
		{"at the start", []step{{"x", 100, 0}, {"k", 101, 100}}},
		{"twice", []step{{"k", 100, 100}, {"x", 101, 0}, {"x", 101, 0}, {"k", 102, 101}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tl Timeline[string]
			tl.Begin("a", live(100, 0, 0))
			for i, s := range tt.steps {
				in := Packet{s.seq, uint32(s.seq)}
				var out Place
				switch s.what {
				case "x", "j":
					out, _ = tl.Leave(in, s.what == "j", false)
				case "J":
					tl.Join(s.seq)
					fallthrough
				default:
					out, _ = tl.Map(in)
				}
				if out.Seq != s.want {
					t.Fatalf("step %d: packet %d has place %d, want %d", i, s.seq, out.Seq, s.want)
				}
				if s.want != 0 && s.what != "x" {
					tl.Sent(out, &codec.Descriptor{}, 0)
				}
			}
		})
	}
}

func TestPicturesCloseUp(t *testing.T) {
	var tl Timeline[string]
	tl.Begin("a", live(100, 0, 0))
	want := uint16(7)
	for i := range uint64(20) {
		d := codec.Descriptor{PictureAt: 2, PictureWide: true, Picture: 7 + uint16(i)}
		for k := range uint64(2) {
			in := Packet{100 + 2*i + k, uint32(i)}
			if i%2 == 1 {
				tl.Leave(in, false, k == 0)
				continue
			}
			out, ok := tl.Map(in)
			if !ok || d.Picture-out.Left != want {
				t.Fatalf("picture %d is numbered %d, want %d", d.Picture, d.Picture-out.Left, want)
			}
			tl.Sent(out, &d, 0)
		}
		if i%2 == 0 {
			want++
		}
	}
	tl.Begin("b", Start{First: Packet{5000, 0}, Edge: Packet{5000, 0}, Descriptor: codec.Descriptor{PictureAt: 2, Picture: 500}})
	if picture, _ := tl.Current().Pictures(); 500+picture != want {
		t.Errorf("the next piece begins with picture %d, want %d", 500+picture, want)
	}
}

func TestFrameNumbersContinue(t *testing.T) {
	var tl Timeline[string]
	tl.Begin("a", live(100, 0, 0))
	out, _ := tl.Map(Packet{100, 0})
	tl.Sent(out, &codec.Descriptor{}, 65535)
	tl.Begin("b", Start{First: Packet{7, 0}, Edge: Packet{7, 0}, Frame: 9})
	if got := 9 + tl.Current().Frames(); got != 0 {
		t.Errorf("frame number %d, want 0", got)
	}
}

// TestLeaveAtRandom loses and reorders packets of frames that are partly left
// out, in several pieces, and compares with a model that knows everything.
func TestLeaveAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		var tl Timeline[int]
		places := map[uint64]uint64{} // the viewer's numbers
		for piece := range 3 {
			first := rnd.Uint64N(1<<30) + 1<<17
			tl.Begin(piece, live(first, 0, 1))
			check(t, rnd, &tl, piece, first, places)
		}
		for out, source := range places {
			p, seq, _, ok := tl.Find(uint16(out))
			last, _ := tl.Last()
			if last.Seq-out < 100 && (!ok || seq != source || p == nil) {
				t.Fatalf("round %d: Find(%d) = %d, %v; want %d", round, out, seq, ok, source)
			}
		}
	}
}

func check(t *testing.T, rnd *rand.Rand, tl *Timeline[int], piece int, first uint64, places map[uint64]uint64) {
	t.Helper()
	type packet struct {
		seq  uint64
		keep bool
	}
	var packets []packet
	for seq := first; seq < first+40; {
		keep := rnd.IntN(2) == 0 || seq == first
		for range 1 + rnd.IntN(4) {
			packets = append(packets, packet{seq, keep})
			seq++
		}
	}
	for i := range packets {
		if k := i + rnd.IntN(3); i > 0 && k < len(packets) {
			packets[i], packets[k] = packets[k], packets[i]
		}
	}
	packets = slices.DeleteFunc(packets, func(p packet) bool { return p.seq != first && rnd.IntN(10) == 0 })
	mine := map[uint64]uint64{} // source number to place
	for _, p := range packets {
		in := Packet{p.seq, 0}
		if !p.keep {
			tl.Leave(in, false, true)
			continue
		}
		out, ok := tl.Map(in)
		if !ok {
			t.Fatalf("piece %d: packet %d is refused", piece, p.seq)
		}
		if other, taken := places[out.Seq]; taken {
			t.Fatalf("piece %d: packets %d and %d both have place %d", piece, other, p.seq, out.Seq)
		}
		places[out.Seq], mine[p.seq] = p.seq, out.Seq
		tl.Sent(out, &codec.Descriptor{}, 0)
	}
	last := uint64(0)
	for _, seq := range slices.Sorted(maps.Keys(mine)) {
		if mine[seq] <= last {
			t.Fatalf("piece %d: packet %d has place %d behind %d", piece, seq, mine[seq], last)
		}
		last = mine[seq]
	}
}

// FuzzLeave: whatever arrives, no two packets get one place.
func FuzzLeave(f *testing.F) {
	f.Add([]byte{0, 1, 130, 3, 4, 133, 2})
	f.Add([]byte{0, 200, 1, 201, 73, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var tl Timeline[string]
		tl.Begin("a", live(1<<20, 0, 0))
		places := map[uint64]uint64{}
		left := map[uint64]bool{}
		for i, b := range steps {
			seq := 1<<20 + uint64(i) + uint64(b&15)
			in := Packet{seq, uint32(seq)}
			if b&0x40 != 0 {
				tl.Join(seq)
			}
			if b&0x80 != 0 {
				if _, waits := tl.Leave(in, b&0x20 != 0, b&0x10 != 0); !waits {
					left[seq] = true
				}
				continue
			}
			out, ok := tl.Map(in)
			if !ok {
				continue
			}
			if left[seq] {
				t.Fatalf("packet %d was left out and has place %d", seq, out.Seq)
			}
			if other, taken := places[out.Seq]; taken && other != seq {
				t.Fatalf("packets %d and %d both have place %d", other, seq, out.Seq)
			}
			places[out.Seq] = seq
			tl.Sent(out, &codec.Descriptor{}, 0)
			if p, source, _, ok := tl.Find(uint16(out.Seq)); !ok || source != seq || p != tl.Current() {
				t.Fatalf("Find(%d) = %d, %v; want %d", out.Seq, source, ok, seq)
			}
		}
	})
}
