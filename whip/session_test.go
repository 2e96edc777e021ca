package whip_test

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/whip"
)

const (
	newUfrag = "Restart1"
	newPwd   = "restartrestartrestart1"
)

func TestW15DeleteEndsTheSession(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	r := s.Do(http.MethodDelete, session, "").Want(t, http.StatusOK)
	if r.Body != "" || !s.media.last().Closed() {
		t.Errorf("body %q, closed %v", r.Body, s.media.last().Closed())
	}
}

func TestW18GoneSessionsAre404(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	s.Do(http.MethodDelete, session, "").Want(t, http.StatusOK)
	s.Do(http.MethodDelete, session, "").Want(t, http.StatusNotFound)
	s.Patch(session, fragment(ufrag, pwd, host), etag).Want(t, http.StatusNotFound)
	s.Do(http.MethodDelete, "/whip/demo/unknown", "").Want(t, http.StatusNotFound)

	session, _ = s.publish(t)
	s.media.last().Close("consent expired")
	s.Do(http.MethodDelete, session, "").Want(t, http.StatusNotFound)
}

func TestW20PatchChecksTypeAndBody(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	for _, typ := range []string{"", "application/sdp", "text/plain"} {
		s.Do(http.MethodPatch, session, fragment(ufrag, pwd, host), "Content-Type", typ, "If-Match", etag).
			Want(t, http.StatusUnsupportedMediaType)
	}
	for _, body := range []string{"", "garbage", offer(t), "a=candidate:x\r\n"} {
		s.Patch(session, body, etag).Want(t, http.StatusBadRequest)
	}
	s.Patch(session, strings.Repeat("a=\r\n", 20000), etag).Want(t, http.StatusRequestEntityTooLarge)
	if len(s.media.last().Trickled()) != 0 {
		t.Error("the session saw a fragment")
	}
}

