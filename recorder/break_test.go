package recorder

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// TestChangesAtOneTime: where a publisher who comes back has another size, with the first
// picture late, the discontinuity is at the same time in what is fed, in sound, which was
// there before, and in a layer that nobody feeds any more and whose gaps come later.
func TestChangesAtOneTime(t *testing.T) {
	t.Parallel()
	small, large, sound := film(t, 1, "", "H264", 320, true), film(t, 1, "", "H264", 640, true), tone(3)
	cfg := config()
	cfg.Segment, cfg.Part = time.Second, 200*time.Millisecond
	media := newStudio(film(t, 2, "q", "H264", 160, true), small, sound)
	media.step = 100 * time.Millisecond
	r, stop := newRecorder(t, cfg, media, memoryStore(), nil)
	eventually(t, "two segments", func() bool { return len(durable(t, r, "v")) >= 2 && len(durable(t, r, "vq")) >= 2 })
	for i := range 8 {
		media.set(sluice.StreamPaused)
		eventually(t, "the end of the last segment", media.noticed)
		now := media.pass(t, time.Duration(i/6)*time.Second)
		next := []*source{large, small}[i%2].again(uint64(10+2*i), now)
		next.track.Publisher = fmt.Sprint(i)
		key := (next.next + 1 + 3*(i%6)) % len(next.frames) // where the clip begins
		next.frames = slices.Concat(next.frames[len(next.frames)-key:], next.frames[:len(next.frames)-key])
		heard := sound.again(uint64(11+2*i), now)
		heard.track.Publisher = next.track.Publisher
		known := pictures(durable(t, r, "v"))
		media.set(sluice.StreamLive, next, heard)
		eventually(t, "two more", func() bool { return pictures(durable(t, r, "v")) >= known+2 })
	}
	stop()
	matching(t, r, "v", "vq", soundID)
	if n := len(breaks(durable(t, r, "v"))); n < 15 || n > 16 { // where one has gone, and where the size is another, if later
		t.Errorf("%d discontinuities", n)
	}
}

// matching checks that segments of the same time have the same discontinuity sequence
// number in all renditions, and that all come to the same.
func matching(t *testing.T, r *Recorder, ids ...string) {
	t.Helper()
	for i, id := range ids {
		list := durable(t, r, id)
		for _, other := range ids[i+1:] {
			for _, b := range durable(t, r, other) {
				for _, a := range list {
					from, to := a.Start, a.Start.Add(a.Duration)
					if b.Start.After(from) {
						from = b.Start
					}
					if end := b.Start.Add(b.Duration); end.Before(to) {
						to = end
					}
					if both := to.Sub(from); a.Breaks != b.Breaks && both > r.cfg.Part {
						t.Errorf("%s: segment %d has number %d, segment %d of %s has %d for %v", id, a.Sequence, a.Breaks, b.Sequence, other, b.Breaks, both)
					}
				}
			}
			if a, b := len(breaks(list)), len(breaks(durable(t, r, other))); a != b {
				t.Errorf("%s has %d discontinuities, %s has %d", id, a, other, b)
			}
		}
	}
}
