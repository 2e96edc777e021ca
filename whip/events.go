package whip

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

// RelEvents is the relation of the link to a session's event stream: an extension
// of our own. Its events are reconnect, as of WHEP: the publisher should open a
// session at the url of its data, and may keep this one until the server ends it;
// and wish.EventOverload.
const RelEvents = "urn:sluice:whip:ext:server-sent-events"

const (
	keepAlive = 15 * time.Second
	writeTime = 10 * time.Second // that a reader may leave events unread
)

// session is a publisher with its event stream.
type session struct {
	wish.Session

	mu    sync.Mutex
	stop  chan struct{} // ends the present reader; nil when there is none
	url   string        // where to go; "" until that is known
	moved chan struct{} // closed when it is
}

func newSession(s wish.Session) *session { return &session{Session: s, moved: make(chan struct{})} }

// move tells the publisher where to go, and reports whether it listens. It does so
// once: a publisher is not sent on.
func (s *session) move(url string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil || url == "" {
		return s.url != ""
	}
	if s.url == "" {
		s.url = url
		close(s.moved)
	}
	return true
}

// read makes the caller the reader, in place of the one before.
func (s *session) read() (stop chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		close(s.stop)
	}
	s.stop = make(chan struct{})
	return s.stop
}

// leave takes back read.
func (s *session) leave(stop chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == stop {
		s.stop = nil
	}
}

// Move tells the publishers to go to the URL that to gives for a stream. Those that
// do not listen, and those for whom there is none, are not told: it returns how
// many.
func (h *Handler) Move(to func(stream string) string) (untold int) {
	for _, e := range h.endpoint.Sessions() {
		if !e.Session.move(to(e.Stream)) {
			untold++
		}
	}
	return untold
}

// CloseUntold ends the sessions of publishers that Move has not told.
func (h *Handler) CloseUntold(reason string) {
	for _, e := range h.endpoint.Sessions() {
		if !e.Session.move("") {
			e.Session.Close(reason)
		}
	}
}

func eventMethods() []string { return []string{http.MethodGet, http.MethodOptions} }

// Events serves the event stream of a session.
func (h *Handler) Events(w http.ResponseWriter, r *http.Request, stream, secret string) {
	wish.CORS(w.Header(), eventMethods()...)
	err := sluice.CheckStreamName(stream)
	switch {
	case err != nil:
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", "GET, OPTIONS")
		wish.Empty(w, http.StatusOK)
	case r.Method == http.MethodGet:
		err = h.tell(w, r, stream, secret)
	default:
		problem.MethodNotAllowed(w, r, eventMethods()...)
	}
	if err != nil {
		h.endpoint.Fail(w, r, err)
	}
}

// tell writes events until the session or the handler ends, or another reader
// comes. Its errors come before the first byte.
func (h *Handler) tell(w http.ResponseWriter, r *http.Request, stream, secret string) error {
	entry, err := h.endpoint.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	s := entry.Session
	stop := s.read()
	defer s.leave(stop)
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	_ = rc.SetReadDeadline(time.Time{}) // the server's is for short exchanges; tests have none
	write := func(text string) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTime))
		_, err := fmt.Fprint(w, text)
		return err == nil && rc.Flush() == nil
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	moved := s.moved
	told := sluice.StepNone
	for ok := write(": events\n\n"); ok; {
		step, stepped := h.config.Step()
		if step != told {
			told, ok = step, write("event: "+wish.EventOverload+"\ndata: "+string(wish.StepData(step))+"\n\n")
			continue
		}
		select {
		case <-stepped:
		case <-moved:
			moved = nil
			ok = write("event: reconnect\ndata: " + s.reconnectData() + "\n\n")
		case <-alive.C:
			ok = write(": keep-alive\n\n")
		case <-stop:
			return nil
		case <-s.Done():
			return nil
		case <-h.closed:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
	return nil
}

func (s *session) reconnectData() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.Marshal(map[string]string{"url": s.url})
	if err != nil {
		return "{}" // cannot happen: a string
	}
	return string(data)
}
