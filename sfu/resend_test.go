package sfu

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// TestLostParameterSetsAskForKeyframe loses the first packet after a switch.
func TestLostParameterSetsAskForKeyframe(t *testing.T) {
	for _, c := range []codec.Codec{codec.VP8, codec.H264} {
		b := newBench()
		src := newSource(b, "", 10, 0)
		b.sources(src)
		src.frame(b, 5, true)
		b.pass(0)
		src.codec = c
		want := len(src.asked)
		b.m.video.again(b.sh, b.out.packets[1].SequenceNumber, 0, b.now)
		if len(src.asked) != want {
			t.Errorf("%v: a keyframe is asked for in place of an ordinary packet", c)
		}
		if c == codec.H264 {
			want++
		}
		b.m.video.again(b.sh, b.out.packets[0].SequenceNumber, 0, b.now)
		if len(src.asked) != want {
			t.Errorf("%v: %d keyframes asked for, want %d", c, len(src.asked), want)
		}
	}
}

// TestLostParameterSetsAreNotForgotten loses the first packet after a switch that
// has itself just asked for a keyframe.
func TestLostParameterSetsAreNotForgotten(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	src.frame(b, 5, true)
	b.pass(0)
	src.codec = codec.H264
	src.askKeyframe(b.now)
	want := len(src.asked)
	b.m.video.again(b.sh, b.out.packets[0].SequenceNumber, 0, b.now)
	if len(src.asked) != want {
		t.Fatal("two requests at once")
	}
	b.pass(time.Duration(keyframeInterval) * 2)
	if len(src.asked) != want+1 || !b.m.video.resend.blind {
		t.Errorf("%d keyframes asked for, want %d", len(src.asked), want+1)
	}
	src.codec = codec.VP8 // as which the test's frames are read
	src.frame(b, 5, true)
	b.pass(0)
	if b.m.video.resend.blind {
		t.Error("a new keyframe does not help")
	}
}
