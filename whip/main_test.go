package whip_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whip"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// media publishes without media.
type media struct {
	mu       sync.Mutex
	err      error
	offers   []sluice.Offer
	sessions []*wishtest.Session
}

func (m *media) Publish(_ context.Context, offer sluice.Offer) (wish.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	m.offers = append(m.offers, offer)
	s := wishtest.NewSession()
	m.sessions = append(m.sessions, s)
	return s, nil
}

func (m *media) last() *wishtest.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions) == 0 {
		return nil
	}
	return m.sessions[len(m.sessions)-1]
}

func (m *media) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.offers)
}

type server struct {
	wishtest.Client
	media   *media
	handler *whip.Handler
}

func auth() wishtest.Auth {
	return wishtest.Auth{
		"alice": {Identity: "alice", Stream: "demo", Publish: true, Watch: true},
		"bob":   {Identity: "bob", Stream: "demo", Publish: true},
		"any":   {Identity: "any", Publish: true},
		"view":  {Identity: "view", Watch: true},
	}
}

// serve starts a server whose client is alice.
func serve(t testing.TB, c whip.Config, a wish.Authorizer, rates wish.Rates) *server {
	t.Helper()
	m := &media{}
	h, err := whip.New(whip.Deps{Media: m, Auth: a, Limiter: wish.NewLimiter(rates), Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	h.Routes(engine)
	srv := httptest.NewServer(engine)
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		srv.Close()
		h.Close()
	})
	return &server{Client: wishtest.Client{T: t, URL: srv.URL, Bearer: "alice"}, media: m, handler: h}
}

func start(t testing.TB) *server { return serve(t, whip.Config{}, auth(), wish.Rates{}) }

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "internal", "wish", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func offer(t testing.TB) string { return testdata(t, "obs-32.2.2-whip-offer.sdp") }

const (
	ufrag = "P1Es" // of offer
	pwd   = "68KWd3ki0UXBM5eRhX7eJu"
)

func fragment(ufrag, pwd string, candidates ...string) string {
	b := "a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:" + pwd + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
	for _, c := range candidates {
		b += "a=candidate:" + c + "\r\n"
	}
	return b + "a=end-of-candidates\r\n"
}

const host = "1 1 udp 2130706431 192.0.2.9 4000 typ host"

// publish opens a session and returns its path and entity-tag.
func (s *server) publish(t testing.TB) (path, etag string) {
	t.Helper()
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	return r.Header.Get("Location"), r.Header.Get("ETag")
}

func problemType(r wishtest.Response) string {
	_, rest, _ := strings.Cut(r.Body, `"type":"`)
	typ, _, _ := strings.Cut(rest, `"`)
	return strings.TrimPrefix(typ, "https://sluice.live/problems/")
}

func loopback(a netip.Addr) bool { return a.IsLoopback() }
