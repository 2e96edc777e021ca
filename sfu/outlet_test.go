package sfu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice"
)

func TestViewerStartsFromTheCachedGOP(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 65530, 1<<32-9000)
	src.keyframes.verdict.Store(obeysNo)
	src.frame(b, 4, true)
	for range 40 {
		src.frame(b, 2, false)
	}
	b.sources(src)
	b.now += int64(1500 * time.Millisecond)
	src.lastArrival.Store(b.now)
	b.pass(0)
	if n := len(b.out.packets); n != 84 {
		t.Fatalf("%d packets sent, want the whole GOP of 84", n)
	}
	continuous(t, b.out.packets)
	if span := b.out.packets[83].Timestamp - b.out.packets[0].Timestamp; span > 90000/10 {
		t.Errorf("the cached GOP spans %d ticks for the player, want it squeezed", span)
	}
	src.frame(b, 2, false)
	b.pass(0)
	continuous(t, b.out.packets)
}

func TestViewerOfAnObedientPublisherWaitsForAKeyframe(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 1, 0)
	src.frame(b, 1, true)
	src.frame(b, 1, false)
	src.keyframes.verdict.Store(obeysYes)
	b.sources(src)
	b.now += int64(1500 * time.Millisecond)
	src.lastArrival.Store(b.now)
	b.pass(0)
	if len(b.out.packets) != 0 || len(src.asked) != 1 {
		t.Fatalf("%d packets, %d requests; want none and one", len(b.out.packets), len(src.asked))
	}
	src.frame(b, 3, true)
	b.pass(0)
	if len(b.out.packets) != 3 {
		t.Fatalf("%d packets, want the three of the new keyframe", len(b.out.packets))
	}
}

func TestLayerSwitchIsContinuous(t *testing.T) {
	b := newBench()
	low, high := newSource(b, "q", 100, 5), newSource(b, "f", 40000, 1<<31)
	high.size.Store(1280<<32 | 720)
	b.sources(low, high)
	frame := func(key bool) {
		low.frame(b, 1, key)
		high.frame(b, 3, key)
		b.pass(33 * time.Millisecond)
	}
	frame(true)
	for i := range 10 {
		rid := []string{"q", "f"}[i%2]
		b.m.want = sluice.LayerChoice{RID: rid}
		for range 12 {
			frame(false)
		}
		frame(true)
		if got := b.m.video.current.rid; got != rid {
			t.Fatalf("round %d shows layer %q, want %q", i, got, rid)
		}
	}
	continuous(t, b.out.packets)
	if n := b.sh.sfu.Counters().SwitchesAuto + b.sh.sfu.Counters().SwitchesChosen; n < 9 {
		t.Errorf("%d switches counted", n)
	}
}

func TestSwitchWaitsForAKeyframe(t *testing.T) {
	b := newBench()
	low, high := newSource(b, "q", 100, 5), newSource(b, "f", 40000, 0)
	b.m.want = sluice.LayerChoice{RID: "q"}
	b.sources(low, high)
	low.frame(b, 1, true)
	high.frame(b, 1, true)
	b.pass(0)
	b.now += int64(500 * time.Millisecond)
	b.m.want = sluice.LayerChoice{RID: "f"}
	for range 5 {
		low.frame(b, 1, false)
		high.frame(b, 1, false)
		b.pass(33 * time.Millisecond)
	}
	if got := b.m.video.current.rid; got != "q" {
		t.Fatalf("layer %q is shown before its keyframe", got)
	}
	if len(high.asked) != 1 {
		t.Errorf("%d keyframes asked for, want one", len(high.asked))
	}
	high.frame(b, 1, true)
	b.pass(0)
	if got := b.m.video.current.rid; got != "f" {
		t.Fatalf("layer %q is shown after the keyframe", got)
	}
	continuous(t, b.out.packets)
}

func TestNewPublisherContinuesTheNumbers(t *testing.T) {
	b := newBench()
	first := newSource(b, "", 65000, 77)
	b.sources(first)
	first.frame(b, 2, true)
	b.pass(0)
	b.sources()
	b.pass(3 * time.Second)
	second := newSource(b, "", 3, 1<<30)
	b.sources(second)
	second.frame(b, 2, true)
	second.frame(b, 2, false)
	b.pass(0)
	if len(b.out.packets) != 6 {
		t.Fatalf("%d packets, want 6", len(b.out.packets))
	}
	continuous(t, b.out.packets)
	if d := b.out.packets[2].Timestamp - b.out.packets[1].Timestamp; d < 2*90000 || d > 4*90000 {
		t.Errorf("three seconds became %d ticks", d)
	}
}

