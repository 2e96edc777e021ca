package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/sluice-live/sluice"
)

//go:embed dist
var dist embed.FS

// Cache-Control of what may change with the next release, and of files whose
// name holds their hash.
const (
	revalidate = "no-cache"
	immutable  = "public, max-age=31536000, immutable"
)

// Policies against injected content. Players may be framed by anyone, pages
// that hold a camera or a token by nobody. Players go on at other nodes, which
// serve plain HTTP where this one does; browsers keep them from it elsewhere.
const (
	policy      = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self' http: https: ws: wss:; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'"
	frameNobody = policy + "; frame-ancestors 'none'"
	frameAll    = policy + "; frame-ancestors *"

	permitNone    = "camera=(), microphone=(), display-capture=(), geolocation=()"
	permitCapture = "camera=(self), microphone=(self), display-capture=(self), geolocation=()"
)

// asset is one file of dist, ready to be served.
type asset struct {
	body        []byte
	contentType string
	etag        string
	cache       string
}

type server struct {
	assets map[string]asset
}

// Handler serves /, /cluster, /publish/{stream}, /watch/{stream}, /embed/{stream} and
// /assets/. Stream names that break the rule are answered with 400, anything
// else with 404. Only GET and HEAD are allowed.
func Handler() http.Handler {
	s := &server{assets: map[string]asset{}}
	err := fs.WalkDir(dist, "dist", s.load)
	if err != nil {
		panic("web: embedded files: " + err.Error()) // the build is broken
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page("home.html", frameNobody, permitNone))
	mux.HandleFunc("GET /publish/{stream}", s.streamPage("publish.html", frameNobody, permitCapture))
	mux.HandleFunc("GET /watch/{stream}", s.streamPage("watch.html", frameNobody, permitNone))
	mux.HandleFunc("GET /embed/{stream}", s.streamPage("embed.html", frameAll, permitNone))
	mux.HandleFunc("GET /cluster", s.page("cluster.html", frameNobody, permitNone))
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { s.fail(w, http.StatusNotFound) })
	return mux
}

func (s *server) load(name string, d fs.DirEntry, err error) error {
	if err != nil || d.IsDir() {
		return err
	}
	body, err := dist.ReadFile(name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	sum := sha256.Sum256(body)
	a := asset{
		body:        body,
		contentType: contentType(base),
		etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		cache:       revalidate,
	}
	if strings.HasPrefix(base, "chunk-") {
		a.cache = immutable
	}
	s.assets[base] = a
	return nil
}

// contentType does not ask the operating system, whose table may be odd.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "application/octet-stream"
	}
}

func (s *server) streamPage(name, csp, permissions string) http.HandlerFunc {
	page := s.page(name, csp, permissions)
	return func(w http.ResponseWriter, r *http.Request) {
		if sluice.CheckStreamName(r.PathValue("stream")) != nil {
			s.fail(w, http.StatusBadRequest)
			return
		}
		page(w, r)
	}
}

func (s *server) page(name, csp, permissions string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header(), csp, permissions)
		s.serve(w, r, s.assets[name])
	}
}

func (s *server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	a, ok := s.assets[name]
	if !ok || path.Ext(name) == ".html" {
		s.fail(w, http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	s.serve(w, r, a)
}

// serve answers with the file, or 304 when the caller has it.
func (s *server) serve(w http.ResponseWriter, r *http.Request, a asset) {
	header := w.Header()
	header.Set("Content-Type", a.contentType)
	header.Set("Cache-Control", a.cache)
	header.Set("ETag", a.etag)
	if matches(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.body) // the caller went away: nothing to do
}

// matches compares weakly (RFC 9110 section 13.1.2), since a proxy that
// compresses weakens the tag.
func matches(ifNoneMatch, etag string) bool {
	for tag := range strings.SplitSeq(ifNoneMatch, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

func (s *server) fail(w http.ResponseWriter, status int) {
	secure(w.Header(), frameNobody, permitNone)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(s.assets["error.html"].body) // the caller went away: nothing to do
}

func secure(header http.Header, csp, permissions string) {
	header.Set("Content-Security-Policy", csp)
	header.Set("Permissions-Policy", permissions)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
}
