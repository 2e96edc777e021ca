package ring

import (
	"sync"
	"testing"
)

func TestRingRemembersTheNewest(t *testing.T) {
	r := New(3)
	if r.Size() != 4 {
		t.Fatalf("size %d, want 4", r.Size())
	}
	for i := range uint64(6) {
		r.Put(&Packet{Seq: 100 + i})
	}
	for i := range uint64(2) {
		if r.At(i) != nil || r.BySeq(100+i) != nil {
			t.Errorf("packet %d is still there", i)
		}
	}
	for i := uint64(2); i < 6; i++ {
		if p := r.At(i); p == nil || p.Seq != 100+i {
			t.Errorf("At(%d) = %+v", i, p)
		}
		if p := r.BySeq(100 + i); p == nil || p.Index != i {
			t.Errorf("BySeq(%d) = %+v", 100+i, p)
		}
	}
	if r.At(6) != nil {
		t.Error("a packet that is still to come was returned")
	}
}

func TestRingReorderedPacketIsFoundByItsNumber(t *testing.T) {
	r := New(8)
	for _, seq := range []uint64{10, 12, 11} {
		r.Put(&Packet{Seq: seq})
	}
	if p := r.BySeq(11); p == nil || p.Index != 2 {
		t.Errorf("BySeq(11) = %+v, want index 2", p)
	}
}

func TestRingReadersBesideTheWriter(t *testing.T) {
	r := New(64)
	const total = 20000
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for cursor := uint64(0); cursor < total; {
				head := r.Head()
				if cursor == head {
					continue
				}
				if p := r.At(cursor); p != nil && (p.Index != cursor || p.Seq != cursor) {
					t.Errorf("At(%d) = %+v", cursor, p)
					return
				}
				cursor++
			}
		})
	}
	for i := range uint64(total) {
		r.Put(&Packet{Seq: i})
	}
	readers.Wait()
}

func TestUnwrap(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []uint16
		want []int64 // relative to the first
	}{
		{"in order", []uint16{5, 6, 7}, []int64{0, 1, 2}},
		{"over the edge", []uint16{65534, 65535, 0, 1}, []int64{0, 1, 2, 3}},
		{"reordered at the edge", []uint16{65535, 1, 0, 65534, 2}, []int64{0, 2, 1, -1, 3}},
		{"reordered at the start", []uint16{0, 65535, 1}, []int64{0, -1, 1}},
		{"a gap", []uint16{10, 30000}, []int64{0, 29990}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u Unwrapper
			first := int64(1<<16 | uint64(tt.in[0]))
			for i, seq := range tt.in {
				if got := int64(u.Unwrap(seq)) - first; got != tt.want[i] {
					t.Errorf("Unwrap(%d) = %d, want %d", seq, got, tt.want[i])
				}
			}
		})
	}
}
