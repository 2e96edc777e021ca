package node

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/sfu"
	"github.com/sluice-live/sluice/whep/relay"
)

// endedBranch is a stream that another node stops sending at once, though the
// stream goes on.
type endedBranch struct {
	done chan struct{}
	once sync.Once
}

func (b *endedBranch) Answer() sluice.RelayAnswer { return sluice.RelayAnswer{SDP: "answer"} }
func (b *endedBranch) SetViewers(int)             {}
func (b *endedBranch) Close(string)               { b.once.Do(func() { close(b.done) }) }
func (b *endedBranch) Done() <-chan struct{}      { return b.done }

func (b *endedBranch) News() (sluice.RelayNews, <-chan struct{}) {
	return sluice.RelayNews{Path: []string{"a"}, Stream: sluice.Stream{Name: "demo", State: sluice.StreamLive}}, make(chan struct{})
}

// Feed implements relay.Source.
func (b *endedBranch) Feed(context.Context, relay.Pull) (relay.Branch, error) { return b, nil }

// A node that answers requests for news with one line and ends them must not be
// asked without rest: each answer does bring news.
func TestNewsThatEndAtOnceAreNotAskedForAgain(t *testing.T) {
	tickets := func(id string) *auth.Tickets {
		k := auth.NewTickets(id)
		k.SetSecret(strings.Repeat("s", auth.MinSecret))
		return k
	}
	branch := &endedBranch{done: make(chan struct{})}
	server := relay.NewServer(branch, tickets("a"), wish.NewLimiter(wish.Rates{}), slog.New(slog.DiscardHandler))
	defer server.Close()
	gin.SetMode(gin.TestMode)
	engine := gin.New()
	server.Routes(engine)
	var asked atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			asked.Add(1)
		}
		engine.ServeHTTP(w, r)
	}))
	defer web.Close()
	media, err := sfu.New(sfu.Config{MediaAddr: "127.0.0.1:0", Loopback: true}, sfu.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = media.Close() }()
	in, err := media.Relay(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close("end of test")

	client := relay.NewClient(tickets("b"))
	defer client.Close()
	remote, answer, err := client.Ask(t.Context(), "a", web.URL, "demo", in.Offer(), "")
	if err != nil {
		t.Fatal(err)
	}
	branch.Close("gone")
	l := &link{
		pull: &pull{relays: &relays{log: slog.New(slog.DiscardHandler)}, stream: "demo"}, node: "a", media: in, remote: remote,
		began: time.Now(), fresh: make(chan struct{}, 1), cut: make(chan struct{}),
	}
	l.take(answer.News)
	l.follow(t.Context())
	if n := asked.Load(); n != 1 {
		t.Errorf("news were asked for %d times", n)
	}
}

// Links that do not last rest longer and longer; one that lasts forgives them.
func TestShortLinksRest(t *testing.T) {
	var p pace
	var total time.Duration
	for i := range 20 {
		rest := p.ended(10 * time.Millisecond)
		if i == 0 && rest != 0 {
			t.Errorf("the first one rests %v", rest)
		}
		if rest > maxPause {
			t.Errorf("a rest of %v", rest)
		}
		total += rest
	}
	if total < 15*maxPause {
		t.Errorf("20 short links rest %v in all", total)
	}
	if rest := p.ended(steadyTime); rest != 0 {
		t.Errorf("a link that lasted is followed by a rest of %v", rest)
	}
	if rest := p.ended(0); rest != 0 {
		t.Errorf("the next short one rests %v", rest)
	}
}

// What has not been heard while this node stood still says nothing of the other one.
func TestStallIsNotABrokenLink(t *testing.T) {
	l := &link{began: time.Now()}
	now := l.began
	look := func(after, want time.Duration) {
		t.Helper()
		now = now.Add(after)
		if got := l.deaf(now); got != want {
			t.Errorf("%v later it is deaf for %v, want %v", after, got, want)
		}
		l.judged = now
	}
	look(linkCheck, 0)
	for i := range 20 {
		look(linkCheck, time.Duration(i+1)*linkCheck)
	}
	look(3*time.Second, 0)
	look(linkCheck, linkCheck)
	l.heard.Store(int64(now.Sub(l.began)))
	look(0, 0)
	look(linkCheck, linkCheck)
}
