package whep_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whep"
)

func TestE01EventsAreAdvertised(t *testing.T) {
	r := start(t).Post("/whep/demo", offer(t)).Want(t, http.StatusCreated)
	for _, l := range wish.ParseLinks(r.Header.Values("Link")) {
		if l.Rel == whep.RelEvents {
			if got := l.Param("events"); got != "active,inactive,layers,viewercount,reconnect,overload" {
				t.Errorf("events %q", got)
			}
			return
		}
	}
	t.Errorf("%q", r.Header.Values("Link"))
}

func TestE02PostMakesAnEventStream(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	for _, body := range []string{"", `["active"]`, `["layers","layers"]`, `[]`} {
		if path := s.listen(t, session, body); !strings.HasPrefix(path, session+"/sse/") {
			t.Errorf("%q: Location %q", body, path)
		}
	}
	s.Do(http.MethodPost, session+"/sse", "").Want(t, http.StatusCreated)
	s.Do(http.MethodPost, session+"/sse", `["active"]`, "Content-Type", "text/plain").Want(t, http.StatusUnsupportedMediaType)
}

func TestE03UnknownTypesAreRefused(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	for _, body := range []string{`["active","wonder"]`, `["scte35"]`, `{"active":true}`, `"active"`, `[1]`, `[`} {
		s.Do(http.MethodPost, session+"/sse", body, "Content-Type", "application/json").Want(t, http.StatusBadRequest)
	}
}

func TestE04OnlyChosenTypesAreSent(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["viewercount"]`))
	for i := range 3 {
		s.media.change(func(st *sluice.Stream) { st.Viewers = 10 + i; st.Layers[0].Active = i%2 == 0 })
		for {
			m, ok := r.next()
			if !ok {
				t.Fatal("ended")
			}
			if m.retry != "" {
				continue
			}
			if m.event != "viewercount" {
				t.Fatalf("%+v", m)
			}
			if strings.Contains(m.data, "1"+string(rune('0'+i))) {
				break
			}
		}
	}
}

func TestE05EventsHaveOneLineOfJSON(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, ""))
	if ct := r.header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("type %q", ct)
	}
	for _, name := range []string{"active", "layers", "viewercount"} {
		if m := r.event(name); !json.Valid([]byte(m.data)) || m.id == "" {
			t.Errorf("%+v", m)
		}
	}
}

func TestE06NoInitialInactive(t *testing.T) {
	s := start(t)
	s.media.change(func(st *sluice.Stream) { st.State = sluice.StreamOffline })
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["active","inactive"]`))
	if m, _ := r.next(); m.retry == "" {
		t.Fatalf("%+v", m)
	}
	s.media.change(func(st *sluice.Stream) { st.State = sluice.StreamLive })
	if m, _ := r.next(); m.event != "active" || m.data != "{}" {
		t.Errorf("%+v", m)
	}
	s.media.change(func(st *sluice.Stream) { st.State = sluice.StreamPaused })
	if m, _ := r.next(); m.event != "inactive" || m.data != "{}" {
		t.Errorf("%+v", m)
	}
}

func TestE07LayersEvent(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["layers"]`))
	type layer struct {
		RID, EncodingID        string
		Width, Height, Bitrate int
		FrameRate              float64
		Active                 bool
	}
	read := func() []layer {
		t.Helper()
		var got map[string][]layer
		m := r.event("layers")
		if err := json.Unmarshal([]byte(m.data), &got); err != nil {
			t.Fatal(err)
		}
		section, ok := got["1"] // the video is the second section of the offer
		if !ok {
			t.Fatalf("%s", m.data)
		}
		return section
	}
	got := read()
	if len(got) != 2 || got[0] != (layer{"f", "f", 1280, 720, 2_500_000, 30, true}) || got[1].RID != "q" {
		t.Errorf("%+v", got)
	}
	s.media.change(func(st *sluice.Stream) { st.Layers[0].Active = false })
	if got = read(); got[0].Active || got[0].Bitrate != 0 {
		t.Errorf("%+v", got)
	}
	s.media.change(func(st *sluice.Stream) { st.Layers = []sluice.Layer{{Codec: "VP8", Active: true, Bitrate: 1}} })
	m := r.event("layers")
	if !strings.Contains(m.data, `"spatialLayerId":0`) || strings.Contains(m.data, `"rid"`) {
		t.Errorf("a layer without a rid needs another name: %s", m.data)
	}
}

func TestE07LayersArePeriodic(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["layers"]`))
	r.event("layers")
	s.media.measure(func(st *sluice.Stream) { st.Layers[1].Bitrate, st.Layers[1].FrameRate = 99, 29.97 })
	if m := r.event("layers"); !strings.Contains(m.data, `"bitrate":99,"framerate":30,`) {
		t.Errorf("%s", m.data)
	}
}

