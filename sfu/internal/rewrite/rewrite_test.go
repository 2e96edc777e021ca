package rewrite

import (
	"math/rand/v2"
	"testing"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

func send(t *testing.T, tl *Timeline[string], seq uint64, ts uint32) Packet {
	t.Helper()
	out, ok := tl.Map(Packet{seq, ts})
	if !ok {
		t.Fatalf("packet %d was refused", seq)
	}
	tl.Sent(out, &codec.Descriptor{}, 0)
	return out.Packet
}

func live(seq uint64, ts uint32, elapsed int64) Start {
	return Start{First: Packet{seq, ts}, Edge: Packet{seq, ts}, Elapsed: elapsed}
}

func TestFirstPieceKeepsTheNumbers(t *testing.T) {
	var tl Timeline[string]
	tl.Begin("a", live(70000, 1234, 0))
	if out := send(t, &tl, 70003, 1300); out != (Packet{70003, 1300}) {
		t.Errorf("got %+v", out)
	}
}

func TestSwitchContinues(t *testing.T) {
	for _, tt := range []struct {
		name    string
		first   Packet
		elapsed uint32
	}{
		{"to a higher number", Packet{900000, 5_000_000}, 3000},
		{"to a lower number", Packet{65600, 10}, 3000},
		{"with no time elapsed", Packet{65600, 10}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tl Timeline[string]
			tl.Begin("a", live(131070, 4_294_967_000, 0))
			send(t, &tl, 131070, 4_294_967_000)
			tl.Begin("b", live(tt.first.Seq, tt.first.Timestamp, int64(tt.elapsed)))
			out := send(t, &tl, tt.first.Seq, tt.first.Timestamp)
			if out.Seq != 131071 {
				t.Errorf("sequence number %d, want 131071", out.Seq)
			}
			want := uint32(4_294_967_000) // wraps
			want += max(tt.elapsed, 1)
			if out.Timestamp != want {
				t.Errorf("timestamp %d, want %d", out.Timestamp, want)
			}
		})
	}
}

func TestPacketFromBeforeThePieceIsRefused(t *testing.T) {
	var tl Timeline[string]
	tl.Begin("a", live(70000, 0, 0))
	if _, ok := tl.Map(Packet{69999, 0}); ok {
		t.Error("it was mapped")
	}
}

func TestCachedFramesAreSqueezedBeforeTheEdge(t *testing.T) {
	var tl Timeline[string]
	const frame, frames = 3000, 60
	edge := uint32(1<<32 - 1000)
	first := edge - frame*frames
	tl.Begin("a", Start{First: Packet{70000, first}, Edge: Packet{70000 + frames, edge}})
	at := func(i uint32) uint32 {
		out, ok := tl.Map(Packet{70000 + uint64(i), first + i*frame})
		if !ok {
			t.Fatalf("frame %d is refused", i)
		}
		return out.Timestamp
	}
	last := at(0) - 1
	for i := range uint32(frames + 10) {
		got := at(i)
		if int32(got-last) <= 0 {
			t.Fatalf("frame %d at %d is not after %d", i, got, last)
		}
		last = got
	}
	if span := at(frames) - at(0); span != frame*frames/squeeze+1 && span != frame*frames/squeeze {
		t.Errorf("the cached frames span %d ticks", span)
	}
	if d := at(frames+1) - at(frames); d != frame {
		t.Errorf("after the edge a frame lasts %d ticks", d)
	}
}

// TestTimeGoesOnForDays passes the points where 32-bit timestamps wrap around
// the live edge of long ago.
func TestTimeGoesOnForDays(t *testing.T) {
	var tl Timeline[string]
	tl.Begin("a", live(70000, 7, 0))
	last := send(t, &tl, 70000, 7)
	const step = 90000 * 60
	for i := uint64(1); i < 60*48; i++ {
		out := send(t, &tl, 70000+i, uint32(7+i*step))
		if out.Timestamp-last.Timestamp != step {
			t.Fatalf("after %d minutes a minute lasts %d ticks", i, out.Timestamp-last.Timestamp)
		}
		last = out
	}
}

func TestSqueezedPieceLiesAfterTheLastTimestamp(t *testing.T) {
	var tl Timeline[string]
	tl.Begin("a", live(70000, 1000, 0))
	last := send(t, &tl, 70000, 1000)
	tl.Begin("b", Start{First: Packet{80000, 0}, Edge: Packet{80060, 180000}, Elapsed: 5})
	if out := send(t, &tl, 80000, 0); int32(out.Timestamp-last.Timestamp) <= 0 {
		t.Errorf("timestamp %d after %d", out.Timestamp, last.Timestamp)
	}
}

