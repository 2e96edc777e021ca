package whip_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whip"
)

// listener reads the event stream of a session.
type listener struct {
	t     testing.TB
	lines chan string // closed at the end
}

func (s *server) listen(t testing.TB, path string) *listener {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Bearer)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET %s: %s", path, res.Status)
	}
	l := &listener{t: t, lines: make(chan string, 16)}
	go func() {
		defer close(l.lines)
		for in := bufio.NewScanner(res.Body); in.Scan(); {
			if text := in.Text(); text != "" {
				l.lines <- text
			}
		}
	}()
	l.next() // it is read
	return l
}

// next is the next line, "" at the end.
func (l *listener) next() string {
	l.t.Helper()
	select {
	case line := <-l.lines:
		return line
	case <-time.After(10 * time.Second):
		l.t.Fatal("nothing within 10 s")
		return ""
	}
}

func eventsURL(t testing.TB, header http.Header) string {
	t.Helper()
	for _, l := range wish.ParseLinks(header.Values("Link")) {
		if l.Rel == whip.RelEvents {
			return l.URL
		}
	}
	t.Fatalf("no link to events in %q", header.Values("Link"))
	return ""
}

func TestPublishersAreToldWhereToGo(t *testing.T) {
	s := start(t)
	told := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	session := s.media.last()
	l := s.listen(t, eventsURL(t, told.Header))
	s.publish(t)
	untold := s.media.last()

	to := func(stream string) string { return "https://other.example.com/whip/" + stream }
	if n := s.handler.Move(to); n != 1 {
		t.Errorf("%d publishers are not told, want the one that does not listen", n)
	}
	if event, data := l.next(), l.next(); event != "event: reconnect" || data != `data: {"url":"https://other.example.com/whip/demo"}` {
		t.Errorf("%q, %q", event, data)
	}
	s.handler.Move(func(string) string { return "https://third.example.com/" })
	s.handler.CloseUntold("the node hands its publishers over")
	select {
	case <-untold.Done():
	case <-time.After(5 * time.Second):
		t.Error("a publisher that was not told goes on")
	}
	select {
	case <-session.Done():
		t.Error("a publisher that was told has ended")
	default:
	}
	session.Close("its successor is there")
	if line := l.next(); line != "" {
		t.Errorf("after the session's end: %q", line)
	}
}

func TestEventsOfPublishers(t *testing.T) {
	s := start(t)
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	path := eventsURL(t, r.Header)
	first := s.listen(t, path)
	second := s.listen(t, path)
	if line := first.next(); line != "" {
		t.Errorf("a reader that another one replaces gets %q", line)
	}
	s.Do(http.MethodPost, path, "").Want(t, http.StatusMethodNotAllowed)
	s.Do(http.MethodGet, strings.Replace(path, "/sse", "x/sse", 1), "").Want(t, http.StatusNotFound)
	other := s.Client
	other.Bearer = "bob"
	other.Do(http.MethodGet, path, "").Want(t, http.StatusNotFound)
	s.handler.Close()
	if line := second.next(); line != "" {
		t.Errorf("after Close: %q", line)
	}
}

func TestPublishersHearOfOverload(t *testing.T) {
	var steps wishtest.Steps
	s := serve(t, whip.Config{Overload: steps.Now}, auth(), wish.Rates{})
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	l := s.listen(t, eventsURL(t, r.Header))
	for _, step := range []sluice.Step{sluice.StepRungs, sluice.StepNone} {
		steps.Set(step)
		if event, data := l.next(), l.next(); event != "event: overload" || data != `data: {"step":"`+step.String()+`"}` {
			t.Errorf("%q, %q", event, data)
		}
	}
}
