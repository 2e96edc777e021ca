package whep

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

// writeTime is how long a reader may leave events unread in its connection.
const writeTime = 10 * time.Second

func eventsMethods() []string {
	return []string{http.MethodGet, http.MethodOptions, http.MethodPost}
}

func eventStreamMethods() []string {
	return []string{http.MethodDelete, http.MethodGet, http.MethodOptions}
}

// Events serves the events URL of a session: POST makes an event stream. A
// plain GET, as Broadcast Box's player sends, reads all events at once.
func (h *Handler) Events(w http.ResponseWriter, r *http.Request, stream, secret string) {
	wish.CORS(w.Header(), eventsMethods()...)
	var err error
	switch {
	case sluice.CheckStreamName(stream) != nil:
		err = sluice.CheckStreamName(stream)
	case r.Method == http.MethodOptions:
		options(w, eventsMethods()...)
	case r.Method == http.MethodPost:
		err = h.createEvents(w, r, stream, secret)
	case r.Method == http.MethodGet:
		err = h.readAllEvents(w, r, stream, secret)
	default:
		problem.MethodNotAllowed(w, r, eventsMethods()...)
	}
	if err != nil {
		h.endpoint.Fail(w, r, err)
	}
}

// EventStream serves the URL of one event stream.
func (h *Handler) EventStream(w http.ResponseWriter, r *http.Request, stream, secret, id string) {
	wish.CORS(w.Header(), eventStreamMethods()...)
	var err error
	switch {
	case sluice.CheckStreamName(stream) != nil:
		err = sluice.CheckStreamName(stream)
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", "DELETE, GET, OPTIONS")
		wish.Empty(w, http.StatusOK)
	case r.Method == http.MethodGet:
		err = h.readEvents(w, r, stream, secret, id)
	case r.Method == http.MethodDelete:
		err = h.deleteEvents(w, r, stream, secret, id)
	default:
		problem.MethodNotAllowed(w, r, eventStreamMethods()...)
	}
	if err != nil {
		h.endpoint.Fail(w, r, err)
	}
}

func (h *Handler) createEvents(w http.ResponseWriter, r *http.Request, stream, secret string) error {
	entry, err := h.endpoint.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	body, err := h.endpoint.ReadBody(w, r, extensionBytes)
	if err != nil {
		return err
	}
	types := allEvents
	if body != "" {
		if err := wish.CheckType(r, jsonType); err != nil {
			return err
		}
		var names []string
		if err := json.Unmarshal([]byte(body), &names); err != nil {
			return &sluice.Error{Code: sluice.CodeInvalid, Detail: "the body is not a JSON array of event types", Err: err}
		}
		var ok bool
		if types, ok = eventsOf(names); !ok {
			return sluice.Errorf(sluice.CodeInvalid, "an event type is not one of those in the Link header")
		}
	}
	es := entry.Session.open(types, h.config.EventStreams)
	w.Header().Set("Location", entry.URL+"/sse/"+es.id)
	w.Header().Set("Cache-Control", "no-store")
	wish.Empty(w, http.StatusCreated)
	return nil
}

func (h *Handler) deleteEvents(w http.ResponseWriter, r *http.Request, stream, secret, id string) error {
	entry, err := h.endpoint.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	if !entry.Session.drop(id) {
		return noEvents()
	}
	wish.Empty(w, http.StatusOK)
	return nil
}

func noEvents() error {
	return sluice.Errorf(sluice.CodeNotFound, "there is no such event stream")
}

func (h *Handler) readEvents(w http.ResponseWriter, r *http.Request, stream, secret, id string) error {
	entry, err := h.endpoint.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	es, ok := entry.Session.stream(id)
	if !ok {
		return noEvents()
	}
	return h.attach(w, r, entry.Session, stream, es)
}

func (h *Handler) readAllEvents(w http.ResponseWriter, r *http.Request, stream, secret string) error {
	entry, err := h.endpoint.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	es := entry.Session.open(allEvents, h.config.EventStreams)
	defer entry.Session.drop(es.id)
	return h.attach(w, r, entry.Session, stream, es)
}

