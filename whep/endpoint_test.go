package whep_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whep"
)

const (
	newUfrag = "Restart1"
	newPwd   = "restartrestartrestart1"
)

func fragment(ufrag, pwd string) string {
	b := "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 4000 typ host\r\na=end-of-candidates\r\n"
	if ufrag != "" {
		b = "a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:" + pwd + "\r\n" + b
	}
	return b
}

func TestH01H02GetAndHeadDiscoverWHEP(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := s.As("").Do(method, "/whep/demo", "").Want(t, http.StatusOK)
		if r.Header.Get("Content-Type") != "application/sdp" || r.Body != "" || r.Header.Get("Content-Length") != "0" {
			t.Errorf("%s: %v %q", method, r.Header, r.Body)
		}
		if r := s.Do(method, session, "").Want(t, http.StatusOK); r.Body != "" {
			t.Errorf("%s on a session: %q", method, r.Body)
		}
	}
}

func TestH03PostAnswers201(t *testing.T) {
	s := start(t)
	r := s.Post("/whep/demo", offer(t)).Want(t, http.StatusCreated)
	if r.Body != wishtest.Answer || r.Header.Get("Content-Type") != "application/sdp" ||
		!strings.HasPrefix(r.Header.Get("Location"), "/whep/demo/") || r.Header.Get("ETag") == "" {
		t.Errorf("%v", r.Header)
	}
}

func TestH06AnswersAreNotTaken(t *testing.T) {
	s := start(t)
	session, etag := s.watch(t)
	s.Do(http.MethodPatch, session, wishtest.Answer, "Content-Type", "application/sdp", "If-Match", etag).
		Want(t, http.StatusUnsupportedMediaType)
}

func TestH07BadPostsAreRefused(t *testing.T) {
	s := start(t)
	s.Post("/whep/demo", "garbage").Want(t, http.StatusBadRequest)
	s.Do(http.MethodPost, "/whep/demo", offer(t), "Content-Type", "text/plain").Want(t, http.StatusUnsupportedMediaType)
	s.Post("/whep/de.mo", offer(t)).Want(t, http.StatusBadRequest)
	s.Post("/whep/demo", strings.Repeat("x", 64<<10+1)).Want(t, http.StatusRequestEntityTooLarge)
}

func TestH10Directions(t *testing.T) {
	s := start(t)
	tests := []struct {
		direction string
		status    int
	}{
		{"recvonly", 201}, {"sendrecv", 201}, {"sendonly", 422}, {"inactive", 422},
	}
	for _, tt := range tests {
		s.Post("/whep/demo", strings.ReplaceAll(offer(t), "a=recvonly", "a="+tt.direction)).Want(t, tt.status)
	}
	for _, name := range []string{"firefox-153esr-whep-offer.sdp", "chromium-156-whep-datachannel-offer.sdp"} {
		s.Post("/whep/demo", testdata(t, name)).Want(t, http.StatusCreated)
	}
}

func TestH11H13OfflineIs409WithJitter(t *testing.T) {
	s := start(t)
	s.media.err = &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "nobody publishes", RetryAfter: 4 * time.Second}
	seen := map[string]bool{}
	for range 60 {
		r := s.Post("/whep/demo", offer(t)).Want(t, http.StatusConflict)
		if problemType(r) != "stream-offline" {
			t.Fatalf("%s", r.Body)
		}
		after := r.Header.Get("Retry-After")
		if n, err := strconv.Atoi(after); err != nil || n < 4 {
			t.Fatalf("Retry-After %q", after)
		}
		seen[after] = true
	}
	if len(seen) < 2 {
		t.Errorf("always %v", seen)
	}
}

func TestH14DeleteEndsTheSession(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	s.Do(http.MethodDelete, session, "", "If-Match", `"stale"`).Want(t, http.StatusOK)
	if !s.media.last().Closed() {
		t.Error("not closed")
	}
	s.Do(http.MethodDelete, session, "").Want(t, http.StatusNotFound)
}

