package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
)

// sampleOffer is an offer of the kind that a browser makes.
func sampleOffer(t testing.TB, direction webrtc.RTPTransceiverDirection) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: direction}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

// answer is what matters of an HTTP answer.
type answer struct {
	status   int
	problem  string // type of the problem+json body
	location string
	header   http.Header
}

func post(t testing.TB, c *http.Client, url, contentType, token, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("POST %s: %v", url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, location: resp.Header.Get("Location"), header: resp.Header}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		var p struct{ Type string }
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Errorf("problem %q: %v", raw, err)
		}
		a.problem = strings.TrimPrefix(p.Type, "https://sluice.live/problems/")
	}
	return a
}

// footprint is what a node holds.
type footprint struct {
	goroutines int // without those of the embedded Redis, one per pooled connection
	heap       uint64
}

func measure() footprint {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	goroutines := 0
	for _, one := range strings.Split(stacks(), "\n\n") {
		if !strings.Contains(one, "miniredis/v2/server") {
			goroutines++
		}
	}
	return footprint{goroutines, m.HeapAlloc}
}

// stacks is what every goroutine does.
func stacks() string {
	for size := 1 << 20; ; size *= 2 {
		buffer := make([]byte, size)
		if n := runtime.Stack(buffer, true); n < size {
			return string(buffer[:n])
		}
	}
}

// settled waits until the process is back at before.
func settled(t testing.TB, limit time.Duration, before footprint) {
	t.Helper()
	var now footprint
	defer func() {
		t.Logf("before: %+v, after: %+v", before, now)
		if t.Failed() {
			t.Log(stacks())
		}
	}()
	poll(t, limit, 100*time.Millisecond, "goroutines and heap are back", func() bool {
		now = measure()
		return now.goroutines <= before.goroutines+5 && now.heap <= before.heap+16<<20
	})
}

func TestBadOffers(t *testing.T) {
	node := startNode(t)
	c := clientHTTP(t)
	const sdp = "application/sdp"
	sections := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n", 800)
	var rids, simulcast strings.Builder
	for i := range 500 {
		fmt.Fprintf(&rids, "a=rid:%d send\r\n", i)
		fmt.Fprintf(&simulcast, ";%d", i)
	}
	for _, kind := range []struct{ path, offer string }{
		{"/whip/", sampleOffer(t, webrtc.RTPTransceiverDirectionSendonly)},
		{"/whep/", sampleOffer(t, webrtc.RTPTransceiverDirectionRecvonly)},
	} {
		for name, tc := range map[string]struct {
			stream, contentType, body string
			status                    int
			problem                   sluice.Code
		}{
			"malformed":          {"demo", sdp, "v=0\r\nthis is no SDP", 400, sluice.CodeInvalid},
			"empty":              {"demo", sdp, "", 400, sluice.CodeInvalid},
			"64 KiB of garbage":  {"demo", sdp, strings.Repeat("garbage\x00", 8192), 400, sluice.CodeInvalid},
			"more than 64 KiB":   {"demo", sdp, strings.Repeat("garbage!", 8193), 413, sluice.CodeTooLarge},
			"800 media sections": {"demo", sdp, sections, 422, sluice.CodeUnprocessable},
			"500 rids":           {"demo", sdp, kind.offer + rids.String() + "a=simulcast:send " + simulcast.String()[1:] + "\r\n", 422, sluice.CodeUnprocessable},
			"wrong type":         {"demo", "text/plain", kind.offer, 415, sluice.CodeUnsupportedMediaType},
			"no type":            {"demo", "", kind.offer, 415, sluice.CodeUnsupportedMediaType},
			"name with a dot":    {"de.mo", sdp, kind.offer, 400, sluice.CodeInvalid},
			"name too long":      {strings.Repeat("a", 65), sdp, kind.offer, 400, sluice.CodeInvalid},
			"name with a NUL":    {"a%00b", sdp, kind.offer, 400, sluice.CodeInvalid},
		} {
			t.Run(kind.path[1:5]+" "+name, func(t *testing.T) {
				got := post(t, c, node.URL+kind.path+tc.stream, tc.contentType, "", tc.body)
				if got.status != tc.status || got.problem != string(tc.problem) {
					t.Errorf("got %d %q, want %d %q", got.status, got.problem, tc.status, tc.problem)
				}
				if got.header.Get("Access-Control-Allow-Origin") == "" || got.header.Get("X-Request-Id") == "" {
					t.Errorf("header: %v", got.header)
				}
			})
		}
	}
}