func TestPictureIDsContinue(t *testing.T) {
	var tl Timeline[string]
	d := codec.Descriptor{PictureAt: 2, PictureWide: true, Picture: 0x7fff, TL0At: 4, TL0: 255}
	tl.Begin("a", live(70000, 0, 0))
	out, _ := tl.Map(Packet{70000, 0})
	tl.Sent(out, &d, 7)
	next := codec.Descriptor{PictureAt: 2, PictureWide: true, Picture: 77, TL0At: 4, TL0: 9}
	tl.Begin("b", Start{First: Packet{1 << 17, 50}, Edge: Packet{1 << 17, 50}, Descriptor: next})
	picture, tl0 := tl.Current().Pictures()
	if got := (next.Picture + picture) & 0x7fff; got != 0 {
		t.Errorf("picture id %d, want 0", got)
	}
	if got := next.TL0 + tl0; got != 0 {
		t.Errorf("TL0PICIDX %d, want 0", got)
	}
}

func TestFindAfterSwitches(t *testing.T) {
	var tl Timeline[string]
	type sent struct {
		source string
		seq    uint64
		out    uint16
	}
	var log []sent
	for i, source := range []string{"a", "b", "c"} {
		first := uint64(65536*(3-i) + 500)
		tl.Begin(source, live(first, 0, 1))
		for k := range uint64(20) {
			out := send(t, &tl, first+k, uint32(k))
			log = append(log, sent{source, first + k, uint16(out.Seq)})
		}
	}
	for _, s := range log {
		p, seq, _, ok := tl.Find(s.out)
		if !ok || p.Source != s.source || seq != s.seq {
			t.Errorf("Find(%d) = %+v, %d, %v; want %+v", s.out, p, seq, ok, s)
		}
	}
	if _, _, _, ok := tl.Find(log[0].out - 1); ok {
		t.Error("a number from before the first packet was found")
	}
}

// TestContinuity switches at random between sources with random numbers and
// checks what the viewer must see: no gap, no repetition, time that advances.
func TestContinuity(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var tl Timeline[string]
	var last Packet
	for piece := range 200 {
		seq, ts := rnd.Uint64N(1<<40)+1<<16, rnd.Uint32()
		backlog := rnd.Uint32N(400000)
		tl.Begin("s", Start{First: Packet{seq, ts}, Edge: Packet{seq + uint64(backlog)/3000, ts + backlog}, Elapsed: rnd.Int64N(10000) - 3000})
		for k := range 1 + rnd.Uint64N(50) {
			out := send(t, &tl, seq+k, ts+uint32(k)*3000)
			if piece+int(k) > 0 && (out.Seq != last.Seq+1 || int32(out.Timestamp-last.Timestamp) <= 0) {
				t.Fatalf("piece %d packet %d: %+v after %+v", piece, k, out, last)
			}
			last = out
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(uint64(70000), uint64(65536), uint16(3))
	f.Fuzz(func(t *testing.T, a, b uint64, ask uint16) {
		var tl Timeline[string]
		for _, first := range []uint64{a%(1<<48) + 1<<16, b%(1<<48) + 1<<16} {
			tl.Begin("s", live(first, uint32(first), 1))
			send(t, &tl, first, uint32(first))
		}
		if p, seq, _, ok := tl.Find(ask); ok && p == tl.Current() {
			if out, ok := tl.Map(Packet{Seq: seq}); !ok || uint16(out.Seq) != ask {
				t.Fatalf("Find(%d) gave %d which maps to %d", ask, seq, out.Seq)
			}
		}
	})
}

// TestTimelineComesBack changes between two sources, one of which is behind the
// other: the timeline runs ahead for the late one only, not ever further.
func TestTimelineComesBack(t *testing.T) {
	const late, frame = 2700, 3000 // ticks
	var tl Timeline[string]
	tl.Begin("now", live(100, 0, 0))
	first := send(t, &tl, 100, 0)
	at := uint32(0) // capture of what was sent last
	for i := range 10 {
		at += 10 * frame
		tl.Begin("late", live(uint64(1000*i), at-late, 10*frame-late))
		send(t, &tl, uint64(1000*i), at-late)
		// The other source has a frame of the same moment at once.
		tl.Begin("now", live(uint64(5000*i+200), at-late, 0))
		send(t, &tl, uint64(5000*i+200), at-late)
		at += frame
		out := send(t, &tl, uint64(5000*i+201), at)
		if ahead := out.Timestamp - first.Timestamp - at; ahead > 1 {
			t.Fatalf("round %d: %d ticks ahead", i, ahead)
		}
	}
	tl.Begin("from far behind", live(70000, at-frame*100, -frame*100))
	if out := send(t, &tl, 70000, at-frame*100); int32(out.Timestamp-first.Timestamp-at) <= 0 {
		t.Error("it went back")
	}
}
