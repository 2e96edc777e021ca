package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/load"
	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/obs"
)

// serve runs a node until the test's end and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	url, _ := serveUntil(t)
	return url
}

// serveUntil is serve with a way to end the node before.
func serveUntil(t *testing.T) (url string, end func()) {
	t.Helper()
	config, err := node.Load(node.Sources{Flags: map[string]string{
		"http.addr": "127.0.0.1:0", "ops.addr": "", "media.addr": "127.0.0.1:0", "data.dir": t.TempDir(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	log, err := obs.NewLogger(t.Output(), "warn", "text")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(config, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return n.URL(), cancel
}

// TestServerDies: what was measured until then is reported, and who got nothing any
// more counts.
func TestServerDies(t *testing.T) {
	t.Parallel()
	url, end := serveUntil(t)
	child := exec.CommandContext(t.Context(), "sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last load.Progress
	measured, still := 0, 0 // seconds
	report, err := load.Run(ctx, load.Config{
		Target: load.Target{URL: url, Stream: "demo"}, Publishers: 1, Viewers: 3, Probes: 1,
		Duration: time.Minute, Codec: load.H264, Bitrate: 1_000_000, PID: child.Process.Pid,
	}, func(p load.Progress) {
		switch {
		case p.Phase != "measuring":
		case measured < 3:
			if measured++; measured < 3 {
				break
			}
			end()
			_ = child.Process.Kill()
			_ = child.Wait() // it was killed
		case p.Packets == last.Packets:
			if still++; still == 4 {
				cancel()
			}
		}
		last = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := report.Viewers; v.Connected != 3 || v.Stalled != 3 || report.Received.Packets == 0 {
		t.Errorf("%+v, %d packets", v, report.Received.Packets)
	}
	if report.Server == nil || !report.Server.Ended {
		t.Errorf("server: %+v", report.Server)
	}
	var text bytes.Buffer
	if err := errors.Join(report.Write(&text), report.Err()); err != nil || !strings.Contains(text.String(), "its process has ended") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	url := serve(t)
	tests := []struct {
		name   string
		change func(*load.Config)
	}{
		{"H.264", func(*load.Config) {}},
		{"VP8 with all feedback, one by one, frames spread", func(c *load.Config) {
			c.Codec, c.Spread, c.Reading = load.VP8, time.Millisecond, load.Reading{Readers: 2, Coalesce: time.Millisecond}
			c.Feedback = load.Feedback{TransportCC: true, REMB: 5_000_000}
		}},
		{"two publishers", func(c *load.Config) { c.Publishers = 2 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := load.Config{
				Target: load.Target{URL: url, Stream: "demo"}, Publishers: 1, Viewers: 5, Probes: 2,
				Duration: 2 * time.Second, Codec: load.H264, Bitrate: 1_000_000,
				Reading: load.Reading{GRO: true}, PID: os.Getpid(),
			}
			tt.change(&cfg)
			told := make(chan load.Progress, 100)
			report, err := load.Run(t.Context(), cfg, func(p load.Progress) { told <- p })
			if err != nil {
				t.Fatal(err)
			}
			check(t, report)
			if len(told) == 0 {
				t.Error("no progress was told")
			}
		})
	}
}

func check(t *testing.T, r *load.Report) {
	t.Helper()
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	if v := r.Viewers; v.Connected != 5 || v.Failed+v.Silent+v.Stalled+v.Ended != 0 || v.SRTP["SRTP_AEAD_AES_128_GCM"] != 5 {
		t.Errorf("viewers: %+v", v)
	}
	if r.Join.FirstPacket.Count != 5 || r.Join.FirstKeyframe.Count != 5 || r.Join.FirstKeyframe.P50 < r.Join.FirstPacket.P50 {
		t.Errorf("joins: %+v", r.Join)
	}
	if r.Received.Lost > 1 || r.Received.Delivered < 50 || r.Received.Delivered > 150 {
		t.Errorf("received: %+v", r.Received)
	}
	if r.ForwardDelay.Count == 0 || r.ForwardDelay.P50 <= 0 || r.FrameLatency.Count == 0 {
		t.Errorf("delay: %+v, latency: %+v", r.ForwardDelay, r.FrameLatency)
	}
	if r.Server == nil || r.Server.CPUSeconds <= 0 || r.Server.PerGigabit <= 0 || r.Server.RSS <= 0 {
		t.Errorf("server: %+v", r.Server)
	}
	raw, err := json.Marshal(r)
	if err != nil || !bytes.Contains(raw, []byte(`"frameLatencyMs":{"count":`)) {
		t.Errorf("JSON: %s, %v", raw, err)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	cfg := load.Config{
		Target: load.Target{URL: serve(t), Stream: "demo"}, Publishers: 1, Viewers: 4, Probes: 1, Codec: load.H264, Bitrate: 1_000_000,
		Search: load.Search{Step: 2, Hold: time.Second, MaxLatency: time.Minute, MaxLoss: 100},
	}
	report, err := load.Run(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Search; s == nil || s.Viewers != 4 || len(s.Steps) != 2 || s.Steps[1].FrameLatency.Count == 0 {
		t.Errorf("got %+v", report.Search)
	}
	cfg.Target.Stream, cfg.Search.MaxLatency = "other", time.Nanosecond
	if report, err = load.Run(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	if s := report.Search; s.Viewers != 0 || len(s.Steps) != 1 {
		t.Errorf("a limit that nothing meets: %+v", s)
	}
}

func TestNobodyPublishes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	report, err := load.Run(ctx, load.Config{
		Target: load.Target{URL: serve(t), Stream: "demo"}, Viewers: 2, Duration: time.Second, Codec: load.H264,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.Viewers.Failed != 2 || report.Viewers.Connected != 0 || report.Err() == nil {
		t.Errorf("got %+v", report.Viewers)
	}
	for text := range report.Viewers.Errors {
		if !strings.Contains(text, "409") {
			t.Errorf("the reason is %q", text)
		}
	}
}

func TestNoServer(t *testing.T) {
	url := serve(t)
	for name, change := range map[string]func(*load.Config){
		"nobody listens": func(c *load.Config) { c.Target.URL = "http://127.0.0.1:1" },
		"not WHIP":       func(c *load.Config) { c.Target.WHIPURL = url + "/healthz" },
		"invalid":        func(c *load.Config) { c.Codec = "" },
		"no process":     func(c *load.Config) { c.PID = 1 << 30 },
	} {
		cfg := load.Config{
			Target: load.Target{URL: url, Stream: "demo"}, Publishers: 1, Viewers: 1,
			Duration: time.Second, Codec: load.H264, Bitrate: 1_000_000,
		}
		change(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := load.Run(ctx, cfg, nil); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
