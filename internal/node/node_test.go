package node_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/node"
)

// free is a node's configuration on free ports.
func free(t *testing.T, settings map[string]string) node.Config {
	t.Helper()
	flags := map[string]string{
		"http.addr": "127.0.0.1:0", "ops.addr": "127.0.0.1:0", "media.addr": "127.0.0.1:0",
		"media.tcp": "false", "data.dir": t.TempDir(),
	}
	for key, value := range settings {
		flags[key] = value
	}
	c, err := node.Load(node.Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve runs a node until the test ends, and returns it with a function that
// stops it and returns what Run returned.
func serve(t *testing.T, c node.Config, log *slog.Logger) (*node.Node, func() error) {
	t.Helper()
	n, err := node.New(c, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	var result error
	stopped := false
	stop := func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return n, stop
}

func fetch(t *testing.T, method, url string, header map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestRoutes(t *testing.T) {
	n, _ := serve(t, free(t, nil), slog.New(slog.DiscardHandler))
	tests := []struct {
		name        string
		method, url string
		header      map[string]string
		status      int
		want        map[string]string // headers; a value is a part of what is wanted
	}{
		{"health", "GET", n.URL() + "/healthz", nil, 200, nil},
		{"readiness", "GET", n.URL() + "/readyz", nil, 200, nil},
		{"home", "GET", n.URL() + "/", nil, 200, map[string]string{"Content-Security-Policy": "default-src"}},
		{"publish page", "GET", n.URL() + "/publish/demo", nil, 200, map[string]string{"Content-Type": "text/html"}},
		{"watch page", "HEAD", n.URL() + "/watch/demo", nil, 200, map[string]string{"Content-Type": "text/html"}},
		{"page of a bad stream", "GET", n.URL() + "/watch/a%2Fb", nil, 400, nil},
		{"no metrics in public", "GET", n.URL() + "/metrics", nil, 404, map[string]string{"Content-Type": "application/problem+json"}},
		{"no profiles in public", "GET", n.URL() + "/debug/pprof/", nil, 404, map[string]string{"Content-Type": "application/problem+json"}},
		{"a person lost", "GET", n.URL() + "/nowhere", map[string]string{"Accept": "text/html,*/*"}, 404, map[string]string{"Content-Type": "text/html"}},
		{"a program lost", "GET", n.URL() + "/nowhere", nil, 404, map[string]string{"Content-Type": "application/problem+json"}},
		{"wrong method", "POST", n.URL() + "/healthz", nil, 405, map[string]string{"Allow": "GET", "Content-Type": "application/problem+json"}},
		{"wrong method of WHIP", "PUT", n.URL() + "/whip/demo", nil, 405, map[string]string{"Allow": "POST"}},
		{"escaped slash in a stream", "POST", n.URL() + "/whip/a%2Fb", nil, 400, nil},
		{"dots in a stream", "POST", n.URL() + "/whip/..%2f..%2fetc", nil, 400, nil},
		{"preflight", "OPTIONS", n.URL() + "/healthz", map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}, 204, map[string]string{"Access-Control-Allow-Origin": "*"}},
		{"preflight of WHEP", "OPTIONS", n.URL() + "/whep/demo", map[string]string{"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}, 200, map[string]string{"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Authorization"}},
		{"request id of the caller", "GET", n.URL() + "/healthz", map[string]string{"X-Request-ID": "abc-1"}, 200, map[string]string{"X-Request-ID": "abc-1"}},
		{"security headers", "GET", n.URL() + "/healthz", nil, 200, map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}},
		{"metrics", "GET", n.OpsURL() + "/metrics", nil, 200, nil},
		{"profiles", "GET", n.OpsURL() + "/debug/pprof/goroutine?debug=1", nil, 200, nil},
		{"readiness for operators", "GET", n.OpsURL() + "/readyz", nil, 200, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, body := fetch(t, tt.method, tt.url, tt.header)
			if response.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", response.StatusCode, tt.status, body)
			}
			for name, part := range tt.want {
				if got := response.Header.Get(name); !strings.Contains(got, part) {
					t.Errorf("%s is %q, want %q in it", name, got, part)
				}
			}
			if strings.HasPrefix(tt.url, n.URL()) {
				if response.Header.Get("X-Request-ID") == "" || response.Header.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("headers of every answer are missing: %v", response.Header)
				}
			}
		})
	}
}

func TestMetricsAreNamedAsPromised(t *testing.T) {
	n, _ := serve(t, free(t, map[string]string{"metrics.per_stream": "true"}), slog.New(slog.DiscardHandler))
	_, body := fetch(t, "GET", n.OpsURL()+"/metrics", nil)
	for _, name := range []string{
		"sluice_streams ", "sluice_publishers ", "sluice_viewers ", "sluice_sessions_pending ",
		`sluice_rtp_packets_total{direction="in",kind="video"}`, `sluice_rtp_bytes_total{direction="out",kind="audio"}`,
		`sluice_rtp_dropped_total{reason="overrun"}`, `sluice_pli_total{direction="out"}`, `sluice_nack_total{direction="in"}`,
		`sluice_rtx_packets_total{direction="in"}`, `sluice_rtx_packets_total{direction="out"}`, "sluice_layer_switches_total", "sluice_join_seconds_count",
		"sluice_forward_delay_seconds_count", "sluice_lease_losses_total", "sluice_redis_up 1", "sluice_node_draining 0", "sluice_build_info",
	} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestTokenModeMakesAKeyOnce(t *testing.T) {
	c := free(t, map[string]string{"auth.mode": "token"})
	n, stop := serve(t, c, slog.New(slog.DiscardHandler))
	response, _ := fetch(t, "POST", n.URL()+"/whip/demo", nil)
	if response.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(response.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("without a token: %d %v", response.StatusCode, response.Header)
	}
	path := filepath.Join(c.Data.Dir, "auth-keys.yaml")
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v %v", info.Mode(), err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	serve(t, c, slog.New(slog.DiscardHandler))
	again, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, again) {
		t.Error("the second start made another key")
	}
	entries, err := os.ReadDir(c.Data.Dir)
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "catalog.db") })
	if err != nil || len(entries) != 2 { // and the folder of recordings
		t.Errorf("left in the data directory: %v %v", entries, err)
	}
}

