package signaling_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/signaling"
)

func TestNodesAPI(t *testing.T) {
	e, err := signaling.NewEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	a, b := registry(t, connect(t, e.URL()), "a"), registry(t, connect(t, e.URL()), "b")
	b.SetURL("https://b.example")
	l := acquire(t, b, "demo")
	if err := b.Announce(t.Context(), "demo", signaling.Edge{Lease: l.Generation()}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both nodes are known, b by its URL", func() bool {
		n, err := a.FindNode(t.Context(), "b")
		nodes, err2 := a.Nodes(t.Context())
		return err == nil && err2 == nil && n.URL != "" && len(nodes) == 2
	})
	engine := gin.New()
	api := signaling.API{Streams: testStation(), Auth: testTokens(), Version: "1", Cluster: a,
		Avoid: func(_ context.Context, from netip.Addr, n sluice.Node, stream string) string {
			return "https://c.example/whep/" + stream + "?" + from.String() + n.ID
		}}
	if err := api.Routes(engine); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, method, path, bearer, contentType, body string
		status                                        int
		want                                          string
	}{
		{"list", "GET", "nodes", "all", "", "", 200, `"id":"b"`},
		{"list by a viewer", "GET", "nodes", "watch", "", "", 403, "forbidden"},
		{"one", "GET", "nodes/b", "all", "", "", 200, `"url":"https://b.example"`},
		{"none", "GET", "nodes/zz", "all", "", "", 404, "not-found"},
		{"not a name", "GET", "nodes/%7Ba%20b%7D", "all", "", "", 404, "not-found"},
		{"places", "GET", "streams/demo/nodes", "all", "", "", 200, `"origin":"b"`},
		{"places of none", "GET", "streams/none/nodes", "all", "", "", 404, "not-found"},
		{"places by a viewer", "GET", "streams/demo/nodes", "watch", "", "", 403, "forbidden"},
		{"drain", "POST", "nodes/b/drain", "all", "application/json", `{"timeoutSeconds":5}`, 200, `"draining"`},
		{"drain without a type", "POST", "nodes/b/drain", "all", "", "{}", 415, "unsupported-media"},
		{"drain by a form", "POST", "nodes/b/drain", "all", "text/plain", `{}`, 415, "unsupported-media"},
		{"drain for ever", "POST", "nodes/b/drain", "all", "application/json", `{"timeoutSeconds":1e9}`, 400, "invalid"},
		{"drain with nonsense", "POST", "nodes/b/drain", "all", "application/json", `[`, 400, "invalid"},
		{"drain by a viewer", "POST", "nodes/b/drain", "watch", "application/json", `{}`, 403, "forbidden"},
		{"drain of none", "POST", "nodes/zz/drain", "all", "application/json", `{}`, 404, "not-found"},
		{"undrain", "POST", "nodes/b/undrain", "all", "application/json", "", 200, `"serving"`},
		{"report", "POST", "nodes/unreachable", "watch", "application/json", `{"url":"https://b.example/whep/demo/x","stream":"demo"}`, 200, "https://c.example/whep/demo?192.0.2.1b"},
		{"report of another site", "POST", "nodes/unreachable", "watch", "application/json", `{"url":"https://b.example.org/","stream":"demo"}`, 404, "not-found"},
		{"report for another stream", "POST", "nodes/unreachable", "watch", "application/json", `{"url":"https://b.example","stream":"other"}`, 403, "forbidden"},
		{"report without a stream", "POST", "nodes/unreachable", "watch", "application/json", `{}`, 400, "invalid"},
		{"may report from another page", "OPTIONS", "nodes/unreachable", "", "", "", 204, ""},
		{"too much", "POST", "nodes/unreachable", "watch", "application/json", strings.Repeat(" ", 5000), 413, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/api/v1/"+tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer "+tt.bearer)
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			w := httptest.NewRecorder()
			engine.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
			if open := w.Header().Get("Access-Control-Allow-Origin") == "*"; open != (tt.path == "nodes/unreachable") {
				t.Errorf("pages of other origins may read it: %v", open)
			}
			if w.Code >= 400 && tt.want != "" {
				var p problem.Problem
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code {
					t.Errorf("not a problem: %s", w.Body)
				}
			}
		})
	}
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/openapi.json", nil))
	for _, want := range []string{"/api/v1/nodes/{id}/drain", `"Node"`, "unreachable"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the document lacks %s", want)
		}
	}
}