func TestTokens(t *testing.T) {
	const key, secret = "key", "0123456789abcdef0123456789abcdef"
	node := startNode(t, "auth.mode=token", "auth.keys="+key+": "+secret)
	c := clientHTTP(t)
	mint := func(secret string, g sluice.Grant, ttl time.Duration) string {
		t.Helper()
		token, err := auth.Mint(key, secret, g, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	publisher := sluice.Grant{Identity: "alice", Stream: "demo", Publish: true}
	viewer := sluice.Grant{Identity: "bob", Stream: "demo", Watch: true}
	other := sluice.Grant{Identity: "carol", Stream: "other", Publish: true, Watch: true}
	send, receive := sampleOffer(t, webrtc.RTPTransceiverDirectionSendonly), sampleOffer(t, webrtc.RTPTransceiverDirectionRecvonly)
	for _, tc := range []struct {
		name, path, token, offer string
		status                   int
	}{
		{"none to publish", "/whip/demo", "", send, 401},
		{"none to watch", "/whep/demo", "", receive, 401},
		{"garbage", "/whip/demo", "garbage", send, 401},
		{"dots", "/whip/demo", strings.Repeat(".", 3000), send, 401},
		{"another secret", "/whip/demo", mint(strings.Repeat("x", 32), publisher, time.Hour), send, 401},
		{"a viewer's to publish", "/whip/demo", mint(secret, viewer, time.Hour), send, 403},
		{"another stream's to publish", "/whip/demo", mint(secret, other, time.Hour), send, 403},
		{"another stream's to watch", "/whep/demo", mint(secret, other, time.Hour), receive, 403},
		{"good to watch, nobody there", "/whep/demo", mint(secret, viewer, time.Hour), receive, 409},
		{"good to publish", "/whip/demo", mint(secret, publisher, time.Hour), send, 201},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := post(t, c, node.URL+tc.path, "application/sdp", tc.token, tc.offer)
			if got.status != tc.status {
				t.Errorf("got %d %q, want %d", got.status, got.problem, tc.status)
			}
			if challenge := got.header.Get("WWW-Authenticate"); (tc.status == 401) != strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("WWW-Authenticate: %q", challenge)
			}
			if tc.status == 409 && got.header.Get("Retry-After") == "" {
				t.Error("409 without Retry-After")
			}
		})
	}
}

// TestHalfOpen posts a thousand offers whose senders never connect. The node
// gives everything back.
func TestHalfOpen(t *testing.T) {
	const total = 1000
	node := startNode(t, "limits.handshake_timeout=1s", "stream.wait=true", "log.level=warn")
	c := clientHTTP(t)
	send, receive := sampleOffer(t, webrtc.RTPTransceiverDirectionSendonly), sampleOffer(t, webrtc.RTPTransceiverDirectionRecvonly)
	flood := func(count int, name string) (accepted int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		next := make(chan int)
		for range 8 {
			wg.Go(func() {
				for i := range next {
					url, offer := fmt.Sprintf("%s/whip/%s%d", node.URL, name, i), send
					if i%2 == 1 {
						url, offer = fmt.Sprintf("%s/whep/%s%d", node.URL, name, i%10), receive
					}
					got := post(t, c, url, "application/sdp", "", offer)
					mu.Lock()
					switch got.status {
					case http.StatusCreated:
						accepted++
					case http.StatusServiceUnavailable, http.StatusTooManyRequests:
						if got.header.Get("Retry-After") == "" {
							t.Errorf("%d without Retry-After", got.status)
						}
					default:
						t.Errorf("POST %s: %d %s", url, got.status, got.problem)
					}
					mu.Unlock()
				}
			})
		}
		for i := range count {
			next <- i
		}
		close(next)
		wg.Wait()
		return accepted
	}
	idle := measure() // before anything
	flood(20, "warm")
	c.CloseIdleConnections()
	settled(t, patience, footprint{idle.goroutines + 20, idle.heap + 64<<20})
	before := measure()
	began := time.Now()
	accepted := flood(total, "cold")
	t.Logf("%d of %d accepted in %v; at the peak: %+v", accepted, total, time.Since(began).Round(time.Millisecond), measure())
	if accepted < total/2 {
		t.Errorf("only %d of %d were accepted", accepted, total)
	}
	c.CloseIdleConnections()
	settled(t, patience, before)
}
