package sfu

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/choice"
	"github.com/sluice-live/sluice/sfu/internal/estimate"
)

// TestWhy is what people are told beside the reasons of the choice itself, which
// have their scripts.
func TestWhy(t *testing.T) {
	b := newBench()
	best, small := newSource(b, "f", 100, 0), newSource(b, "h", 200, 0)
	for _, step := range []struct {
		name, want, waiting string
		pinned              bool
		do                  func()
	}{
		{"no publisher", "nobody publishes video now", "publisher", false, func() { b.pass(0) }},
		{"two layers", "the path is not measured, so it is the best layer there is", "", false, func() {
			b.sources(best, small)
			best.frame(b, 1, true)
			small.frame(b, 1, true)
			b.pass(0)
		}},
		{"a layer whose keyframe is old", "pinned by the viewer; its next keyframe is waited for", "", true, func() {
			b.m.want.RID = "h"
			b.now += freshKeyframe
			best.frame(b, 1, false)
			small.frame(b, 1, false)
			b.pass(0)
		}},
		{"its keyframe", "pinned by the viewer", "", true, func() {
			small.frame(b, 1, true)
			b.pass(10 * time.Millisecond)
		}},
		{"a pinned spatial layer", "pinned by the viewer", "", true, func() {
			b.m.want = sluice.LayerChoice{Spatial: sluice.LayerID{Set: true}}
			best.frame(b, 1, true)
			b.pass(0)
		}},
		{"layers that rest", "the publisher sends no layer now", "publisher", true, func() { b.pass(time.Duration(2 * layerTimeout)) }},
		{"the publisher is gone", "nobody publishes video now", "publisher", false, func() {
			b.m.want = sluice.LayerChoice{}
			b.sources()
			b.pass(0)
		}},
		{"too narrow a path", "paused: 50 kbit/s reach the viewer, not enough for any layer; the smallest takes 400 kbit/s", "bandwidth", false, func() {
			var path choice.State
			facts := choice.Facts{Layers: []choice.Layer{{RID: "f", Bitrate: 400_000, Active: true, Keyframe: true}}, Estimate: 50_000, Pausable: true}
			var d choice.Decision
			for ; !d.Paused && facts.Now < time.Minute; facts.Now += time.Second {
				d = path.Decide(facts)
			}
			b.m.idle, b.m.reason = false, d.Reason
			b.m.video.want(nil, b.now)
		}},
		{"a player without the codec", "the viewer's player knows no codec of the stream", "codec", false, func() {
			b.sources(best, small)
			best.frame(b, 1, true)
			b.m.video.track.formats, b.m.video.format = nil, nil
			b.pass(0)
		}},
		{"sound alone", "the viewer takes no video", "", false, func() { b.m.video = nil }},
	} {
		step.do()
		got := b.m.snapshot()
		if got.Reason != step.want || got.Waiting != step.waiting || got.Pinned != step.pinned {
			t.Errorf("%s: %q, waiting for %q, pinned %t; want %q, %q, %t", step.name, got.Reason, got.Waiting, got.Pinned, step.want, step.waiting, step.pinned)
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
