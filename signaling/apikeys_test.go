package signaling_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/signaling"
)

// keyCabinet is signaling.Keys over a database.
type keyCabinet struct{ *catalog.Catalog }

func (k keyCabinet) MakeKey(ctx context.Context, stream, name string) (sluice.StreamKey, string, error) {
	secret := auth.NewStreamKey()
	hash, err := auth.HashStreamKey(secret)
	if err != nil {
		return sluice.StreamKey{}, "", err
	}
	key, err := k.AddKey(ctx, stream, name, hash, time.Now())
	return key, secret, err
}

func (k keyCabinet) ListKeys(ctx context.Context, stream, after string, limit int) ([]sluice.StreamKey, error) {
	return k.Keys(ctx, stream, after, limit)
}

func (k keyCabinet) RevokeKey(ctx context.Context, id string) error {
	_, err := k.DropKey(ctx, id)
	return err
}

// call sends JSON, with a token unless it is "".
func call(h http.Handler, method, path, bearer, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// checkProblem fails the test unless an answer of 400 and more is a problem.
func checkProblem(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); w.Code >= 400 && (err != nil || p.Status != w.Code || w.Header().Get("Content-Type") != problem.ContentType) {
		t.Errorf("not a problem: %d %s", w.Code, w.Body)
	}
}

func keysHandler(t *testing.T) http.Handler {
	t.Helper()
	c, err := catalog.Open(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	engine := gin.New()
	granted := testTokens()
	granted[""] = sluice.Grant{Publish: true, Watch: true, Moderate: true} // access is open
	if err := (signaling.API{Streams: testStation(), Auth: granted, Keys: keyCabinet{c}}).Routes(engine); err != nil {
		t.Fatal(err)
	}
	return engine
}

func TestKeyRoutes(t *testing.T) {
	h := keysHandler(t)
	const path = "/api/v1/keys"
	var ids []string
	for range 5 {
		w := call(h, "POST", path, "all", `{"stream":"demo","name":"OBS"}`)
		var made struct{ ID, Key, Stream, Name, Created, LastUsed string }
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if !strings.HasPrefix(made.Key, "sk_") || made.Stream != "demo" || made.Name != "OBS" || made.Created == "" || made.LastUsed != "" {
			t.Errorf("made %+v", made)
		}
		ids = append(ids, made.ID)
	}
	for _, tt := range []struct {
		name, method, path, bearer, body string
		status                           int
		want                             string
	}{
		{"of another stream", "POST", path, "all", `{"stream":"show"}`, 201, `"stream":"show"`},
		{"by who moderates one stream", "POST", path, "mod", `{"stream":"show"}`, 403, "forbidden"},
		{"by a publisher", "POST", path, "publish", `{"stream":"demo"}`, 403, "forbidden"},
		{"of no stream", "POST", path, "all", `{}`, 400, "invalid"},
		{"of a bad stream", "POST", path, "all", `{"stream":"a/b"}`, 400, "invalid"},
		{"with a long name", "POST", path, "all", `{"stream":"demo","name":"` + strings.Repeat("ü", 101) + `"}`, 400, "name"},
		{"with two lines", "POST", path, "all", `{"stream":"demo","name":"a\nb"}`, 400, "name"},
		{"nonsense", "POST", path, "all", `{`, 400, "invalid"},
		{"too much", "POST", path, "all", strings.Repeat(" ", 5000), 413, ""},
		{"list by a viewer", "GET", path, "watch", "", 403, "forbidden"},
		{"list of a bad stream", "GET", path + "?stream=a.b", "all", "", 400, "invalid"},
		{"list of no stream", "GET", path + "?stream=none", "all", "", 200, `{"items":[],"nextCursor":""}`},
		{"a bad limit", "GET", path + "?limit=0", "all", "", 400, "limit"},
		{"a bad cursor", "GET", path + "?cursor=%25", "all", "", 400, "cursor"},
		{"revoke by a publisher", "DELETE", path + "/" + ids[0], "publish", "", 403, "forbidden"},
		{"revoke", "DELETE", path + "/" + ids[0], "all", "", 204, ""},
		{"revoke again", "DELETE", path + "/" + ids[0], "all", "", 404, "not-found"},
		{"revoke by a secret", "DELETE", path + "/" + auth.NewStreamKey(), "all", "", 404, "not-found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := call(h, tt.method, tt.path, tt.bearer, tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
			if tt.want != "" {
				checkProblem(t, w)
			}
		})
	}
	var listed []string
	for cursor := ""; ; {
		w := call(h, "GET", path+"?stream=demo&limit=3&cursor="+cursor, "all", "")
		var page struct {
			Items      []struct{ ID string }
			NextCursor string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || strings.Contains(w.Body.String(), "sk_") {
			t.Fatalf("%v %s", err, w.Body)
		}
		for _, item := range page.Items {
			listed = append(listed, item.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if want := slices.Sorted(slices.Values(ids[1:])); !slices.Equal(listed, want) {
		t.Errorf("listed %v, want %v", listed, want)
	}
	if w := call(h, "GET", "/api/v1/openapi.json", "", ""); !strings.Contains(w.Body.String(), `"#/components/schemas/NewStreamKey"`) || !strings.Contains(w.Body.String(), `"201"`) {
		t.Errorf("the document: %s", w.Body)
	}
}

// TestPagesOfOtherOrigins: where access is open, a page of another site has a visitor's
// browser do nothing here that changes something.
func TestPagesOfOtherOrigins(t *testing.T) {
	h := keysHandler(t)
	for name, tt := range map[string]struct {
		bearer string
		header []string
		status int
	}{
		"no page":                       {"", nil, 201},
		"our page":                      {"", []string{"Origin", "http://example.com"}, 201}, // the host of httptest
		"our page behind a proxy":       {"", []string{"Origin", "https://live.example", "Sec-Fetch-Site", "same-origin"}, 201},
		"another page":                  {"", []string{"Origin", "https://evil.example"}, 403},
		"another page of a new browser": {"", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		"another page with a token":     {"all", []string{"Origin", "https://console.example", "Sec-Fetch-Site", "cross-site"}, 201},
	} {
		if w := call(h, "POST", "/api/v1/keys", tt.bearer, `{"stream":"demo"}`, tt.header...); w.Code != tt.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := call(h, "GET", "/api/v1/streams", "", "", "Origin", "https://evil.example"); w.Code != 200 {
		t.Errorf("reading: %d", w.Code)
	}
}
