package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// ask sends a request without a body, and returns the answer, which is closed.
func ask(t testing.TB, method, url, bearer string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := clientHTTP(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response
}

// admitted is the answer to a publisher with a right who sends no offer.
const admitted = http.StatusUnsupportedMediaType

// TestStreamKeys makes a key by the command line, publishes with it as OBS does, and
// revokes it under the publisher.
func TestStreamKeys(t *testing.T) {
	s := serveSluice(t, "--auth.mode=token")
	base := strings.TrimSuffix(s.find(t, `Watch +(\S+)`), "/watch/demo")
	words := strings.Fields(s.find(t, `(?m)^ +(.*token create.*) --stream demo --watch$`)) // program token create --data.dir …
	printed := strings.Fields(s.find(t, `(?m)^ +(.*key create.*) --stream demo$`))         // program key create --data.dir … --url …
	sluiceKey := func(args ...string) string {
		t.Helper()
		args = append(append([]string{"key", args[0]}, printed[3:]...), args[1:]...)
		out, err := exec.Command(words[0], args...).CombinedOutput()
		if err != nil {
			t.Fatalf("sluice %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	key := sluiceKey("create", "--stream", "demo", "--name", "OBS at home")
	if !regexp.MustCompile(`^sk_[a-z2-7]{39}$`).MatchString(key) {
		t.Fatalf("the key is %q", key)
	}
	watch, err := exec.Command(words[0], append(words[1:], "--stream", "demo", "--watch")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(watch))

	publisher := publishClip(t, client.PublisherConfig{URL: base + "/whip", Token: key, Clip: pattern(t, clips.VP8, false)})
	var viewer *client.Viewer
	within(t, patience, "the stream is live", func() bool {
		v, err := client.Watch(t.Context(), client.ViewerConfig{URL: base + "/whep/demo", Token: token, HTTP: clientHTTP(t)})
		viewer = v
		return err == nil
	})
	t.Cleanup(func() { _ = viewer.Close() })
	within(t, patience, "frames", func() bool { return viewer.Stats().Video.Frames > 5 })

	for name, c := range map[string]struct {
		method, path, key string
		status            int
	}{
		"its stream":        {"POST", "/whip/demo", key, admitted},
		"another stream":    {"POST", "/whip/other", key, http.StatusForbidden},
		"no such key":       {"POST", "/whip", key[:10] + "zzzz" + key[14:], http.StatusUnauthorized},
		"watching":          {"POST", "/whep/demo", key, http.StatusForbidden},
		"the control API":   {"GET", "/api/v1/streams/demo", key, http.StatusForbidden},
		"making more keys":  {"POST", "/api/v1/keys", key, http.StatusForbidden},
		"keys by a watcher": {"GET", "/api/v1/keys", token, http.StatusForbidden},
		"HLS":               {"GET", "/hls/demo/index.m3u8", key, http.StatusForbidden},
		"settings of chat":  {"GET", "/api/v1/streams/demo/chat", key, http.StatusForbidden},
	} {
		if got := ask(t, c.method, base+c.path, c.key); got.StatusCode != c.status {
			t.Errorf("%s: %s, want %d", name, got.Status, c.status)
		}
	}

	var keys []sluice.StreamKey
	listed := sluiceKey("list", "--stream", "demo", "--json")
	if err := json.Unmarshal([]byte(listed), &keys); err != nil || len(keys) != 1 || keys[0].Stream != "demo" || keys[0].Name != "OBS at home" || keys[0].Used.IsZero() {
		t.Errorf("the list: %v\n%s", err, listed)
	}
	if strings.Contains(listed, key) {
		t.Error("the list shows the key")
	}
	sluiceKey("revoke", "--stream", "demo", keys[0].ID)
	if got := ask(t, "POST", base+"/whip", key); got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a revoked key: %s %v", got.Status, got.Header)
	}
	if left := sluiceKey("list", "--stream", "demo", "--json"); left != "[]" {
		t.Errorf("left are %s", left)
	}
	seen := viewer.Stats().Video.Frames
	within(t, patience, "more frames of who publishes with a revoked key", func() bool { return viewer.Stats().Video.Frames > seen+10 })
	if err := publisher.Close(); err != nil {
		t.Errorf("the end of that session: %v", err)
	}
}