func TestH15OptionsWithoutAuthentication(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	c := s.As("")
	for path, post := range map[string]string{
		"/whep/demo": "application/sdp", session: "application/sdp",
		session + "/sse": "application/json", session + "/layer": "application/json",
	} {
		r := c.Do(http.MethodOptions, path, "", "Access-Control-Request-Method", "POST").Want(t, http.StatusOK)
		if r.Header.Get("Accept-Post") != post || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	c.Do(http.MethodOptions, session+"/sse/x", "").Want(t, http.StatusOK)
}

func TestH16H17TrickleAndRestart(t *testing.T) {
	s := start(t)
	session, etag := s.watch(t)
	s.Patch(session, fragment("", ""), "").Want(t, http.StatusPreconditionRequired)
	s.Patch(session, fragment("", ""), `"stale"`).Want(t, http.StatusPreconditionFailed)
	if r := s.Patch(session, fragment("", ""), etag).Want(t, http.StatusNoContent); r.Header.Get("ETag") != "" {
		t.Errorf("ETag %q", r.Header.Get("ETag"))
	}
	r := s.Patch(session, fragment(newUfrag, newPwd), `"*"`).Want(t, http.StatusOK)
	if fresh := r.Header.Get("ETag"); fresh == "" || fresh == etag || r.Header.Get("Content-Type") != "application/trickle-ice-sdpfrag" {
		t.Errorf("%v", r.Header)
	}
	if v := s.media.last(); len(v.Trickled()) != 1 || len(v.Restarts()) != 1 {
		t.Error("the session did not see both")
	}
}

func TestH22NoRedirectThatChangesTheMethod(t *testing.T) {
	r := start(t).Post("/whep/demo/", offer(t))
	if r.Status == http.StatusMovedPermanently || r.Status == http.StatusFound {
		t.Errorf("status %d", r.Status)
	}
}

func TestH23OverloadIs503(t *testing.T) {
	s := start(t)
	s.media.err = sluice.Errorf(sluice.CodeUnavailable, "full")
	if r := s.Post("/whep/demo", offer(t)).Want(t, http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestH24H26Links(t *testing.T) {
	s := serve(t, whep.Config{Chat: "/chat", Config: wish.Config{
		PublicURL: "https://live.example.com",
		ICEServers: func(sluice.Grant) []wish.ICEServer {
			return []wish.ICEServer{{URLs: []string{"turn:t.example?transport=tcp"}, Username: "u", Credential: "c"}}
		},
	}}, wish.Rates{})
	r := s.Post("/whep/demo", offer(t)).Want(t, http.StatusCreated)
	session := r.Header.Get("Location")
	if !strings.HasPrefix(session, "https://live.example.com/whep/demo/") {
		t.Errorf("Location %q", session)
	}
	links := wish.ParseLinks(r.Header.Values("Link"))
	byRel := map[string]wish.Link{}
	for _, l := range links {
		byRel[l.Rel] = l
	}
	if chat := byRel[whep.RelChat]; chat.URL != "https://live.example.com/chat/demo" || len(chat.Params) != 1 || chat.Params[0].Value != "chat" {
		t.Errorf("%+v", chat)
	}
	if len(links) != 4 || byRel["ice-server"].URL != "turn:t.example?transport=tcp" ||
		byRel[whep.RelEvents].URL != session+"/sse" || byRel[whep.RelLayer].URL != session+"/layer" {
		t.Errorf("%+v", links)
	}
}

func TestH25Rights(t *testing.T) {
	s := start(t)
	tests := []struct {
		bearer, path string
		status       int
	}{
		{"alice", "/whep/demo", 201},
		{"mod", "/whep/demo", 201},
		{"pub", "/whep/demo", 403},
		{"alice", "/whep/other", 403},
		{"", "/whep/demo", 401},
		{"expired", "/whep/demo", 401},
		{"", "/whep/demo?token=alice", 201},
	}
	for _, tt := range tests {
		s.As(tt.bearer).Post(tt.path, offer(t)).Want(t, tt.status)
	}
	session, etag := s.watch(t)
	bob := s.As("bob")
	for name, r := range map[string]wishtest.Response{
		"DELETE": bob.Do(http.MethodDelete, session, ""),
		"PATCH":  bob.Patch(session, fragment("", ""), etag),
		"layer":  bob.Do(http.MethodPost, session+"/layer", "{}", "Content-Type", "application/json"),
		"sse":    bob.Do(http.MethodPost, session+"/sse", ""),
		"events": bob.Do(http.MethodGet, session+"/sse", ""),
	} {
		if r.Status != http.StatusNotFound {
			t.Errorf("%s by another: %d", name, r.Status)
		}
	}
}

func TestH27RequestsAreLimited(t *testing.T) {
	s := serve(t, whep.Config{}, wish.Rates{Requests: 0.001, Burst: 1})
	session, etag := s.watch(t)
	for name, r := range map[string]wishtest.Response{
		"POST":   s.Post("/whep/demo", offer(t)),
		"PATCH":  s.Patch(session, fragment("", ""), etag),
		"DELETE": s.Do(http.MethodDelete, session, ""),
		"layer":  s.Do(http.MethodPost, session+"/layer", "{}", "Content-Type", "application/json"),
		"sse":    s.Do(http.MethodPost, session+"/sse", ""),
	} {
		if r.Status != http.StatusTooManyRequests {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
}
