package relay_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/whep/relay"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// branch is a stream that says what the test wants.
type branch struct {
	mu      sync.Mutex
	news    sluice.RelayNews
	changed chan struct{}
	viewers int
	done    chan struct{}
	once    sync.Once
}

func (b *branch) Answer() sluice.RelayAnswer {
	return sluice.RelayAnswer{SDP: "answer", Tracks: []sluice.RelayTrack{{SSRC: 7, Codec: "H264", RID: "f"}}}
}

func (b *branch) News() (sluice.RelayNews, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news, b.changed
}

func (b *branch) say(news sluice.RelayNews) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.news = news
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *branch) SetViewers(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.viewers = n
}

func (b *branch) Close(string)          { b.once.Do(func() { close(b.done) }) }
func (b *branch) Done() <-chan struct{} { return b.done }

// source gives one branch.
type source struct {
	branch *branch
	pull   relay.Pull
}

func (s *source) Feed(_ context.Context, p relay.Pull) (relay.Branch, error) {
	if p.Offer.Stream != "demo" {
		return nil, &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "this node does not get the stream", RetryAfter: time.Second}
	}
	s.pull = p
	return s.branch, nil
}

// node is a server with the tickets of node a, and a client with those of b.
type node struct {
	*httptest.Server
	source *source
	client *relay.Client
}

func tickets(id string) *auth.Tickets {
	t := auth.NewTickets(id)
	t.SetSecret(strings.Repeat("s", auth.MinSecret))
	return t
}

func newNode(t *testing.T) *node {
	t.Helper()
	b := &branch{changed: make(chan struct{}), done: make(chan struct{})}
	b.news = sluice.RelayNews{Path: []string{"a"}, Stream: sluice.Stream{Name: "demo", State: sluice.StreamLive}}
	n := &node{source: &source{branch: b}, client: relay.NewClient(tickets("b"))}
	engine := gin.New()
	server := relay.NewServer(n.source, tickets("a"), wish.NewLimiter(wish.Rates{}), slog.New(slog.DiscardHandler))
	server.Routes(engine)
	n.Server = httptest.NewServer(engine)
	t.Cleanup(func() {
		b.Close("end of test")
		server.Close()
		n.client.Close()
		n.Server.Close()
	})
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not in time: " + what)
		}
	}
}

func TestPull(t *testing.T) {
	n := newNode(t)
	link, answer, err := n.client.Ask(t.Context(), "a", n.URL, "demo", "offer", "north")
	if err != nil {
		t.Fatal(err)
	}
	if answer.SDP != "answer" || len(answer.Tracks) != 1 || answer.News.Path[0] != "a" {
		t.Errorf("answer %+v", answer)
	}
	if p := n.source.pull; p.Node != "b" || p.Region != "north" || p.Offer.SDP != "offer" {
		t.Errorf("pull %+v", p)
	}
	heard := make(chan sluice.RelayNews, 100)
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() {
		_ = link.Follow(t.Context(), func(news sluice.RelayNews) { heard <- news })
		close(heard)
	})
	n.source.branch.say(sluice.RelayNews{Path: []string{"a"}, Stream: sluice.Stream{Viewers: 5}})
	eventually(t, "the news", func() bool { return (<-heard).Stream.Viewers == 5 })
	if err := link.SetViewers(t.Context(), 3); err != nil || n.source.branch.viewers != 3 {
		t.Errorf("%d viewers, %v", n.source.branch.viewers, err)
	}
	if err := link.End(t.Context()); err != nil {
		t.Error(err)
	}
	<-n.source.branch.Done()
	for range heard { // until they end
	}
	if err := link.End(t.Context()); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("ended twice: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	n := newNode(t)
	if _, _, err := n.client.Ask(t.Context(), "a", n.URL, "other", "offer", ""); sluice.CodeOf(err) != sluice.CodeStreamOffline {
		t.Errorf("a stream that is not there: %v", err)
	}
	if _, _, err := n.client.Ask(t.Context(), "c", n.URL, "demo", "offer", ""); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
		t.Errorf("a ticket for another node: %v", err)
	}
	strange := auth.NewTickets("b")
	strange.SetSecret(strings.Repeat("x", auth.MinSecret))
	stranger := relay.NewClient(strange)
	defer stranger.Close()
	if _, _, err := stranger.Ask(t.Context(), "a", n.URL, "demo", "offer", ""); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
		t.Errorf("a stranger: %v", err)
	}
	link, _, err := n.client.Ask(t.Context(), "a", n.URL, "demo", "offer", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = link
	for name, c := range map[string]struct {
		method, path, body string
		sign               bool
		status             int
	}{
		"no ticket":         {http.MethodPost, "/demo", "{}", false, http.StatusUnauthorized},
		"not JSON":          {http.MethodPost, "/demo", "{", true, http.StatusBadRequest},
		"not a stream name": {http.MethodPost, "/a.b", "{}", true, http.StatusBadRequest},
		"no such relay":     {http.MethodGet, "/demo/none", "", true, http.StatusNotFound},
		"too large":         {http.MethodPost, "/demo", strings.Repeat("x", 1<<19), true, http.StatusRequestEntityTooLarge},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, n.URL+relay.Base+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.sign {
			ticket, _, err := tickets("b").Sign("a", c.method+" "+relay.Base+c.path, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+ticket)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: %s", name, response.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestAbandoned ends a branch whose puller has gone without a word.
func TestAbandoned(t *testing.T) {
	n := newNode(t)
	link, _, err := n.client.Ask(t.Context(), "a", n.URL, "demo", "offer", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_ = link.Follow(ctx, func(sluice.RelayNews) { cancel() })
	select {
	case <-n.source.branch.Done():
	case <-time.After(10 * time.Second):
		t.Error("the branch is still there")
	}
}

// FuzzAnswer asks a server that is no node of the cluster.
func FuzzAnswer(f *testing.F) {
	good, err := json.Marshal(relay.Answer{News: sluice.RelayNews{Path: []string{"a"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(http.StatusCreated, "/relay/v1/demo/x", string(good))
	f.Add(http.StatusServiceUnavailable, "", `{"type":"https://sluice.live/problems/unavailable"}`)
	f.Add(http.StatusOK, "%", "data: {}\n\n")
	f.Fuzz(func(t *testing.T, status int, location, body string) {
		if status < 200 || status > 599 {
			return
		}
		liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		defer liar.Close()
		client := relay.NewClient(tickets("b"))
		defer client.Close()
		if _, _, err := client.Ask(t.Context(), "a", liar.URL, "demo", "offer", ""); err == nil {
			t.Error("an answer without a ticket is taken")
		}
	})
}
