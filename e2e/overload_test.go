package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// step is the overload step in a node's metrics.
func (m *member) step(t testing.TB) string {
	t.Helper()
	res, err := clientHTTP(t).Get(m.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "sluice_overload_step "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatal("no sluice_overload_step")
	return ""
}

// TestOverload gives a node a cap that is far too low, and takes the load away
// again.
func TestOverload(t *testing.T) {
	t.Parallel() // mostly waits
	nodes := (&cluster{program: buildSluice(t)}).on(t)
	a := nodes.join(t, "a", "--node.capacity.mbps=1", "--record.enabled=true", "--data.dir", t.TempDir())
	publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true})
	a.live(t, "demo", 3)
	viewers := watchClip(t, a.url+"/whep/demo", 6)
	for _, v := range viewers {
		within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > 5 })
	}
	layers := func() map[string]int {
		res, err := clientHTTP(t).Get(a.url + "/api/v1/streams/demo/viewers")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var page struct{ Items []sluice.Viewer }
		if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, v := range page.Items {
			seen[v.Layer]++
		}
		return seen
	}
	events, err := viewers[0].Events(t.Context(), "overload")
	if err != nil {
		t.Fatal(err)
	}
	best := layers()
	began := time.Now()
	for i, want := range sluice.Steps()[1:] {
		poll(t, patience, 100*time.Millisecond, "the step "+want, func() bool { return a.step(t) >= fmt.Sprint(i+1) })
		if e := <-events; e.Type != "overload" || e.Data != `{"step":"`+want+`"}` {
			t.Errorf("the viewers are told %+v", e)
		}
		t.Logf("step %s after %v, layers %v", want, time.Since(began).Round(100*time.Millisecond), layers())
		switch sluice.Step(i + 1) {
		case sluice.StepCapLow:
			within(t, patience, "nobody has the best layer", func() bool { return layers()["f"] == 0 })
		case sluice.StepHLS:
			_, err := client.Watch(t.Context(), client.ViewerConfig{URL: a.url + "/whep/demo", HTTP: clientHTTP(t)})
			refused, ok := errors.AsType[*client.StatusError](err)
			if !ok || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter == 0 || !strings.HasSuffix(refused.Type, "/fallback") {
				t.Errorf("a new viewer gets %v", err)
			}
		case sluice.StepRefuse:
			_, err := client.Publish(t.Context(), client.PublisherConfig{URL: a.url + "/whip/other", Clip: pattern(t, clips.VP8, false), HTTP: clientHTTP(t)})
			refused, ok := errors.AsType[*client.StatusError](err)
			if !ok || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter == 0 {
				t.Errorf("a new publisher gets %v", err)
			}
		}
	}
	if n := a.nodes(t)["a"]; n.Step != sluice.StepRefuse || n.Load.Mbps < 1 || n.Capacity.Mbps != 1 {
		t.Errorf("the record says %+v", n)
	}
	for i, v := range viewers {
		frames := v.Stats().Video.Frames
		within(t, patience, "the viewers that are there go on", func() bool { return v.Stats().Video.Frames > frames+5 })
		if i > 0 {
			_ = v.Close()
		}
	}
	// One viewer of a small layer is left: the node recovers by and by.
	if best["f"] == 0 {
		t.Errorf("the viewers began with layers %v", best)
	}
	poll(t, patience, 200*time.Millisecond, "a step back", func() bool { return a.step(t) != "5" })
	t.Logf("a step back after %v", time.Since(began).Round(100*time.Millisecond))
}
