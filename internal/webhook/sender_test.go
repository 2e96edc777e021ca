package webhook_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a server that notes what it gets and answers what it is told to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string
	header http.Header
}

// listen starts a receiver. answer is called for each request, after its body has been noted.
func listen(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the sender has given up
		}
		r.mu.Lock()
		r.got, r.header = append(r.got, string(body)), req.Header.Clone()
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func sender(t *testing.T, cfg webhook.Config) *webhook.Sender {
	t.Helper()
	if cfg.Queue == 0 {
		cfg.Queue = 100
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Minute
	}
	sign := func(body []byte) (string, error) { return "signed " + string(body), nil }
	s, err := webhook.New(cfg, webhook.Deps{Sign: sign, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		s.Close(ended)
	})
	return s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("within 20 s it did not happen that %s", what)
		}
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	a, b := listen(t, nil), listen(t, nil)
	s := sender(t, webhook.Config{URLs: []string{a.URL, b.URL + "/hooks?key=1"}})
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint("demo ", i))
		s.Send(webhook.Message{Line: "demo", Body: []byte(want[i])})
		s.Send(webhook.Message{Line: "other", Body: fmt.Append(nil, "other ", i)})
	}
	eventually(t, "all is delivered", func() bool { return s.Counters().Delivered == 120 })
	for _, r := range []*receiver{a, b} {
		got := slices.DeleteFunc(r.bodies(), func(body string) bool { return strings.HasPrefix(body, "other") })
		if !slices.Equal(got, want) {
			t.Errorf("out of order: %q", got)
		}
	}
	last := a.bodies()[59]
	if h := a.header; h.Get("Content-Type") != "application/webhook+json" || h.Get("Authorization") != "signed "+last {
		t.Errorf("header %v", h)
	}
	if c := s.Counters(); c != (webhook.Counters{Delivered: 120}) {
		t.Errorf("counters %+v", c)
	}
}

func TestStatusSaysWhatBecomesOfAMessage(t *testing.T) {
	t.Parallel()
	for status, again := range map[int]bool{
		201: false, 204: false, 300: false, 304: false, 400: false, 401: false, 404: false, 410: false, 422: false,
		408: true, 429: true, 500: true, 502: true, 503: true, 504: true,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var r *receiver
			r = listen(t, func(w http.ResponseWriter, _ *http.Request) {
				if len(r.bodies()) == 1 {
					w.WriteHeader(status)
				}
			})
			s := sender(t, webhook.Config{URLs: []string{r.URL}})
			s.Send(webhook.Message{Line: "demo", Body: []byte("first")})
			s.Send(webhook.Message{Line: "demo", Body: []byte("second")})
			eventually(t, "the second is delivered", func() bool { return slices.Contains(r.bodies(), "second") && s.Counters().Queued == 0 })
			want, counts := []string{"first", "second"}, webhook.Counters{Delivered: 2}
			switch {
			case again:
				want, counts.Retries = []string{"first", "first", "second"}, 1
			case status >= 300:
				counts = webhook.Counters{Delivered: 1, Refused: 1}
			}
			if got := r.bodies(); !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			if c := s.Counters(); c != counts {
				t.Errorf("counters %+v, want %+v", c, counts)
			}
		})
	}
}

