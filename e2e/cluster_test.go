package e2e

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// TestRelayedStream publishes at one node and watches at two others.
func TestRelayedStream(t *testing.T) {
	nodes := newCluster(t)
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, true)})
	a.live(t, "demo", 3)
	viewers := append(watchClip(t, b.url+"/whep/demo", 2), watchClip(t, c.url+"/whep/demo", 3)...)
	for i, v := range viewers {
		within(t, 5*time.Second, "frames", func() bool { return v.Stats().Video.Frames > 30 && v.Stats().Audio.Packets > 30 })
		t.Logf("viewer %d: first frame after %v", i, v.Stats().Video.FirstFrame)
	}
	for _, m := range []*member{a, b, c} {
		s := m.until(t, 5*time.Second, "all viewers are counted", "demo", func(s sluice.Stream) bool { return s.Viewers == 5 && len(s.Layers) == 3 })
		if s.State != sluice.StreamLive || s.Publisher == nil || s.Relayed != (m != a) {
			t.Errorf("%s: %+v", m.id, s)
		}
	}
	clean(t, viewers)
}