func TestW22W23CreatedHasStrongETag(t *testing.T) {
	s := start(t)
	strong := regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`)
	_, first := s.publish(t)
	_, second := s.publish(t)
	if !strong.MatchString(first) || first == second || first == `"*"` {
		t.Errorf("entity-tags %s and %s", first, second)
	}
}

func TestW24DeleteIgnoresETags(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	s.Do(http.MethodDelete, session, "", "If-Match", `"stale"`).Want(t, http.StatusOK)
}

func TestW25PatchWithoutIfMatchIs428(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	s.Patch(session, fragment(ufrag, pwd, host), "").Want(t, http.StatusPreconditionRequired)
	s.Patch(session, fragment(newUfrag, newPwd), "").Want(t, http.StatusPreconditionRequired)
}

func TestW26StaleIfMatchIs412(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	s.Patch(session, fragment(ufrag, pwd, host), `"stale"`).Want(t, http.StatusPreconditionFailed)
	s.Patch(session, fragment(newUfrag, newPwd), `"stale"`).Want(t, http.StatusPreconditionFailed)
	if p := s.media.last(); len(p.Trickled())+len(p.Restarts()) != 0 {
		t.Error("the session was changed")
	}
}

func TestW28TrickleAnswers204(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	r := s.Patch(session, fragment(ufrag, pwd, host), etag).Want(t, http.StatusNoContent)
	if r.Body != "" {
		t.Errorf("body %q", r.Body)
	}
	got := s.media.last().Trickled()
	if len(got) != 1 || got[0].Ufrag != ufrag || !slices.Equal(got[0].Candidates, []string{"candidate:" + host}) || !got[0].Complete {
		t.Errorf("trickled %+v", got)
	}
}

func TestW29TrickleAnswerHasNoETag(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	r := s.Patch(session, fragment(ufrag, pwd, host), etag)
	if _, ok := r.Header["Etag"]; ok {
		t.Errorf("ETag %q", r.Header.Get("ETag"))
	}
}

func TestW30OddCandidatesReachTheSession(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	s.Patch(session, fragment(ufrag, pwd, host,
		"2 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active",
		"3 1 udp 2113937151 5b5e2a3c-b4c5-4d3f-a7a6-0d3c2b1a0f9e.local 5000 typ host",
		"4 1 sctp 1 x y typ wonder"), etag).Want(t, http.StatusNoContent)
	if got := s.media.last().Trickled(); len(got) != 1 || len(got[0].Candidates) != 4 {
		t.Errorf("%+v", got)
	}
}

func TestW31W32RealFragments(t *testing.T) {
	tests := []struct{ offer, fragment string }{
		{"gstreamer-1.28.8-simple-whip-client-trickle-offer.sdp", "gstreamer-1.28.8-simple-whip-client-patch1.sdpfrag"},
		{"gstreamer-1.28.8-simple-whip-client-trickle-offer.sdp", "gstreamer-1.28.8-simple-whip-client-patch2.sdpfrag"},
	}
	s := start(t)
	for _, tt := range tests {
		r := s.Post("/whip/demo", testdata(t, tt.offer)).Want(t, http.StatusCreated)
		s.Patch(r.Header.Get("Location"), testdata(t, tt.fragment), r.Header.Get("ETag")).Want(t, http.StatusNoContent)
	}
	// An mid other than the first of the bundle, and no ufrag at all.
	session, etag := s.publish(t)
	s.Patch(session, "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\na=candidate:"+host+"\r\n", etag).Want(t, http.StatusNoContent)
	if got := s.media.last().Trickled(); got[0].Mid != "1" || got[0].Ufrag != ufrag {
		t.Errorf("%+v", got)
	}
}

func TestTrickleIsBounded(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	many := slices.Repeat([]string{host}, 100)
	s.Patch(session, fragment(ufrag, pwd, many...), etag).Want(t, http.StatusNoContent)
	s.Patch(session, fragment(ufrag, pwd, many...), etag).Want(t, http.StatusBadRequest)
	if n := len(s.media.last().Trickled()); n != 1 {
		t.Errorf("%d fragments", n)
	}
	s.Patch(session, fragment(ufrag, "anotheranotheranother1", host), etag).Want(t, http.StatusBadRequest)
}

func TestW33W35RestartAnswers200(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	r := s.Patch(session, fragment(newUfrag, newPwd, host), etag).Want(t, http.StatusOK)
	if ct := r.Header.Get("Content-Type"); ct != "application/trickle-ice-sdpfrag" {
		t.Errorf("type %q", ct)
	}
	ice, err := wish.ParseFragment(r.Body, wish.DefaultLimits())
	if err != nil || ice.Ufrag != "newu" || len(ice.Candidates) != 1 || !ice.Complete {
		t.Errorf("%+v %v", ice, err)
	}
	if got := s.media.last().Restarts(); len(got) != 1 || got[0].Ufrag != newUfrag || len(got[0].Candidates) != 1 {
		t.Errorf("%+v", got)
	}
	s.Patch(session, fragment("Another1", ""), r.Header.Get("ETag")).Want(t, http.StatusBadRequest)
}

func TestW34RestartWithStar(t *testing.T) {
	for _, star := range []string{`*`, `"*"`} {
		s := start(t)
		session, _ := s.publish(t)
		s.Patch(session, fragment(newUfrag, newPwd), star).Want(t, http.StatusOK)
	}
}

func TestW36RestartChangesTheETag(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	fresh := s.Patch(session, fragment(newUfrag, newPwd), "*").Want(t, http.StatusOK).Header.Get("ETag")
	if fresh == "" || fresh == etag {
		t.Errorf("entity-tag %s after %s", fresh, etag)
	}
	// A trickle of the ICE session before comes late.
	s.Patch(session, fragment(ufrag, pwd, host), etag).Want(t, http.StatusPreconditionFailed)
	s.Patch(session, fragment(newUfrag, newPwd, host), fresh).Want(t, http.StatusNoContent)
}

func TestW38RestartRepeatsICEOptions(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	r := s.Patch(session, fragment(newUfrag, newPwd), "*").Want(t, http.StatusOK)
	if !strings.Contains(r.Body, "a=ice-options:trickle ice2\r\n") || strings.Contains(r.Body, "ice-lite") {
		t.Errorf("%q", r.Body)
	}
}

func TestW39FailedRestartKeepsTheSession(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	p := s.media.last()
	p.RestartErr = sluice.Errorf(sluice.CodeUnprocessable, "cannot")
	s.Patch(session, fragment(newUfrag, newPwd), "*").Want(t, http.StatusUnprocessableEntity)
	s.Patch(session, fragment(ufrag, pwd, host), etag).Want(t, http.StatusNoContent)
	if p.Closed() {
		t.Error("closed")
	}
}

func TestW41ConcurrentRestarts(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	var wg sync.WaitGroup
	statuses := make(chan int, 8)
	for i := range cap(statuses) {
		wg.Go(func() {
			statuses <- s.Patch(session, fragment(newUfrag+string(rune('a'+i)), newPwd), etag).Status
		})
	}
	wg.Wait()
	close(statuses)
	accepted := 0
	for st := range statuses {
		switch st {
		case http.StatusOK:
			accepted++
		case http.StatusPreconditionFailed, http.StatusTooManyRequests:
		default:
			t.Errorf("status %d", st)
		}
	}
	if accepted != 1 || len(s.media.last().Restarts()) != 1 {
		t.Errorf("%d restarts", accepted)
	}
}

func TestRestartsAreLimited(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	s.Patch(session, fragment(newUfrag, newPwd), "*").Want(t, http.StatusOK)
	r := s.Patch(session, fragment(newUfrag+"x", newPwd), "*").Want(t, http.StatusTooManyRequests)
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestCloseLetsNobodyIn(t *testing.T) {
	s := start(t)
	s.publish(t)
	s.handler.Close()
	s.handler.Close()
	s.Post("/whip/demo", offer(t)).Want(t, http.StatusServiceUnavailable)
	if !s.media.last().Closed() {
		t.Error("the late session was not closed")
	}
}

// A body that never comes must not hold a handler.
func TestSlowBodyIsGivenUp(t *testing.T) {
	s := serve(t, whip.Config{BodyTime: 20 * time.Millisecond}, auth(), wish.Rates{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = conn.Write([]byte("POST /whip/demo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n" +
		"Content-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func FuzzHandler(f *testing.F) {
	f.Add("POST", "demo", testdata(f, "obs-32.2.2-whip-offer.sdp"), "application/sdp", "")
	f.Add("POST", "..", testdata(f, "ffmpeg-9.0.2-whip-h264-opus-offer.sdp"), "application/sdp", "")
	f.Add("PATCH", "demo", fragment(newUfrag, newPwd, host), "application/trickle-ice-sdpfrag", `"*"`)
	f.Add("PATCH", "demo", testdata(f, "firefox-153esr-whip-whep-js-patch.sdpfrag"), "application/trickle-ice-sdpfrag", `*`)
	f.Add("DELETE", "demo", "", "", "")
	m := &media{}
	h, err := whip.New(whip.Deps{Media: m, Auth: auth(), Log: slog.New(slog.DiscardHandler)}, whip.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		for _, s := range m.sessions {
			s.Close("over")
		}
		h.Close()
	})
	known := []int{200, 201, 204, 400, 401, 403, 404, 405, 412, 413, 415, 422, 428, 429}
	send := func(t *testing.T, method, path, body, typ, match string, serve func(http.ResponseWriter, *http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Method = method
		r.Header = http.Header{"Content-Type": {typ}, "Authorization": {"Bearer alice"}, "If-Match": {match}}
		w := httptest.NewRecorder()
		serve(w, r)
		if !slices.Contains(known, w.Code) {
			t.Errorf("status %d", w.Code)
		}
		return w
	}
	f.Fuzz(func(t *testing.T, method, stream, body, typ, match string) {
		send(t, method, "/whip/x", body, typ, match, func(w http.ResponseWriter, r *http.Request) { h.Stream(w, r, stream) })
		made := send(t, http.MethodPost, "/whip/x", testdata(t, "obs-32.2.2-whip-offer.sdp"), "application/sdp", "", func(w http.ResponseWriter, r *http.Request) {
			h.Stream(w, r, "demo")
		})
		secret := strings.TrimPrefix(made.Header().Get("Location"), "/whip/demo/")
		send(t, method, "/whip/x", body, typ, match, func(w http.ResponseWriter, r *http.Request) { h.Session(w, r, "demo", secret) })
		send(t, http.MethodDelete, "/whip/x", "", "", "", func(w http.ResponseWriter, r *http.Request) { h.Session(w, r, "demo", secret) })
	})
}