func TestLogsHoldNoSecrets(t *testing.T) {
	var text bytes.Buffer
	n, stop := serve(t, free(t, nil), slog.New(slog.NewJSONHandler(&text, nil)))
	const secret = "hunter2hunter2"
	fetch(t, "DELETE", n.URL()+"/whep/demo/"+secret, map[string]string{"Authorization": "Bearer " + secret})
	fetch(t, "GET", n.URL()+"/watch/demo?token="+secret, nil)
	fetch(t, "GET", n.URL()+"/nowhere/"+secret, nil)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), `"route":"/whep/:stream/:session"`) {
		t.Errorf("requests are not logged:\n%s", &text)
	}
	if strings.Contains(text.String(), secret) {
		t.Errorf("a secret is logged:\n%s", &text)
	}
}

func TestCallersOverTheirLimitDoNotFillTheLog(t *testing.T) {
	var text bytes.Buffer
	n, stop := serve(t, free(t, map[string]string{"limits.requests_per_second": "1"}), slog.New(slog.NewJSONHandler(&text, nil)))
	refused := 0
	for range 20 {
		if response, _ := fetch(t, "GET", n.URL()+"/api/v1/streams", nil); response.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	_, metrics := fetch(t, "GET", n.OpsURL()+"/metrics", nil)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if refused == 0 || !strings.Contains(metrics, `status="429"`) {
		t.Errorf("%d refused, and the metrics do not count them", refused)
	}
	if strings.Contains(text.String(), `"status":429`) {
		t.Errorf("refusals are logged:\n%s", &text)
	}
}

func TestNewFreesWhatItOpened(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, key := range []string{"http.addr", "ops.addr"} {
		_, err = node.New(free(t, map[string]string{key: taken.Addr().String()}), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is taken: got %v", key, err)
		}
	}
	if _, err = node.New(free(t, map[string]string{"redis.url": "redis://" + taken.Addr().String()}), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a Redis that does not answer is accepted")
	}
}

// TestSlowCallersDoNotHoldUpTheEnd stops a node while a request is under way that goes
// on for longer than that may take: everything else ends in order.
func TestSlowCallersDoNotHoldUpTheEnd(t *testing.T) {
	n, stop := serve(t, free(t, map[string]string{"shutdown.timeout": "2s"}), slog.New(slog.DiscardHandler))
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const request = "POST /whip/demo HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") { // it is read now
		t.Fatalf("got %q, %v", line, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestSlowCallersAreCut sends requests that never end.
func TestSlowCallersAreCut(t *testing.T) {
	n, _ := serve(t, free(t, nil), slog.New(slog.DiscardHandler))
	tests := []struct{ name, request, want string }{
		{"header", "GET / HTTP/1.1\r\nHost: a\r\nX-", "400"},
		{"body", "POST /whip/demo HTTP/1.1\r\nHost: a\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0", "400"},
		{"body nobody reads", "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nv=0", "404"},
		{"header that is too large", "GET / HTTP/1.1\r\nHost: a\r\nX-Large: " + strings.Repeat("a", 32<<10) + "\r\n\r\n", "431"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(9 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, tt.request); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn)
			if err, ok := err.(net.Error); ok && err.Timeout() {
				t.Errorf("the connection is still open; it answered %q", answer)
			}
			if status, _, _ := strings.Cut(strings.TrimPrefix(string(answer), "HTTP/1.1 "), " "); status != tt.want {
				t.Errorf("status %q, want %q", status, tt.want)
			}
		})
	}
}
