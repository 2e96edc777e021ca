//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/hlscheck"
)

// TestRecordedOverBadLink records a publisher whose link loses one packet in
// twenty, and then nothing gets through for more than five seconds. A strict
// player goes on all the while.
func TestRecordedOverBadLink(t *testing.T) {
	t.Parallel()
	const oneWay = 10 * time.Millisecond
	data, broken := t.TempDir(), strictly(t)
	wire := openWire(t, netwire.Settings{Delay: oneWay})
	n := nodeOn(t, wire, "data.dir="+data, "stream.grace=20s", "record.segment=1s")
	binary := buildSluice(t)
	p := startChild(t, "ip", "netns", "exec", wire.Namespace, binary, "publish", "--url", n.URL+"/whip/demo", "--duration", "5m", "--keyframes", "on-request", "--reconnect")
	segments := func(rendition string) []sluice.Segment {
		all := recorded(t, data)
		if len(all) != 1 {
			return nil
		}
		return all[0].Segments[rendition]
	}
	within(t, patience, "two segments", func() bool { return len(segments("v")) >= 2 })
	wire.Set(netwire.Settings{Delay: oneWay, Loss: 0.05})
	playing, stop := context.WithCancel(t.Context())
	defer stop()
	played := make(chan *hlscheck.Result, 1)
	go func() {
		result, err := hlscheck.Run(playing, hlscheck.Config{URL: n.URL + "/hls/demo/index.m3u8", Duration: time.Minute, Client: clientHTTP(t)})
		if err != nil {
			t.Error(err)
		}
		played <- result
	}()
	lossy := len(segments("v"))
	within(t, patience, "eight more", func() bool { return len(segments("v")) >= lossy+8 })
	under := segments("v")[lossy : lossy+8]

	wire.Set(netwire.Settings{Delay: oneWay, NoUDP: true})
	within(t, patience, "paused", func() bool {
		st, err := n.stream("demo")
		return err == nil && st.State == sluice.StreamPaused
	})
	before := len(segments("v"))
	wire.Set(netwire.Settings{Delay: oneWay})
	within(t, patience, "three after the outage", func() bool { return len(segments("v")) >= before+4 })
	stop()
	if result := <-played; result != nil {
		t.Log(result)
		for _, v := range broken(result) {
			t.Errorf("%+v", v)
		}
		if result.Segments < 2*(8+3) || result.Hinted == 0 {
			t.Errorf("a player got %d segments of both renditions", result.Segments)
		}
	}
	p.kill(t)
	n.close()

	all := recorded(t, data)
	if len(all) != 1 {
		t.Fatalf("%d recordings", len(all))
	}
	k := all[0]
	for _, r := range k.Renditions {
		k.decode(t, r.ID)
		list := k.Segments[r.ID]
		for i, s := range list[1:] {
			if hole := s.Start.Sub(list[i].Start.Add(list[i].Duration)); hole < -time.Millisecond || hole > time.Millisecond && !s.Discontinuity {
				t.Errorf("%s: segment %d begins %v after the end of the one before", r.ID, s.Sequence, hole)
			}
		}
	}
	var missing, whole time.Duration
	for _, s := range under {
		whole += s.Duration
		for _, part := range s.Parts {
			if part.Gap {
				missing += part.Duration
			}
		}
	}
	t.Logf("at 5 %% loss %v of %v are gaps", missing, whole)
	if missing > whole/20 {
		t.Errorf("at 5 %% loss %v of %v are gaps", missing, whole)
	}
}