func TestE08Reconnect(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["reconnect"]`))
	to := func(url string) func(string) string { return func(string) string { return url } }
	s.handler.Reconnect(to("https://other.example.com/whep/demo"), 0)
	if m := r.event("reconnect"); m.data != `{"url":"https://other.example.com/whep/demo"}` {
		t.Errorf("%+v", m)
	}
	s.handler.Reconnect(to(""), 0)
	if m := r.event("reconnect"); m.data != `{}` {
		t.Errorf("%+v", m)
	}
	s.handler.Reconnect(to("https://here.example.com/whep/demo"), 3*time.Second)
	if m := r.event("reconnect"); m.data != `{"url":"https://here.example.com/whep/demo","wait":3}` {
		t.Errorf("%+v", m)
	}
}

func TestLeave(t *testing.T) {
	s := start(t)
	s.media.change(func(st *sluice.Stream) { st.State = sluice.StreamLive })
	session, _ := s.watch(t)
	listening := s.media.last()
	r := s.read(t, s.listen(t, session, `["reconnect"]`))
	other, _ := s.watch(t) // listens, but not to that
	deaf := s.media.last()
	s.read(t, s.listen(t, other, `["viewercount"]`))

	stay := func(string) (string, bool) { return "", false }
	if left := s.handler.Leave(t.Context(), 0, stay); left() != 0 {
		t.Errorf("%d are counted that were not told", left())
	}
	if deaf.Closed() || listening.Closed() {
		t.Error("a session that should stay has ended")
	}
	left := s.handler.Leave(t.Context(), time.Millisecond, func(stream string) (string, bool) {
		return "https://other.example.com/whep/" + stream, true
	})
	if m := r.event("reconnect"); m.data != `{"url":"https://other.example.com/whep/demo"}` {
		t.Errorf("%+v", m)
	}
	if !deaf.Closed() || listening.Closed() {
		t.Errorf("closed: %t of a player that does not listen, %t of one that does", deaf.Closed(), listening.Closed())
	}
	if n := left(); n != 1 {
		t.Errorf("%d are left, want the one that listens", n)
	}
	listening.Close("it is elsewhere")
	if n := left(); n != 0 {
		t.Errorf("%d are left", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if left := s.handler.Leave(ended, time.Hour, stay); left() != 0 {
		t.Error("sessions are told after the end")
	}
}

func TestE09ViewerCount(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["viewercount"]`))
	if m := r.event("viewercount"); m.data != `{"viewercount":1}` {
		t.Errorf("%+v", m)
	}
	s.media.change(func(st *sluice.Stream) { st.Viewers = 7 })
	if m := r.event("viewercount"); m.data != `{"viewercount":7}` {
		t.Errorf("%+v", m)
	}
}

func TestE11DeleteEndsTheEventStream(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	path := s.listen(t, session, "")
	r := s.read(t, path)
	r.event("active")
	s.Do(http.MethodDelete, path, "").Want(t, http.StatusOK)
	if !r.ended() {
		t.Error("the reader goes on")
	}
	s.Do(http.MethodGet, path, "").Want(t, http.StatusNotFound)
	s.Do(http.MethodDelete, path, "").Want(t, http.StatusNotFound)
	s.Do(http.MethodPut, path, "").Want(t, http.StatusMethodNotAllowed)
}