// attach makes r the reader of es, in place of an earlier one, until it goes
// away or something ends. Its errors come before the first byte.
func (h *Handler) attach(w http.ResponseWriter, r *http.Request, s *session, stream string, es *eventStream) error {
	stop := es.supersede()
	select {
	case <-es.turn:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	defer func() { es.turn <- struct{}{} }()
	es.resume(r.Header.Get("Last-Event-ID"))

	out := &eventWriter{w: w, rc: http.NewResponseController(w)}
	out.begin(h.config.ReconnectWait)
	h.tell(r.Context(), out, s, stream, es, stop)
	return nil
}

// resume goes on where the reader is. A reader who knows the last event wants
// news only; any other is told everything, and one who knows an older event
// also that the stream is inactive and that there is no overload, which it may have
// missed. It needs the turn.
func (es *eventStream) resume(last string) {
	switch last {
	case strconv.FormatUint(es.seq, 10):
	case "":
		es.told = told{live: es.told.live, repeat: true}
	default:
		es.told = told{live: true, repeat: true, step: unknownStep}
	}
}

// tell writes events until an end. It needs the turn of es.
func (h *Handler) tell(ctx context.Context, out *eventWriter, s *session, stream string, es *eventStream, stop <-chan struct{}) {
	alive := time.NewTicker(h.config.KeepAlive)
	defer alive.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	var looked time.Time
	var next waits
	for out.err == nil {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-s.Done():
			return
		case <-h.closed:
			h.look(out, s, stream, es, time.Now()) // a reconnect event goes out still
			return
		case <-alive.C:
			out.comment("keep-alive")
		case <-next.called:
			next.called = nil
			look.Reset(0)
		case <-next.stepped:
			next.stepped = nil
			look.Reset(0)
		case <-next.changed:
			next.changed = nil
			look.Reset(max(0, h.config.Coalesce-time.Since(looked)))
		case <-look.C:
			looked = time.Now()
			if next = h.look(out, s, stream, es, looked); next.again > 0 {
				look.Reset(next.again)
			}
		}
	}
}

// unknownStep is none of the steps.
const unknownStep = sluice.Step(-1)

// waits is what a reader's next news come with: a change of the stream, a call to
// reconnect, a step of overload, or time (0: none).
type waits struct {
	changed, called, stepped <-chan struct{}
	again                    time.Duration
}

// look tells the reader of es what is new.
func (h *Handler) look(out *eventWriter, s *session, stream string, es *eventStream, now time.Time) waits {
	call := s.reconnectCall()
	snap, changed := h.media.Stream(stream)
	step, stepped := h.config.Step()
	events, again := es.told.news(snap, s.video, es.types, now, h.config.Periodic)
	if es.told.step != step {
		es.told.step = step
		if es.types&eventOverload != 0 {
			events = append(events, event{wish.EventOverload, wish.StepData(step)})
		}
	}
	if call.count > es.told.reconnects {
		es.told.reconnects = call.count
		if es.types&eventReconnect != 0 {
			events = append(events, event{"reconnect", reconnectData(call.url, call.wait)})
		}
	}
	for _, e := range events {
		es.seq++
		out.event(es.seq, e)
	}
	out.flush()
	if again == 0 && es.types&eventLayers != 0 {
		again = h.config.Periodic // measurements make no newer snapshot
	}
	return waits{changed: changed, called: call.newer, stepped: stepped, again: again}
}

// eventWriter writes the text/event-stream format. After the first error it
// does nothing.
type eventWriter struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

func (o *eventWriter) begin(wait time.Duration) {
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	// The server's own deadlines are for short exchanges. A writer that has
	// none, as in tests, refuses; there is nothing to lift then.
	_ = o.rc.SetReadDeadline(time.Time{})
	o.w.WriteHeader(http.StatusOK)
	wait += rand.N(wait/2 + 1)
	o.printf("retry: %d\n\n", wait.Milliseconds())
	o.flush()
}

func (o *eventWriter) event(id uint64, e event) {
	o.printf("id: %d\nevent: %s\ndata: %s\n\n", id, e.name, e.data)
}

func (o *eventWriter) comment(text string) {
	o.printf(": %s\n\n", text)
	o.flush()
}

func (o *eventWriter) printf(format string, args ...any) {
	if o.err != nil {
		return
	}
	_ = o.rc.SetWriteDeadline(time.Now().Add(writeTime)) // see begin
	_, o.err = fmt.Fprintf(o.w, format, args...)
}

func (o *eventWriter) flush() {
	if o.err == nil {
		o.err = o.rc.Flush()
	}
}
