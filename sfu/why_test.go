package sfu

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/sfu/internal/estimate"
)

// TestWhy is what people are told beside the reasons of the choice itself, which
// have their scripts.
func TestWhy(t *testing.T) {
	b := newBench()
	best, small := newSource(b, "f", 100, 0), newSource(b, "h", 200, 0)
	for _, step := range []struct {
		name, want string
		do         func()
	}{
		{"no publisher", "nobody publishes video now", func() { b.pass(0) }},
		{"two layers", "the path is not measured, so it is the best layer there is", func() {
			b.sources(best, small)
			best.frame(b, 1, true)
			small.frame(b, 1, true)
			b.pass(0)
		}},
		{"a layer whose keyframe is old", "pinned by the viewer; its next keyframe is waited for", func() {
			b.m.want.RID = "h"
			b.now += freshKeyframe
			best.frame(b, 1, false)
			small.frame(b, 1, false)
			b.pass(0)
		}},
		{"its keyframe", "pinned by the viewer", func() {
			small.frame(b, 1, true)
			b.pass(10 * time.Millisecond)
		}},
		{"a player without the codec", "the viewer's player knows no codec of the stream", func() { b.m.video.track.formats = nil }},
		{"sound alone", "the viewer takes no video", func() { b.m.video = nil }},
	} {
		step.do()
		if got := b.m.snapshot().Reason; got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	if got := b.m.viewer.snapshot().Reason; got != "the viewer is not connected yet" {
		t.Errorf("not connected: %q", got)
	}
}

func TestCloggedPath(t *testing.T) {
	for _, c := range []struct {
		name  string
		queue time.Duration
		loss  float64
		want  bool
	}{
		{"free", 5 * time.Millisecond, 0, false},
		{"random loss", 5 * time.Millisecond, 0.1, false},
		{"a short queue", 40 * time.Millisecond, 0, false},
		{"a short queue that is full", 40 * time.Millisecond, 0.1, true},
		{"a long queue", 100 * time.Millisecond, 0, true},
	} {
		if got := clogged(&estimate.State{Queue: c.queue, Loss: c.loss}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
