package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

// narrowed is a viewer of two spatial layers whose path has become so narrow that
// only the lower one is wanted. It returns the packets of the upper layer that
// the viewer was sent, the newest keyframe being of that age.
func narrowed(t *testing.T, age time.Duration, lossy bool) (b *bench, src *scalable, upper []uint16) {
	t.Helper()
	b = newBench()
	src = newScalable(b, codec.VP9)
	src.layer.keyframes.verdict.Store(obeysYes)
	src.feedAll(b, src.vp9(true))
	for passed := time.Duration(0); passed < age; passed += 33 * time.Millisecond {
		b.pass(33 * time.Millisecond)
		src.feedAll(b, src.vp9(false))
	}
	b.pass(0)
	for i, p := range b.out.packets {
		if i%2 == 1 {
			upper = append(upper, p.SequenceNumber)
		}
	}
	b.out.packets = nil
	for len(src.asked) > 0 {
		<-src.asked
	}
	o := b.m.video
	o.pace = 3000 // 15 bytes in lossTime
	if lossy {
		o.pace = 3_000_000
	}
	o.resend.leave(src.layer, o.pace, lossy)
	o.point = thin.Point{Spatial: 0, Temporal: 3}
	src.feedAll(b, src.vp9(false))
	b.sh.forward(b.now)
	return b, src, upper
}

func TestALostPacketOfALeftLayerIsSentAgain(t *testing.T) {
	b, src, upper := narrowed(t, time.Second, false)
	if !b.m.video.again(b.sh, upper[len(upper)-1], 0, b.now) || len(b.out.packets) != 2 {
		t.Error("not sent again: the picture stays torn")
	}
	if b.m.video.resend.torn || len(src.asked) != 0 {
		t.Error("a keyframe is asked for because of one packet")
	}
}

func TestManyLostPacketsOfALeftLayerTakeAKeyframe(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		b, src, upper := narrowed(t, time.Second, lossy)
		for _, seq := range upper[len(upper)-4:] {
			b.m.video.again(b.sh, seq, 0, b.now)
		}
		if n := len(b.out.packets); n > 2 {
			t.Errorf("lossy %v: %d packets were sent again", lossy, n)
		}
		b.sh.forward(b.now)
		if len(src.asked) == 0 {
			t.Errorf("lossy %v: no keyframe is asked for", lossy)
		}
		src.feedAll(b, src.vp9(true))
		b.now += int64(time.Second)
		b.sh.forward(b.now)
		b.out.packets = nil
		src.feedAll(b, src.vp9(false))
		b.now += int64(time.Second)
		b.sh.forward(b.now)
		if b.m.video.resend.torn || len(b.out.packets) != 1 {
			t.Errorf("lossy %v: after the keyframe %d packets of a picture, torn %v", lossy, len(b.out.packets), b.m.video.resend.torn)
		}
	}
}

func TestANewKeyframeMendsWithoutAnother(t *testing.T) {
	b, src, _ := narrowed(t, 100*time.Millisecond, true)
	if len(src.asked) != 0 || b.m.video.resend.torn {
		t.Errorf("%d keyframes are asked for, torn %v", len(src.asked), b.m.video.resend.torn)
	}
	if n := len(b.out.packets); n < 4 {
		t.Fatalf("%d packets since the keyframe", n)
	}
	if d, ok := codec.ParseVP9(b.out.packets[0].Payload); !ok || d.Inter {
		t.Error("the first packet is not of the keyframe")
	}
	for _, p := range b.out.packets {
		if !p.Marker {
			t.Error("a picture has more than its lowest layer")
		}
	}
}

func TestResendsOfAViewerThatLosesMuchComeTwice(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 200, true)
	for range 40 {
		b.pass(5 * time.Millisecond)
	}
	first := b.out.packets[0].SequenceNumber
	ask := func(seq uint16) (seqs []uint16) {
		before := len(b.out.packets)
		b.sh.resend(b.m, []rtcp.NackPair{{PacketID: seq}}, b.now)
		for _, p := range b.out.packets[before:] {
			seqs = append(seqs, p.SequenceNumber)
		}
		return seqs
	}
	if got := ask(first); len(got) != 1 {
		t.Errorf("without loss: %v", got)
	}
	b.m.reception.loss = 0.1
	if got := ask(first + 1); len(got) != 2 || got[1] != got[0]+1 {
		t.Errorf("with loss: %v", got)
	}
	b.m.video.resend.budget = -resendReserve / 2
	if got := ask(first + 2); len(got) != 1 {
		t.Errorf("on a tight budget: %v", got)
	}
	if b.m.resent != 4 {
		t.Errorf("%d resends counted", b.m.resent)
	}
}
