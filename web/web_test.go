package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	long := strings.Repeat("a", 65)
	tests := []struct {
		name, path  string
		status      int
		contentType string
		framed      bool
	}{
		{"home", "/", 200, "text/html", false},
		{"publish", "/publish/demo", 200, "text/html", false},
		{"watch", "/watch/demo_1-2", 200, "text/html", false},
		{"embed", "/embed/demo", 200, "text/html", true},
		{"module for others", "/assets/whip.js", 200, "text/javascript", false},
		{"player for others", "/assets/player.js", 200, "text/javascript", false},
		{"style", "/assets/home.css", 200, "text/css", false},
		{"icon", "/assets/icon.svg", 200, "image/svg+xml", false},
		{"bad name", "/watch/de%20mo", 400, "text/html", false},
		{"slash in name", "/watch/a%2Fb", 400, "text/html", false},
		{"long name", "/publish/" + long, 400, "text/html", false},
		{"no name", "/watch/", 404, "text/html", false},
		{"deeper", "/watch/a/b", 404, "text/html", false},
		{"page as asset", "/assets/embed.html", 404, "text/html", false},
		{"unknown asset", "/assets/x.js", 404, "text/html", false},
		{"unknown", "/x", 404, "text/html", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := get(t, tt.path)
			if res.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", res.StatusCode, tt.status)
			}
			if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, tt.contentType) {
				t.Errorf("content type %q, want %q", got, tt.contentType)
			}
			if tt.contentType != "text/html" {
				if got := res.Header.Get("Access-Control-Allow-Origin"); got != "*" {
					t.Errorf("asset is not for other origins: %q", got)
				}
				return
			}
			csp := res.Header.Get("Content-Security-Policy")
			if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("weak policy %q", csp)
			}
			if framed := strings.Contains(csp, "frame-ancestors *"); framed != tt.framed {
				t.Errorf("frameable is %v, want %v", framed, tt.framed)
			}
		})
	}
}

func TestCaching(t *testing.T) {
	first := get(t, "/assets/watch.js")
	etag := first.Header.Get("ETag")
	if etag == "" || first.Header.Get("Cache-Control") != revalidate {
		t.Fatalf("ETag %q, Cache-Control %q", etag, first.Header.Get("Cache-Control"))
	}
	for _, tag := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		if res := get(t, "/assets/watch.js", "If-None-Match", tag); res.StatusCode != http.StatusNotModified {
			t.Errorf("If-None-Match %s: status %d", tag, res.StatusCode)
		}
	}
	if res := get(t, "/assets/watch.js", "If-None-Match", `"other"`); res.StatusCode != http.StatusOK {
		t.Errorf("other tag: status %d", res.StatusCode)
	}
}

// What a page or module names exists.
func TestReferences(t *testing.T) {
	s := Handler()
	files, err := dist.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	refs := regexp.MustCompile(`/assets/([\w.-]+)|"\./(chunk-[\w.-]+)"`)
	for _, f := range files {
		body, err := dist.ReadFile("dist/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range refs.FindAllStringSubmatch(string(body), -1) {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assets/"+m[1]+m[2], http.NoBody))
			if w.Code != http.StatusOK {
				t.Errorf("%s names %s%s: status %d", f.Name(), m[1], m[2], w.Code)
			}
		}
	}
}