func TestReorderedAndLostPacketsKeepTheirPlaces(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 1, true)
	b.pass(0)
	second, third, fourth := src.packet(true, false, false), src.packet(false, false, false), src.packet(false, true, false)
	src.feed(b, second)
	src.feed(b, fourth)
	b.pass(0)
	src.feed(b, third)
	src.feed(b, third) // a duplicate
	b.pass(0)
	var got []uint16
	for _, p := range b.out.packets {
		got = append(got, p.SequenceNumber)
	}
	want := []uint16{10, 11, 13, 12}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestSlowViewerSkipsToAKeyframe(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 1, true)
	b.pass(0)
	for range 300 { // more than the ring holds
		src.frame(b, 1, false)
	}
	b.pass(0)
	if n := b.sh.sfu.counters.overrun.Load(); n != 300 {
		t.Errorf("%d packets counted as skipped, want 300", n)
	}
	src.frame(b, 2, true)
	b.pass(0)
	if n := len(b.out.packets); n != 3 {
		t.Fatalf("%d packets sent, want 3", n)
	}
	continuous(t, b.out.packets)
}

func TestLaggingViewerSkipsToANewerKeyframe(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 1, true)
	b.pass(0)
	b.sh.now = b.now
	for range 30 {
		b.now += int64(33 * time.Millisecond)
		src.frame(b, 2, false)
	}
	src.frame(b, 2, true)
	b.now += int64(300 * time.Millisecond)
	src.frame(b, 2, false)
	b.pass(0)
	if n := len(b.out.packets); n != 5 {
		t.Fatalf("%d packets sent, want the first and those from the newest keyframe on", n)
	}
	continuous(t, b.out.packets)
	if n := b.sh.sfu.counters.overrun.Load(); n != 60 {
		t.Errorf("%d packets counted as skipped, want 60", n)
	}
}

func TestNACKIsAnsweredOnRTX(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 5, true)
	b.pass(0)
	sent := b.out.packets[3]
	b.out.packets = nil
	ask := func() bool { return b.m.video.again(b.sh, sent.SequenceNumber, 0, b.now) }
	if !ask() {
		t.Fatal("not sent again")
	}
	got := b.out.packets[0]
	if got.SSRC != 2222 || got.PayloadType != testRTX || got.Timestamp != sent.Timestamp {
		t.Errorf("RTX header %+v", got.Header)
	}
	if osn := binary.BigEndian.Uint16(got.Payload); osn != sent.SequenceNumber || string(got.Payload[2:]) != string(sent.Payload) {
		t.Errorf("RTX payload %x of %d, want %x", got.Payload, osn, sent.Payload)
	}
	if ask() {
		t.Error("sent again at once: not gated by the round trip")
	}
	for range 2 {
		b.now += int64(time.Second)
		if !ask() {
			t.Error("refused within the limit")
		}
	}
	before := len(src.asked)
	b.now += int64(time.Second)
	if ask() {
		t.Errorf("sent more than %d times", maxResends)
	}
	if len(src.asked) != before+1 {
		t.Error("no keyframe is asked for in place of what cannot be repaired")
	}
	if b.m.video.again(b.sh, sent.SequenceNumber+1000, 0, b.now) {
		t.Error("a packet that was never sent was sent again")
	}
}

func TestResendsStayWithinTheBudget(t *testing.T) {
	var r resender
	total := 0
	for seq := range uint16(1000) {
		if r.allow(seq, 1200, 0, int64(seq)) {
			total += 1200
		}
	}
	if total > resendReserve {
		t.Errorf("%d bytes sent again of nothing earned, want at most %d", total, resendReserve)
	}
}

func TestForwardAllocatesNothing(t *testing.T) {
	b := newBench()
	b.m.viewer.video.writer = discardWriter{}
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 2, true)
	b.pass(0)
	reading := testing.AllocsPerRun(100, func() {
		b.now += int64(33 * time.Millisecond)
		src.frame(b, 9, false)
	})
	b.sh.forward(b.now)
	both := testing.AllocsPerRun(100, func() {
		b.now += int64(33 * time.Millisecond)
		src.frame(b, 9, false)
		b.sh.forward(b.now)
	})
	if both > reading {
		t.Errorf("forwarding a frame allocates %.1f times, reading it %.1f", both-reading, reading)
	}
}

type discardWriter struct{}

func (discardWriter) WriteRTP(_ *rtp.Header, payload []byte) (int, error) { return len(payload), nil }
func (discardWriter) Write(b []byte) (int, error)                         { return len(b), nil }

func TestLateStartOfAKeyframeKeepsItsPlace(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	src.frame(b, 1, true)
	src.frame(b, 1, false)
	packets := [][]byte{src.packet(true, false, true), src.packet(false, false, true), src.packet(false, true, true)}
	packets[1][12+4] = 0 // any packet of the frame may show that it is a keyframe
	packets[1][12] |= 0x10
	for _, i := range []int{1, 2} {
		src.feed(b, packets[i])
	}
	b.sources(src)
	b.pass(0)
	src.feed(b, packets[0])
	b.pass(0)
	var seqs []uint16
	for _, p := range b.out.packets {
		seqs = append(seqs, p.SequenceNumber)
	}
	if len(seqs) != 3 || seqs[2] != seqs[0]-1 || seqs[1] != seqs[0]+1 {
		t.Errorf("sent %v, want the start of the keyframe to have the place before the others", seqs)
	}
}
