package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// TestRecorded publishes three H.264 layers and sound, and looks at what is on
// the disk afterwards.
func TestRecorded(t *testing.T) {
	data := t.TempDir()
	n := startNode(t, "data.dir="+data, "stream.grace=1s")
	p := publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	n.live(t, "demo", 3)
	within(t, 30*time.Second, "four segments of each layer", func() bool {
		all := recorded(t, data)
		return len(all) == 1 && len(all[0].Renditions) == 4 && len(all[0].Segments["vf"]) > 3 && len(all[0].Segments["opus"]) > 3
	})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	within(t, 10*time.Second, "the recording ends", func() bool { return !recorded(t, data)[0].Ended.IsZero() })
	k := recorded(t, data)[0]
	for _, r := range k.Renditions {
		frames := k.decode(t, r.ID)
		t.Logf("%+v: frames %v", r, frames)
		for _, s := range k.Segments[r.ID] {
			t.Logf("  %d init %d %s +%v, %d bytes, %d parts, discontinuity %v, gap %v, key %v", s.Sequence, s.Init, s.Start.Format("05.000"), s.Duration, s.Size, len(s.Parts), s.Discontinuity, s.Gap, s.Key)
		}
	}
}
