package e2e

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/hlscheck"
)

// TestRecordedChanges: layers come and go, and the codec changes, as a publisher ends and
// another comes within the grace time. Strict players go on all the while, a plain one
// plays too, and all renditions cover the same time.
func TestRecordedChanges(t *testing.T) {
	t.Parallel()
	data, broken := t.TempDir(), strictly(t)
	n := startNode(t, "data.dir="+data, "stream.grace=8s", "record.ffmpeg=", "record.segment=1s")
	three := pattern(t, clips.H264, true)
	other := encoded(t, "main.h265", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "bframes=0:keyint=30:min-keyint=30:scenecut=0:repeat-headers=1:log-level=none")
	shows := []struct {
		clip *clips.Clip
		id   string // of a rendition that it feeds
		live int
	}{{three, "vf", 3}, {other, "v", 1}, {three, "vf", 3}}
	media := func(id string) (count int) {
		for _, k := range recorded(t, data) {
			for _, s := range k.Segments[id] {
				if !s.Gap {
					count++
				}
			}
		}
		return count
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	results := make(chan *hlscheck.Result, len(shows))
	checks := 0
	for i, show := range shows {
		p := publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: show.clip, KeyframesOnRequest: show.clip != other})
		n.live(t, "demo", show.live)
		had := media(show.id)
		within(t, patience, "a segment", func() bool { return media(show.id) >= had+1 })
		if i < 2 { // each knows the renditions of its time
			checks++
			go func() {
				result, err := hlscheck.Run(ctx, hlscheck.Config{URL: n.URL + "/hls/demo/index.m3u8", Duration: time.Minute, Client: clientHTTP(t)})
				if err != nil {
					t.Error(err)
				}
				results <- result
			}()
		}
		if i == 0 {
			plain(t, n.URL+"/hls/demo/index.m3u8")
		}
		within(t, patience, "one more", func() bool { return media(show.id) >= had+2 })
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		within(t, patience, "it has gone", func() bool {
			st, err := n.stream("demo")
			return err == nil && st.State == sluice.StreamPaused
		})
	}
	stop()
	for range checks {
		result := <-results
		t.Log(result)
		if result == nil || len(broken(result)) > 0 || result.Segments < 4 {
			t.Errorf("%v", result)
		}
	}
	n.close()
	k := recorded(t, data)[0]
	var breaks int
	for i, r := range k.Renditions {
		list := k.Segments[r.ID]
		k.decode(t, r.ID)
		count := 0
		for _, s := range list {
			if s.Discontinuity {
				count++
			}
		}
		if i == 0 {
			breaks = count
		}
		if off := list[0].Start.Sub(k.Segments[k.Renditions[0].ID][0].Start).Abs(); off > time.Second || count != breaks || count < 2 {
			t.Errorf("%s begins %v beside another and has %d discontinuities, another has %d", r.ID, off, count, breaks)
		}
	}
}

// plain lets a player that knows nothing of parts play some seconds.
func plain(t *testing.T, url string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", url, "-t", "2", "-f", "null", "-").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("a plain player: %v\n%s", err, out)
	}
}