func TestE12SessionEndEndsItsEventStreams(t *testing.T) {
	for _, how := range []string{"DELETE", "gone"} {
		t.Run(how, func(t *testing.T) {
			s := start(t)
			session, _ := s.watch(t)
			path := s.listen(t, session, "")
			first, second := s.read(t, path), s.read(t, session+"/sse")
			first.event("active")
			second.event("active")
			if how == "DELETE" {
				s.Do(http.MethodDelete, session, "").Want(t, http.StatusOK)
			} else {
				s.media.last().Close("consent expired")
			}
			if !first.ended() || !second.ended() {
				t.Error("a reader goes on")
			}
			s.Do(http.MethodGet, path, "").Want(t, http.StatusNotFound)
			s.Do(http.MethodPost, session+"/sse", "").Want(t, http.StatusNotFound)
		})
	}
}

func TestE13KeepAliveAndCORS(t *testing.T) {
	s := serve(t, whep.Config{KeepAlive: 5 * time.Millisecond}, wish.Rates{})
	session, _ := s.watch(t)
	r := s.read(t, s.listen(t, session, `["reconnect"]`))
	if r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", r.header)
	}
	for range 3 {
		for m, ok := r.next(); m.comment == ""; m, ok = r.next() {
			if !ok {
				t.Fatal("ended")
			}
		}
	}
}

func TestE13LastEventIDResumes(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	path := s.listen(t, session, `["active","inactive"]`)
	first := s.read(t, path)
	last := first.event("active").id
	// A second reader takes over from one that the server believes alive.
	second := s.read(t, path, "Last-Event-ID", last)
	if !first.ended() {
		t.Error("two readers")
	}
	s.media.change(func(st *sluice.Stream) { st.State = sluice.StreamOffline })
	if m, ok := second.next(); !ok || m.retry == "" {
		t.Fatalf("%+v", m)
	}
	if m, _ := second.next(); m.event != "inactive" {
		t.Errorf("%+v, want news only", m)
	}
	// This one missed the inactive event.
	third := s.read(t, path, "Last-Event-ID", last)
	third.event("inactive")
	s.media.change(func(st *sluice.Stream) { st.State = sluice.StreamLive })
	// Without the header everything is told again.
	third.event("active")
	s.read(t, path).event("active")
}

func TestE13SeveralStreams(t *testing.T) {
	s := serve(t, whep.Config{EventStreams: 2}, wish.Rates{})
	session, _ := s.watch(t)
	oldest := s.listen(t, session, "")
	a, b := s.listen(t, session, ""), s.listen(t, session, "")
	s.Do(http.MethodGet, oldest, "").Want(t, http.StatusNotFound)
	s.read(t, a).event("active")
	s.read(t, b).event("active")
}

func TestE14PlainGetReadsAllEvents(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, session+"/sse")
	for _, name := range []string{"active", "layers", "viewercount"} {
		r.event(name)
	}
	s.As("").Do(http.MethodGet, session+"/sse", "").Want(t, http.StatusUnauthorized)
	page := &server{Client: s.As("")} // an EventSource cannot set headers
	page.read(t, session+"/sse?token=alice").event("active")
}

func TestCloseEndsReaders(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	r := s.read(t, session+"/sse")
	r.event("active")
	s.handler.Close()
	if !r.ended() {
		t.Error("a reader goes on")
	}
}

func TestViewersHearOfOverload(t *testing.T) {
	var steps wishtest.Steps
	s := serve(t, whep.Config{Config: wish.Config{Overload: steps.Now}, Coalesce: time.Millisecond}, wish.Rates{})
	session, _ := s.watch(t)
	path := s.listen(t, session, `["overload"]`)
	r := s.read(t, path)
	id := ""
	for _, step := range []sluice.Step{sluice.StepCapAll, sluice.StepHLS} {
		steps.Set(step)
		m := r.event("overload")
		if m.data != `{"step":"`+step.String()+`"}` {
			t.Errorf("%+v", m)
		}
		if id == "" {
			id = m.id
		}
	}
	steps.Set(sluice.StepNone)
	// A reader that comes back hears what it may have missed.
	if m := s.read(t, path, "Last-Event-ID", id).event("overload"); m.data != `{"step":"none"}` {
		t.Errorf("%+v", m)
	}
	if m := s.read(t, s.listen(t, session, "")).event("viewercount"); m.id != "3" {
		t.Errorf("a new reader has heard of overload before: %+v", m)
	}
}
