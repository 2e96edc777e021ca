package obs_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sluice-live/sluice/internal/obs"
)

func TestOpsHandler(t *testing.T) {
	var notReady error
	h := obs.OpsHandler(obs.NewRegistry("1.2.3", "abc"), func() error { return notReady })
	tests := []struct {
		name, method, path string
		notReady           error
		status             int
		want               string
	}{
		{"health", "GET", "/healthz", nil, 200, "ok"},
		{"health while not ready", "GET", "/healthz", errors.New("draining"), 200, "ok"},
		{"live", "GET", "/livez", nil, 200, "ok"},
		{"head", "HEAD", "/healthz", nil, 200, ""},
		{"ready", "GET", "/readyz", nil, 200, "ok"},
		{"not ready", "GET", "/readyz", errors.New("draining"), 503, "draining"},
		{"metrics", "GET", "/metrics", nil, 200, `sluice_build_info{goversion="go`},
		{"profiles", "GET", "/debug/pprof/", nil, 200, "goroutine"},
		{"one profile", "GET", "/debug/pprof/goroutine?debug=1", nil, 200, "goroutine profile"},
		{"no command line", "GET", "/debug/pprof/cmdline", nil, 404, "not-found"},
		{"elsewhere", "GET", "/x", nil, 404, "not-found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			notReady = tt.notReady
			w := get(t, h, tt.method, tt.path, "")
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %.300s", w.Code, w.Body)
			}
			if (w.Header().Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	r := obs.NewRegistry("1.2.3", "abc")
	packets := 0.0
	for kind, f := range map[string]func() float64{"audio": func() float64 { return 7 }, "video": func() float64 { return packets }} {
		if err := r.CounterFunc("sluice_packets_in_total", "Packets received.", obs.Labels{"kind": kind}, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.GaugeFunc("sluice_viewers", "Viewers now.", nil, func() float64 { return 3 }); err != nil {
		t.Fatal(err)
	}
	observe, err := r.Histogram("sluice_join_seconds", "Time to the first frame.", nil, []float64{.1, 1})
	if err != nil {
		t.Fatal(err)
	}
	observe(.05)
	r.ObserveHTTP("/whep/:stream", "POST", 201, 20*time.Millisecond)
	r.ObserveHTTP("/whep/:stream", "POST", 201, 20*time.Millisecond)
	r.ObserveHTTP("", "BREW", 404, time.Millisecond)
	packets = 42

	w := get(t, r.Handler(), http.MethodGet, "/metrics", "")
	for _, want := range []string{
		`sluice_packets_in_total{kind="audio"} 7`,
		`sluice_packets_in_total{kind="video"} 42`,
		`sluice_viewers 3`,
		`sluice_join_seconds_bucket{le="0.1"} 1`,
		`sluice_http_requests_total{method="POST",route="/whep/:stream",status="201"} 2`,
		`sluice_http_requests_total{method="other",route="none",status="404"} 1`,
		`sluice_http_request_duration_seconds_count{method="POST",route="/whep/:stream"} 2`,
		`sluice_build_info{goversion="`,
		`go_goroutines`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(w.Body.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, obs.Prefix) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestOpenMetrics(t *testing.T) {
	w := get(t, obs.NewRegistry("1", "a").Handler(), http.MethodGet, "/metrics", "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(w.Body.String(), "# EOF\n") {
		t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
	}
}

func TestRegistryRefuses(t *testing.T) {
	zero := func() float64 { return 0 }
	r := obs.NewRegistry("1", "a")
	if err := r.GaugeFunc("sluice_viewers", "Viewers.", nil, zero); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
	}{
		{"twice", r.GaugeFunc("sluice_viewers", "Viewers.", nil, zero)},
		{"no prefix", r.GaugeFunc("viewers", "Viewers.", nil, zero)},
		{"counter without _total", r.CounterFunc("sluice_packets", "Packets.", nil, zero)},
		{"gauge with _total", r.GaugeFunc("sluice_packets_total", "Packets.", nil, zero)},
	}
	for _, tt := range tests {
		if tt.err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}
