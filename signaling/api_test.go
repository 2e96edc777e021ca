package signaling_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/signaling"
)

// station is a media plane that stands still.
type station struct {
	streams []sluice.Stream
	viewers map[string][]sluice.Viewer
}

func (s station) Streams() []sluice.Stream              { return s.streams }
func (s station) Viewers(stream string) []sluice.Viewer { return s.viewers[stream] }

// tokens maps a bearer to its grant.
type tokens map[string]sluice.Grant

func (t tokens) Authorize(_ context.Context, bearer string) (sluice.Grant, error) {
	g, ok := t[bearer]
	if !ok {
		return sluice.Grant{}, sluice.Errorf(sluice.CodeUnauthenticated, "the token is not valid")
	}
	return g, nil
}

func testStation() station {
	since := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	return station{
		streams: []sluice.Stream{
			{Name: "show", State: sluice.StreamPaused, Since: since},
			{Name: "demo", State: sluice.StreamLive, Since: since, Viewers: 2,
				Publisher: &sluice.Publisher{ID: "p1", Identity: "alice", Since: since},
				Layers:    []sluice.Layer{{RID: "h", Codec: "H264", Width: 1280, Height: 720, Active: true}},
				Audio:     &sluice.Audio{Codec: "opus", Active: true}},
		},
		viewers: map[string][]sluice.Viewer{"demo": {{ID: "v2", Layer: "h"}, {ID: "v1", Layer: "h", Waiting: "keyframe"}}},
	}
}

func testTokens() tokens {
	return tokens{
		"all":     {Publish: true, Watch: true, Moderate: true},
		"watch":   {Stream: "demo", Watch: true},
		"publish": {Stream: "demo", Publish: true},
		"mod":     {Stream: "show", Moderate: true},
		"nothing": {},
	}
}

func apiHandler(t testing.TB, s signaling.Streams) http.Handler {
	t.Helper()
	engine := gin.New()
	engine.Use(func(c *gin.Context) { // as the node does
		c.Header(obs.RequestIDHeader, "r1")
		c.Request = c.Request.WithContext(obs.WithRequestID(c.Request.Context(), "r1"))
	})
	last := func(_ context.Context, stream string) (sluice.Recording, bool) {
		return sluice.Recording{ID: "r7", Stream: stream, Ended: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}, stream == "over"
	}
	if err := (signaling.API{Streams: s, Auth: testTokens(), Version: "1.2.3", Last: last}).Routes(engine); err != nil {
		t.Fatal(err)
	}
	return engine
}

func ask(h http.Handler, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAPI(t *testing.T) {
	tests := []struct {
		name, path, auth string
		status           int
		want             []string
		absent           string
	}{
		{"all streams, sorted", "/api/v1/streams", "Bearer all", 200,
			[]string{`{"items":[{"name":"demo","state":"live"`, `"rid":"h"`, `{"name":"show","state":"paused"`, `"layers":[]`, `"nextCursor":""}`}, "$schema"},
		{"only one's own stream", "/api/v1/streams", "Bearer watch", 200, []string{`"demo"`}, `"show"`},
		{"a publisher sees its stream", "/api/v1/streams", "bearer publish", 200, []string{`"demo"`}, `"show"`},
		{"no rights, no streams", "/api/v1/streams", "Bearer nothing", 200, []string{`{"items":[],"nextCursor":""}`}, ""},
		{"no token", "/api/v1/streams", "", 401, []string{"/problems/unauthenticated", `"requestId":"r1"`}, ""},
		{"bad token", "/api/v1/streams", "Bearer x", 401, []string{"/problems/unauthenticated"}, ""},
		{"other scheme", "/api/v1/streams", "Basic YTpi", 401, []string{"Bearer scheme"}, ""},
		{"one stream", "/api/v1/streams/demo", "Bearer watch", 200, []string{`"name":"demo"`, `"width":1280`, `"identity":"alice"`}, "items"},
		{"stream without layers", "/api/v1/streams/show", "Bearer mod", 200, []string{`"layers":[]`}, "null"},
		{"someone else's stream", "/api/v1/streams/show", "Bearer watch", 403, []string{"/problems/forbidden"}, ""},
		{"someone else's stream that is not there", "/api/v1/streams/none", "Bearer watch", 403, []string{"/problems/forbidden"}, ""},
		{"no such stream", "/api/v1/streams/none", "Bearer all", 404, []string{"/problems/not-found", `"requestId":"r1"`}, ""},
		{"stream whose show has ended", "/api/v1/streams/over", "Bearer all", 200, []string{`"state":"offline","since":"2026-11-20T08:00:00Z"`, `"layers":[]`, `"recording":"r7"`}, ""},
		{"bad stream name", "/api/v1/streams/a.b", "Bearer all", 400, []string{"/problems/invalid"}, ""},
		{"viewers", "/api/v1/streams/demo/viewers", "Bearer publish", 200, []string{`{"items":[{"id":"v1"`, `"waiting":"keyframe"`, `{"id":"v2"`}, ""},
		{"viewers of a stream without any", "/api/v1/streams/show/viewers", "Bearer mod", 200, []string{`{"items":[],"nextCursor":""}`}, ""},
		{"viewers are not for viewers", "/api/v1/streams/demo/viewers", "Bearer watch", 403, []string{"/problems/forbidden"}, ""},
		{"one viewer", "/api/v1/streams/demo/viewers/v2", "Bearer all", 200, []string{`{"id":"v2"`}, "v1"},
		{"no such viewer", "/api/v1/streams/demo/viewers/v3", "Bearer all", 404, []string{"/problems/not-found"}, ""},
		{"one viewer is not for viewers", "/api/v1/streams/demo/viewers/v1", "Bearer watch", 403, []string{"/problems/forbidden"}, ""},
		{"limit not a number", "/api/v1/streams?limit=x", "Bearer all", 400, []string{"limit"}, ""},
		{"limit zero", "/api/v1/streams?limit=0", "Bearer all", 400, []string{"limit"}, ""},
		{"limit too high", "/api/v1/streams/demo/viewers?limit=1001", "Bearer all", 400, []string{"limit"}, ""},
		{"foreign cursor", "/api/v1/streams?cursor=%25", "Bearer all", 400, []string{"cursor"}, ""},
		{"long cursor", "/api/v1/streams?cursor=" + strings.Repeat("A", 1000), "Bearer all", 400, []string{"cursor"}, ""},
	}
	h := apiHandler(t, testStation())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(h, tt.path, tt.auth)
			if w.Code != tt.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for _, want := range tt.want {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s is missing in %s", want, w.Body)
				}
			}
			if tt.absent != "" && strings.Contains(w.Body.String(), tt.absent) {
				t.Errorf("%s is in %s", tt.absent, w.Body)
			}
			checkHeaders(t, w)
		})
	}
}

func checkHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	contentType := "application/json"
	if w.Code >= 400 {
		contentType = problem.ContentType
		var p problem.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title == "" || p.RequestID != "r1" {
			t.Errorf("problem %+v, %v", p, err)
		}
	}
	if got := w.Header().Values("Content-Type"); !slices.Equal(got, []string{contentType}) {
		t.Errorf("Content-Type %q", got)
	}
	if got := w.Header().Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("Cache-Control %q", got)
	}
	if got := w.Header().Get("WWW-Authenticate") != ""; got != (w.Code == 401) {
		t.Errorf("WWW-Authenticate present: %v", got)
	}
}

func TestAPIPages(t *testing.T) {
	s := station{}
	for i := range 7 {
		s.streams = append(s.streams, sluice.Stream{Name: fmt.Sprintf("s%d", 6-i)})
	}
	h := apiHandler(t, s)
	var names []string
	for cursor, pages := "", 0; ; pages++ {
		w := ask(h, "/api/v1/streams?limit=3&cursor="+cursor, "Bearer all")
		var got struct {
			Items      []sluice.Stream `json:"items"`
			NextCursor string          `json:"nextCursor"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, item := range got.Items {
			names = append(names, item.Name)
		}
		if cursor = got.NextCursor; cursor == "" || pages > 5 {
			break
		}
	}
	if got := strings.Join(names, " "); got != "s0 s1 s2 s3 s4 s5 s6" {
		t.Errorf("pages hold %s", got)
	}
}

func TestOpenAPI(t *testing.T) {
	w := ask(apiHandler(t, testStation()), "/api/v1/openapi.json", "")
	var doc struct {
		OpenAPI string `json:"openapi"`
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]any
			}
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 || doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("%d, OpenAPI %q, version %q", w.Code, doc.OpenAPI, doc.Info.Version)
	}
	want := []string{"/api/v1/streams", "/api/v1/streams/{stream}", "/api/v1/streams/{stream}/viewers", "/api/v1/streams/{stream}/viewers/{id}"}
	if got := slices.Sorted(maps.Keys(doc.Paths)); !slices.Equal(got, want) {
		t.Errorf("paths %v", got)
	}
	for path, methods := range doc.Paths {
		responses := methods["get"].Responses
		if responses["200"].Content["application/json"] == nil || responses["default"].Content[problem.ContentType] == nil || len(responses) != 2 {
			t.Errorf("%s answers %v", path, responses)
		}
	}
	for _, name := range []string{"Stream", "Viewer", "Problem"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("no schema %s in %v", name, slices.Sorted(maps.Keys(doc.Components.Schemas)))
		}
	}
	for _, absent := range []string{"ErrorModel", `"additionalProperties":false`, `"null"`} {
		if strings.Contains(w.Body.String(), absent) {
			t.Errorf("%s is in the document", absent)
		}
	}
}

func TestOpenAPIOfOthers(t *testing.T) {
	more := []byte(`{"paths":{"/more":{"get":{}}},"components":{"schemas":{"More":{}},"parameters":{"M":{}}}}`)
	a := signaling.API{Streams: testStation(), Auth: testTokens(), Documents: [][]byte{more}}
	engine := gin.New()
	if err := a.Routes(engine); err != nil {
		t.Fatal(err)
	}
	w := ask(engine, "/api/v1/openapi.json", "")
	for _, part := range []string{`"/more":{"get":{}}`, `"/api/v1/streams":`, `"More":{}`, `"Stream":`, `"M":{}`, `"bearer":`, `"openapi":"3.1.0"`} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s is missing", part)
		}
	}
	for _, bad := range []string{"{", `{"paths":{"/api/v1/streams":{}}}`, `{"components":{"schemas":{"Stream":{}}}}`} {
		a.Documents = [][]byte{[]byte(bad)}
		if err := a.Routes(gin.New()); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func FuzzAPI(f *testing.F) {
	f.Add("streams", "Bearer all")
	f.Add("streams/demo/viewers?limit=1&cursor=djE", "Bearer publish")
	f.Add("streams/%00/viewers/..%2f", "Bearer  all ")
	f.Add("streams?limit=-1&limit=99999999999999999999&cursor==", "bearer")
	h := apiHandler(f, testStation())
	f.Fuzz(func(t *testing.T, rest, authorization string) {
		r, err := http.NewRequest(http.MethodGet, "http://x/api/v1/"+rest, nil)
		if err != nil {
			return
		}
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%q: %d %s", rest, w.Code, w.Body)
		}
	})
}