func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	stranger := listen(t, nil)
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   webhook.Counters
	}{
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, webhook.Counters{Expired: 1, Retries: 1}},
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, stranger.URL, http.StatusTemporaryRedirect)
		}, webhook.Counters{Refused: 1}},
		{"answers without end", func(w http.ResponseWriter, _ *http.Request) {
			for junk := make([]byte, 1<<16); ; {
				if _, err := w.Write(junk); err != nil {
					return
				}
			}
		}, webhook.Counters{Delivered: 1}},
		{"answers slowly", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush() // the test fails if that did not go out
			<-r.Context().Done()
		}, webhook.Counters{Delivered: 1}},
		{"has a long header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("a", 1<<20))
		}, webhook.Counters{Expired: 1, Retries: 1}},
		{"breaks off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, webhook.Counters{Expired: 1, Retries: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, tt.answer)
			s := sender(t, webhook.Config{URLs: []string{r.URL}, Timeout: 300 * time.Millisecond, Retry: 1500 * time.Millisecond})
			s.Send(webhook.Message{Line: "demo", Body: []byte("body")})
			eventually(t, "the message is done with", func() bool { return s.Counters().Queued == 0 })
			got := s.Counters()
			got.Retries = min(got.Retries, 1) // as chance has it, one or two
			if got != tt.want {
				t.Errorf("counters %+v, want %+v", got, tt.want)
			}
			if len(stranger.bodies()) > 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestLinesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	r := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "signed bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := sender(t, webhook.Config{URLs: []string{r.URL}})
	s.Send(webhook.Message{Line: "bad", Body: []byte("bad")})
	for i := range 50 {
		s.Send(webhook.Message{Line: fmt.Sprint("good ", i), Body: []byte("good")})
	}
	eventually(t, "the good ones are delivered", func() bool { return s.Counters().Delivered == 50 })
	if c := s.Counters(); c.Queued != 1 || c.Expired+c.Refused+c.Dropped != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := listen(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	s := sender(t, webhook.Config{URLs: []string{r.URL}, Queue: 10, Timeout: time.Minute})
	for i := range 20 {
		s.Send(webhook.Message{Line: "demo", Body: fmt.Append(nil, "minor ", i), Minor: true})
	}
	if c := s.Counters(); c.Queued != 5 || c.Dropped != 15 {
		t.Errorf("minor ones: %+v", c)
	}
	for i := range 20 {
		s.Send(webhook.Message{Line: "demo", Body: fmt.Append(nil, "major ", i)})
	}
	if c := s.Counters(); c.Queued != 10 || c.Dropped != 30 {
		t.Errorf("all: %+v", c)
	}
	close(release)
	eventually(t, "those that have room are delivered", func() bool { return s.Counters().Delivered == 10 })
	want := []string{"minor 0", "minor 1", "minor 2", "minor 3", "minor 4", "major 0", "major 1", "major 2", "major 3", "major 4"}
	if got := r.bodies(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestReceiverThatIsAwayAtFirst(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := sender(t, webhook.Config{URLs: []string{"http://" + address}})
	for _, body := range []string{"one", "two", "three"} {
		s.Send(webhook.Message{Line: "demo", Body: []byte(body)})
	}
	eventually(t, "an attempt fails", func() bool { return s.Counters().Retries > 0 })
	r := &receiver{}
	var got []string
	done := make(chan struct{})
	r.Server = &httptest.Server{Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if got = append(got, string(body)); len(got) == 3 {
			close(done)
		}
	})}}
	if r.Listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	r.Start()
	defer r.Close()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it gets nothing when it is back")
	}
	if !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("got %q", got)
	}
}

func TestCloseDeliversWhatIsQueued(t *testing.T) {
	t.Parallel()
	var r *receiver
	r = listen(t, func(w http.ResponseWriter, _ *http.Request) {
		if len(r.bodies()) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s, err := webhook.New(webhook.Config{URLs: []string{r.URL}, Queue: 10, Timeout: time.Second, Retry: time.Hour},
		webhook.Deps{Sign: func([]byte) (string, error) { return "", nil }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two", "three"} {
		s.Send(webhook.Message{Line: "demo", Body: []byte(body)})
	}
	s.Close(t.Context())
	if got := r.bodies(); got[len(got)-1] != "three" || s.Counters().Delivered < 2 {
		t.Errorf("got %q, counters %+v", got, s.Counters())
	}
	s.Send(webhook.Message{Line: "demo", Body: []byte("late")})
	if c := s.Counters(); c.Dropped != 1 || c.Queued != 0 {
		t.Errorf("after the end: %+v", c)
	}
}

func TestCloseGivesUpInTime(t *testing.T) {
	t.Parallel()
	r := listen(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s, err := webhook.New(webhook.Config{URLs: []string{r.URL}, Queue: 10, Timeout: time.Hour, Retry: time.Hour},
		webhook.Deps{Sign: func([]byte) (string, error) { return "", nil }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"a", "a", "b"} {
		s.Send(webhook.Message{Line: line, Body: []byte("body")})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s.Close(ctx)
	if c := s.Counters(); c.Expired != 3 || c.Queued != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestCheckURL(t *testing.T) {
	for text, good := range map[string]bool{
		"http://127.0.0.1:8000/hook": true, "https://example.org": true, "https://example.org/a?token=b": true,
		"": false, "example.org": false, "ftp://example.org": false, "http://": false, "/hook": false,
		"file:///etc/passwd": false, "https://user:hunter2@example.org": false, "http://exa mple": false, "unix:/run/x": false,
	} {
		err := webhook.CheckURL(text)
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
