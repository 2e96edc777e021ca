package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/load"
)

// testHopCost measures what a hop adds to a packet's way, and what a viewer costs
// the node that it is at, when the publisher is there, one hop and two hops away.
// HOPS is how long each measurement lasts, with 100 viewers; without it they are few
// and it is short. SPREAD is the time between two packets of a frame, 0 without it.
func testHopCost(t *testing.T, built *cluster) {
	a, b, c := chain(t, built)
	lasts, viewers := time.Second, 20
	if text := os.Getenv("HOPS"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		viewers = 100
	}
	var spread time.Duration
	if text := os.Getenv("SPREAD"); text != "" {
		var err error
		if spread, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for hops, m := range []*member{a, b, c} {
		report, err := load.Run(t.Context(), load.Config{
			Target:     load.Target{URL: m.url, Stream: "load", WHIPURL: a.url + "/whip/load", WHEPURL: m.url + "/whep/load"},
			Publishers: 1, Viewers: viewers, Probes: 4, Duration: lasts, Codec: load.H264, Bitrate: 2_500_000, Spread: spread,
			Reading: load.Reading{Readers: 1}, PID: m.cmd.Process.Pid,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, d, f := report.Viewers, report.ForwardDelay, report.FrameLatency
		t.Logf("%d hops: %d of %d viewers, first keyframe p50 %.0f ms, p99 %.0f ms; packets p50 %.2f ms, p99 %.2f ms; frames p50 %.2f ms, p99 %.2f ms; %.2f %% lost, %.2f %% of the pictures missing; %.3f CPU-seconds for a gigabit, RSS %d MB",
			hops, v.Connected, viewers, report.Join.FirstKeyframe.P50, report.Join.FirstKeyframe.P99, d.P50, d.P99, f.P50, f.P99,
			report.Received.Lost, report.Received.MissingFrames, report.Server.PerGigabit, report.Server.RSS>>20)
		if v.Connected != viewers || report.Received.Delivered < 90 {
			t.Errorf("%d hops: %+v, %+v", hops, v, report.Received)
		}
		within(t, patience, "the stream has ended", func() bool {
			s, err := m.stream(t.Context(), "load")
			return err != nil || s.State != sluice.StreamLive
		})
	}
}

// crowd is how many light viewers watch at each of two nodes.
const crowd = 100

// testCrowd kills the origin while a browser and a hundred light viewers watch at
// each of two nodes. The publisher goes to one of them; nobody posts again.
func testCrowd(t *testing.T, built *cluster) {
	var taken, back, shown []time.Duration
	for range runs(t, 1) {
		t.Run("run", func(t *testing.T) {
			r := crowdRun(t, built)
			taken, back, shown = append(taken, r[0]), append(back, r[1]), append(shown, r[2])
		})
	}
	if len(back) > 0 {
		t.Logf("publisher taken after the kill: %s", quantiles(taken))
		t.Logf("pictures at the third node after the publisher's connection: %s", quantiles(back))
		t.Logf("longest time without a picture in a browser there: %s", quantiles(shown))
	}
}

// crowdRun returns how long it was until the publisher was taken, then until there
// were pictures, and how long a browser showed none.
func crowdRun(t *testing.T, built *cluster) (times [3]time.Duration) {
	t.Helper()
	nodes := built.on(t)
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	clip := pattern(t, clips.H264, true)
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
	a.live(t, "demo", 3)
	stop := watchInCrowds(t, b, c)
	browser := newBrowser(t)
	browser.open(c.url + "/watch/demo")
	browser.until("the picture plays", state+" === 'live' && "+decoded+" > 30")
	probes := watchClip(t, c.url+"/whep/demo", 1)
	goOn(t, probes, 20, "pictures")
	for _, m := range []*member{b, c} {
		m.until(t, patience, "all watch", "demo", func(s sluice.Stream) bool { return s.Viewers == 2*crowd+2 })
	}
	browser.exec(gaps)
	before := eval[string](browser, session)
	killed := time.Now()
	a.kill(t)
	p := publishAgain(t, client.PublisherConfig{URL: b.url + "/whip/demo", Clip: clip, KeyframesOnRequest: true}, 100*time.Millisecond)
	times[0] = time.Since(killed)
	<-p.Connected()
	first := time.Now()
	within(t, patience, "pictures again", func() bool { return !probes[0].keyAfter(first).IsZero() })
	times[1] = probes[0].keyAfter(first).Sub(first)
	seen := eval[float64](browser, decoded)
	browser.until("the browser shows pictures again", fmt.Sprintf("%s > %f", decoded, seen+30))
	times[2] = time.Duration(readGaps(browser).Worst * float64(time.Millisecond))
	if after := eval[string](browser, session); after != before {
		t.Errorf("the browser has posted again: %s, then %s", before, after)
	}
	for _, m := range []*member{b, c} {
		m.until(t, patience, "all watch still", "demo", func(s sluice.Stream) bool { return s.Viewers == 2*crowd+2 && s.State == sluice.StreamLive })
	}
	stop()
	return times
}

// watchInCrowds watches at some nodes until stop, which checks that every viewer
// has been there all the time.
func watchInCrowds(t *testing.T, members ...*member) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var running sync.WaitGroup
	reports := make([]*load.Report, len(members))
	for i, m := range members {
		running.Go(func() {
			var err error
			reports[i], err = load.Run(ctx, load.Config{
				Target:  load.Target{URL: m.url, Stream: "demo"},
				Viewers: crowd, Probes: 2, Duration: 5 * patience, Codec: load.H264, Reading: load.Reading{Readers: 1},
			}, nil)
			if err != nil {
				t.Error(err)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
		for i, r := range reports {
			if r == nil || r.Viewers.Connected != crowd || r.Viewers.Failed+r.Viewers.Ended+r.Viewers.Silent > 0 {
				t.Errorf("light viewers of %s: %+v", members[i].id, r)
			}
		}
	}
}
