package node_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/catalog/pgtest"
)

// notes are what nodes have logged.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

const (
	testKey    = "APItest"
	testSecret = "0123456789abcdef0123456789abcdef"
)

// operator calls a node's API with a token that moderates all streams, and returns
// the answer, which is decoded into out.
func operator(t *testing.T, method, url, body string, out any) *http.Response {
	t.Helper()
	token, err := auth.Mint(testKey, testSecret, sluice.Grant{Identity: "operator", Moderate: true}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s: %v\n%s", response.Status, err, text)
		}
	}
	return response
}

// admitted is the answer to a publisher with a right who sends no offer.
const admitted = http.StatusUnsupportedMediaType

// TestStreamKeysOfTwoNodes has two nodes on one database, which goes away for a while.
func TestStreamKeysOfTwoNodes(t *testing.T) {
	database := pgtest.Start(t)
	logged := &notes{}
	log := slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	settings := map[string]string{"database.url": database.URL, "auth.mode": "token", "auth.keys": testKey + ": " + testSecret, "record.enabled": "false"}
	here, _ := serve(t, free(t, settings), log)
	settings["chat.enabled"] = "false"
	there, _ := serve(t, free(t, settings), log)

	var first, second struct {
		sluice.StreamKey
		Key string
	}
	if r := operator(t, "POST", here.URL()+"/api/v1/keys", `{"stream":"demo","name":"one"}`, &first); r.StatusCode != http.StatusCreated {
		t.Fatal(r.Status)
	}
	operator(t, "POST", here.URL()+"/api/v1/keys", `{"stream":"demo"}`, &second)
	publish := func(url, key string) *http.Response {
		r, _ := fetch(t, "POST", url, map[string]string{"Authorization": "Bearer " + key})
		return r
	}
	for _, url := range []string{here.URL() + "/whip", there.URL() + "/whip", there.URL() + "/whip/demo"} {
		if r := publish(url, first.Key); r.StatusCode != admitted {
			t.Errorf("%s: %s", url, r.Status)
		}
	}
	if r := publish(there.URL()+"/whip/other", first.Key); r.StatusCode != http.StatusForbidden {
		t.Errorf("another stream: %s", r.Status)
	}

	if r := operator(t, "DELETE", here.URL()+"/api/v1/keys/"+first.ID, "", nil); r.StatusCode != http.StatusNoContent {
		t.Fatal(r.Status)
	}
	if r := publish(here.URL()+"/whip", first.Key); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("revoked, on the node that was asked: %s", r.Status)
	}
	revoked := time.Now()
	soon(t, "the other node refuses it", func() bool {
		return publish(there.URL()+"/whip", first.Key).StatusCode == http.StatusUnauthorized
	})
	t.Logf("revoked on the other node within %v", time.Since(revoked).Round(time.Millisecond))

	database.Stop()
	soon(t, "nobody knows about keys", func() bool {
		r := publish(there.URL()+"/whip", second.Key)
		return r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != ""
	})
	if r := operator(t, "GET", there.URL()+"/api/v1/keys", "", nil); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the list without the database: %s", r.Status)
	}
	database.Up(t)
	soon(t, "the key is good again", func() bool { return publish(there.URL()+"/whip", second.Key).StatusCode == admitted })

	var list struct{ Items []sluice.StreamKey }
	operator(t, "GET", there.URL()+"/api/v1/keys?stream=demo", "", &list)
	if len(list.Items) != 1 || list.Items[0].ID != second.ID || list.Items[0].Used.IsZero() {
		t.Errorf("the list: %+v", list.Items)
	}
	for _, secret := range []string{first.Key, second.Key, first.Key[3:], second.Key[3:]} {
		if strings.Contains(logged.String(), secret) {
			t.Error("a key is in the log")
		}
	}
}

// TestTokensOfTheAPI: a token that one node makes is good at every node with its keys.
func TestTokensOfTheAPI(t *testing.T) {
	settings := map[string]string{"auth.mode": "token", "auth.keys": testKey + ": " + testSecret + ", APIother: " + testSecret + "2", "record.enabled": "false"}
	here, _ := serve(t, free(t, settings), slog.New(slog.DiscardHandler))
	settings["auth.keys"] = testKey + ": " + testSecret
	there, _ := serve(t, free(t, settings), slog.New(slog.DiscardHandler))
	var made struct{ Token string }
	r := operator(t, "POST", there.URL()+"/api/v1/tokens", `{"stream":"demo","publish":true}`, &made)
	if r.StatusCode != http.StatusCreated {
		t.Fatal(r.Status)
	}
	if r, _ := fetch(t, "POST", here.URL()+"/whip", map[string]string{"Authorization": "Bearer " + made.Token}); r.StatusCode != admitted {
		t.Errorf("it is answered %s", r.Status)
	}
	open, _ := serve(t, free(t, map[string]string{"record.enabled": "false"}), slog.New(slog.DiscardHandler))
	if r := operator(t, "POST", open.URL()+"/api/v1/tokens", `{"stream":"demo","publish":true}`, nil); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("without an API key: %s", r.Status)
	}
}

// TestGuessedStreamKeys: who tries many keys has none looked up any more.
func TestGuessedStreamKeys(t *testing.T) {
	n, _ := serve(t, free(t, map[string]string{
		"auth.mode": "token", "auth.keys": testKey + ": " + testSecret, "record.enabled": "false", "limits.auth_failures_per_minute": "5",
	}), slog.New(slog.DiscardHandler))
	seen := map[int]int{}
	for range 12 {
		r, _ := fetch(t, "POST", n.URL()+"/whip/demo", map[string]string{"Authorization": "Bearer " + auth.NewStreamKey()})
		seen[r.StatusCode]++
	}
	if seen[http.StatusUnauthorized] < 5 || seen[http.StatusTooManyRequests] < 5 || len(seen) != 2 {
		t.Errorf("answers %v, want 401 and then 429", seen)
	}
}

// soon asks until something is so.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("within 20 s it did not happen that %s", what)
		}
	}
}
