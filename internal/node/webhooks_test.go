package node_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/node"
)

// hooked is a receiver of webhooks that notes the names of events.
type hooked struct {
	*httptest.Server
	mu    sync.Mutex
	names []string
}

func newHooked(t *testing.T) *hooked {
	t.Helper()
	h := &hooked{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var e struct{ Event string }
		if err := json.Unmarshal(body, &e); err != nil || len(strings.Split(r.Header.Get("Authorization"), ".")) != 3 {
			t.Errorf("got %q signed %q: %v", body, r.Header.Get("Authorization"), err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.names = append(h.names, e.Event)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooked) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.names)
}

// TestRoomsOfALoneNodeEndWithIt stops a node that has a stream: its receivers hear the
// end of everything. In open mode the key that signs is made.
func TestRoomsOfALoneNodeEndWithIt(t *testing.T) {
	h := newHooked(t)
	c := free(t, map[string]string{"webhook.urls": h.URL, "record.enabled": "false"})
	n, stop := serve(t, c, slog.New(slog.DiscardHandler))
	clip, err := clips.Synthetic(clips.VP8, false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := client.Publish(t.Context(), client.PublisherConfig{URL: n.URL() + "/whip/demo", Clip: clip})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	until(t, "both tracks are told of", func() bool { return len(h.got()) == 4 })
	_, metrics := fetch(t, "GET", n.OpsURL()+"/metrics", nil)
	for _, name := range []string{`sluice_webhook_events_total{result="refused"} 0`, `sluice_webhook_events_total{result="expired"} 0`, `sluice_webhook_events_total{result="dropped"} 0`, "sluice_webhook_retries_total 0", "sluice_webhook_queued "} {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("%s is missing", name)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"room_started", "participant_joined", "track_published", "track_published",
		"track_unpublished", "track_unpublished", "participant_left", "room_finished",
	}
	if got := h.got(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(filepath.Join(c.Data.Dir, "auth-keys.yaml")); err != nil {
		t.Errorf("the key that signs is not to be found: %v", err)
	}
}

func TestWebhooksNeedTheirKey(t *testing.T) {
	c := free(t, map[string]string{"webhook.urls": "http://127.0.0.1:1", "webhook.key": "other"})
	if _, err := node.New(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), `webhook.key: there is no API key "other"`) {
		t.Errorf("got %v", err)
	}
}
