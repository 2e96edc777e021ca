package whep_test

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whep"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// media is watched without media. All streams are the one snapshot.
type media struct {
	mu       sync.Mutex
	err      error
	snapshot sluice.Stream
	changed  chan struct{}
	sessions []*wishtest.Session
}

func newMedia() *media {
	return &media{changed: make(chan struct{}), snapshot: sluice.Stream{
		Name: "demo", State: sluice.StreamLive, Viewers: 1,
		Layers: []sluice.Layer{
			{RID: "f", Codec: "H264", Width: 1280, Height: 720, FrameRate: 30, Bitrate: 2_500_000, Active: true},
			{RID: "q", Codec: "H264", Width: 320, Height: 180, FrameRate: 30, Bitrate: 150_000, Active: true},
		},
	}}
}

func (m *media) Watch(context.Context, sluice.Offer) (whep.Viewer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	s := wishtest.NewSession()
	m.sessions = append(m.sessions, s)
	return s, nil
}

func (m *media) Stream(string) (sluice.Stream, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snapshot, m.changed
}

// measure changes the snapshot as measurements do: nobody is told.
func (m *media) measure(f func(s *sluice.Stream)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshot.Layers = append([]sluice.Layer(nil), m.snapshot.Layers...)
	f(&m.snapshot)
}

func (m *media) change(f func(s *sluice.Stream)) {
	m.measure(f)
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *media) last() *wishtest.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[len(m.sessions)-1]
}

type server struct {
	wishtest.Client
	media   *media
	handler *whep.Handler
}

func auth() wishtest.Auth {
	return wishtest.Auth{
		"alice": {Identity: "alice", Stream: "demo", Watch: true},
		"bob":   {Identity: "bob", Stream: "demo", Watch: true},
		"pub":   {Identity: "pub", Publish: true},
		"mod":   {Identity: "mod", Moderate: true},
	}
}

// serve starts a server whose client is alice.
func serve(t testing.TB, c whep.Config, rates wish.Rates) *server {
	t.Helper()
	m := newMedia()
	h, err := whep.New(whep.Deps{Media: m, Auth: auth(), Limiter: wish.NewLimiter(rates), Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	h.Routes(engine)
	srv := httptest.NewServer(engine)
	t.Cleanup(func() {
		h.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		srv.Close()
	})
	return &server{Client: wishtest.Client{T: t, URL: srv.URL, Bearer: "alice"}, media: m, handler: h}
}

func start(t testing.TB) *server {
	return serve(t, whep.Config{Periodic: time.Millisecond, Coalesce: time.Millisecond}, wish.Rates{})
}

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "internal", "wish", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func offer(t testing.TB) string { return testdata(t, "chromium-156-whep-offer.sdp") }

// watch opens a session and returns its path and entity-tag.
func (s *server) watch(t testing.TB) (path, etag string) {
	t.Helper()
	r := s.Post("/whep/demo", offer(t)).Want(t, http.StatusCreated)
	return r.Header.Get("Location"), r.Header.Get("ETag")
}

// listen makes an event stream. Types is a JSON array, "" for all.
func (s *server) listen(t testing.TB, session, types string) string {
	t.Helper()
	return s.Do(http.MethodPost, session+"/sse", types, "Content-Type", "application/json").Want(t, http.StatusCreated).Header.Get("Location")
}

// reader reads an event stream.
type reader struct {
	t      testing.TB
	body   *bufio.Reader
	header http.Header
	cancel context.CancelFunc
}

type message struct{ id, event, data, comment, retry string }

func (s *server) read(t testing.TB, path string, headers ...string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	resp := s.Open(ctx, http.MethodGet, path, "", headers...)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d", path, resp.StatusCode)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return &reader{t: t, body: bufio.NewReader(resp.Body), header: resp.Header, cancel: cancel}
}

// next returns the next message, and ok false at the end of the stream.
func (r *reader) next() (m message, ok bool) {
	r.t.Helper()
	lines := 0
	for {
		line, err := r.body.ReadString('\n')
		if err != nil {
			return m, false
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return m, lines > 0
		}
		lines++
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			if m.data != "" {
				r.t.Errorf("a second data line: %q", line)
			}
			m.data = value
		case "retry":
			m.retry = value
		case "":
			m.comment = value
		default:
			r.t.Errorf("line %q", line)
		}
	}
}

// event returns the next event of that name, over all others.
func (r *reader) event(name string) message {
	r.t.Helper()
	for {
		m, ok := r.next()
		if !ok {
			r.t.Fatalf("the stream ended before %q", name)
		}
		if m.event == name {
			return m
		}
	}
}

// ended reports whether the stream ends, after whatever is still in it.
func (r *reader) ended() bool {
	for {
		if _, ok := r.next(); !ok {
			return true
		}
	}
}

func problemType(r wishtest.Response) string {
	_, rest, _ := strings.Cut(r.Body, `"type":"`)
	typ, _, _ := strings.Cut(rest, `"`)
	return strings.TrimPrefix(typ, "https://sluice.live/problems/")
}
