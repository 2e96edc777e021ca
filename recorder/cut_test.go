package recorder

import (
	"slices"
	"testing"
	"time"
)

// TestOneCutForAllLayers: the keyframes of two layers are a frame apart, and sound that is transcoded
// comes after both. It is cut once for both.
func TestOneCutForAllLayers(t *testing.T) {
	t.Parallel()
	first, second := film(t, 1, "f", "H264", 320, true), film(t, 2, "q", "H264", 160, true)
	n := len(second.frames)
	second.frames = append(slices.Clone(second.frames[n-1:]), second.frames[:n-1]...)
	cfg := config()
	cfg.FFmpeg = "ffmpeg"
	r, stop := newRecorder(t, cfg, newStudio(first, second, tone(3)), memoryStore(), nil)
	eventually(t, "four segments", func() bool { return len(durable(t, r, aacID)) >= 4 })
	stop()
	video := durable(t, r, "vf")
	for _, id := range []string{soundID, aacID} {
		segments := durable(t, r, id)
		for i, s := range segments[:min(len(segments)-1, len(video))] {
			if s.Duration < time.Second || s.Start.Sub(video[i].Start).Abs() > cfg.Part {
				t.Errorf("%s: segment %d begins at %v and lasts %v; that of video begins at %v", id, s.Sequence, s.Start, s.Duration, video[i].Start)
			}
		}
	}
}
