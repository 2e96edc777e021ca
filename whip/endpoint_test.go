package whip_test

import (
	"compress/gzip"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whip"
)

func TestW01GetAnswersEmpty(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	for _, path := range []string{"/whip", "/whip/demo", session} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := s.Do(method, path, "").Want(t, http.StatusOK)
			if r.Body != "" || r.Header.Get("Content-Length") != "0" {
				t.Errorf("%s %s: body %q, length %s", method, path, r.Body, r.Header.Get("Content-Length"))
			}
		}
	}
}

func TestW02OtherMethodsAre405WithAllow(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	tests := []struct{ method, path, allow string }{
		{http.MethodPut, "/whip", "GET, HEAD, OPTIONS, POST"},
		{http.MethodDelete, "/whip/demo", "GET, HEAD, OPTIONS, POST"},
		{http.MethodPatch, "/whip/demo", "GET, HEAD, OPTIONS, POST"},
		{http.MethodPost, session, "DELETE, GET, HEAD, OPTIONS, PATCH"},
		{http.MethodPut, session, "DELETE, GET, HEAD, OPTIONS, PATCH"},
		{http.MethodTrace, session, "DELETE, GET, HEAD, OPTIONS, PATCH"},
	}
	for _, tt := range tests {
		r := s.Do(tt.method, tt.path, "").Want(t, http.StatusMethodNotAllowed)
		if got := r.Header.Get("Allow"); got != tt.allow {
			t.Errorf("%s %s: Allow %q", tt.method, tt.path, got)
		}
	}
}

func TestW03ErrorsAreProblems(t *testing.T) {
	r := start(t).Post("/whip/demo", "v=0").Want(t, http.StatusBadRequest)
	if ct := r.Header.Get("Content-Type"); ct != "application/problem+json" || problemType(r) != "invalid" {
		t.Errorf("%s %s", ct, r.Body)
	}
}

func TestW04W05W06PostAnswers201(t *testing.T) {
	s := start(t)
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	if r.Body != wishtest.Answer || r.Header.Get("Content-Type") != "application/sdp" {
		t.Errorf("%q %q", r.Header.Get("Content-Type"), r.Body)
	}
	if l := r.Header.Get("Location"); !strings.HasPrefix(l, "/whip/demo/") {
		t.Errorf("Location %q", l)
	}
	o := s.media.offers[0]
	if o.Stream != "demo" || o.SDP != offer(t) || o.Grant.Identity != "alice" || !loopback(o.Remote) {
		t.Errorf("offer %+v", o)
	}
}

func TestW06LocationFollowsThePublicURL(t *testing.T) {
	s := serve(t, whip.Config{PublicURL: "https://live.example.com/x/"}, auth(), wish.Rates{})
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	if l := r.Header.Get("Location"); !strings.HasPrefix(l, "https://live.example.com/x/whip/demo/") {
		t.Errorf("Location %q", l)
	}
	for _, bad := range []string{"live.example.com", "ftp://x", "https://", "https://x?y"} {
		if _, err := whip.New(whip.Deps{}, whip.Config{PublicURL: bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestW07OtherTypesAreRefused(t *testing.T) {
	s := start(t)
	for _, typ := range []string{"", "text/plain", "application/json", "application/trickle-ice-sdpfrag"} {
		s.Do(http.MethodPost, "/whip/demo", offer(t), "Content-Type", typ).Want(t, http.StatusUnsupportedMediaType)
	}
	if s.media.count() != 0 {
		t.Error("media saw an offer")
	}
}

func TestW08ContentTypeIsTolerant(t *testing.T) {
	s := start(t)
	for _, typ := range []string{"Application/SDP", "application/sdp; charset=utf-8", "application/sdp;x"} {
		s.Do(http.MethodPost, "/whip/demo", offer(t), "Content-Type", typ).Want(t, http.StatusCreated)
	}
}

func TestW09BodyIsCapped(t *testing.T) {
	s := start(t)
	s.Post("/whip/demo", strings.Repeat("a", 64<<10+1)).Want(t, http.StatusRequestEntityTooLarge)
	s.Post("/whip/demo", strings.Repeat("a=\r\n", 1<<18)).Want(t, http.StatusRequestEntityTooLarge)
}

func TestAttackTable(t *testing.T) {
	var zip strings.Builder
	z := gzip.NewWriter(&zip)
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	section := "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
	tests := []struct {
		name, path, bearer, body string
		headers                  []string
		status                   int
		problem                  string
	}{
		{"64 KiB of garbage", "/whip/demo", "alice", strings.Repeat("\x00\xff", 32<<10), nil, 400, "invalid"},
		{"800 media sections", "/whip/demo", "alice", "v=0\r\n" + strings.Repeat(section, 800), nil, 422, "unprocessable"},
		{"800 large media sections", "/whip/demo", "alice", "v=0\r\n" + strings.Repeat(section+strings.Repeat("a=x\r\n", 900), 800), nil, 413, "too-large"},
		{"500 rids", "/whip/demo", "alice", offer(t) + strings.Repeat("a=rid:x send\r\n", 500), nil, 422, "unprocessable"},
		{"500 in a simulcast line", "/whip/demo", "alice", offer(t) + "a=simulcast:send x" + strings.Repeat(";x", 499) + "\r\n", nil, 422, "unprocessable"},
		{"an offer to receive", "/whip/demo", "alice", strings.ReplaceAll(offer(t), "sendonly", "recvonly"), nil, 422, "unprocessable"},
		{"a wrong type", "/whip/demo", "alice", offer(t), []string{"Content-Type", "text/html"}, 415, "unsupported-media"},
		{"a decompression bomb", "/whip/demo", "alice", zip.String(), []string{"Content-Encoding", "gzip"}, 415, "unsupported-media"},
		{"a bad name", "/whip/de.mo", "alice", offer(t), nil, 400, "invalid"},
		{"dots", "/whip/..", "alice", offer(t), nil, 400, "invalid"},
		{"an escaped slash", "/whip/..%2fetc", "alice", offer(t), nil, 400, "invalid"},
		{"a null byte", "/whip/a%00", "alice", offer(t), nil, 400, "invalid"},
		{"a long name", "/whip/" + strings.Repeat("a", 5<<10), "alice", offer(t), nil, 400, "invalid"},
		{"a bidi name", "/whip/%E2%80%AEx", "alice", offer(t), nil, 400, "invalid"},
		{"no token", "/whip/demo", "", offer(t), nil, 401, "unauthenticated"},
		{"an expired token", "/whip/demo", "expired", offer(t), nil, 401, "unauthenticated"},
		{"a foreign token", "/whip/other", "alice", offer(t), nil, 403, "forbidden"},
		{"a token to watch", "/whip/demo", "view", offer(t), nil, 403, "forbidden"},
		{"no stream in URL or token", "/whip", "any", offer(t), nil, 400, "invalid"},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.As(tt.bearer)
			c.T = t
			began := time.Now()
			r := c.Do(http.MethodPost, tt.path, tt.body, append([]string{"Content-Type", "application/sdp"}, tt.headers...)...).Want(t, tt.status)
			if problemType(r) != tt.problem {
				t.Errorf("problem %s", r.Body)
			}
			if r.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS header")
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("took %v", took)
			}
			if tt.status == 401 && !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("WWW-Authenticate %q", r.Header.Get("WWW-Authenticate"))
			}
		})
	}
	if n := s.media.count(); n != 0 {
		t.Errorf("media saw %d offers", n)
	}
}

func TestW12W13OptionsNeedsNoAuthentication(t *testing.T) {
	s := start(t)
	session, _ := s.publish(t)
	c := s.As("")
	for _, path := range []string{"/whip", "/whip/demo", session} {
		r := c.Do(http.MethodOptions, path, "", "Origin", "https://x", "Access-Control-Request-Method", "PATCH").Want(t, http.StatusOK)
		if r.Header.Get("Accept-Post") != "application/sdp" || r.Header.Get("Accept-Patch") != "application/trickle-ice-sdpfrag" {
			t.Errorf("%s: %v", path, r.Header)
		}
	}
	r := c.Do(http.MethodOptions, session, "")
	if m := r.Header.Get("Access-Control-Allow-Methods"); !strings.Contains(m, "PATCH") || !strings.Contains(m, "DELETE") {
		t.Errorf("methods %q", m)
	}
}

func TestW14EveryResponseHasCORS(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	responses := map[string]wishtest.Response{
		"201":      s.Post("/whip/demo", offer(t)),
		"400":      s.Post("/whip/demo", ""),
		"401":      s.As("").Post("/whip/demo", offer(t)),
		"404":      s.Do(http.MethodDelete, "/whip/demo/nobody", ""),
		"405":      s.Do(http.MethodPut, "/whip/demo", ""),
		"412":      s.Patch(session, fragment(ufrag, pwd, host), `"no"`),
		"trickle":  s.Patch(session, fragment(ufrag, pwd, host), etag),
		"delete":   s.Do(http.MethodDelete, session, ""),
		"options":  s.Do(http.MethodOptions, session, ""),
		"bad name": s.Do(http.MethodDelete, "/whip/a.b/x", ""),
	}
	for name, r := range responses {
		if r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: no origin", name)
		}
		for _, h := range []string{"Location", "ETag", "Link", "Accept-Post", "Retry-After"} {
			if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), h) {
				t.Errorf("%s: %s is not exposed", name, h)
			}
		}
		for _, h := range []string{"Authorization", "Content-Type", "If-Match"} {
			if !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), h) {
				t.Errorf("%s: %s is not allowed", name, h)
			}
		}
		if r.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials are allowed", name)
		}
	}
}

func TestW19BusyStreamIs409(t *testing.T) {
	s := start(t)
	s.media.err = &sluice.Error{Code: sluice.CodeStreamBusy, Detail: "busy"}
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusConflict)
	if problemType(r) != "stream-busy" || r.Header.Get("Retry-After") == "" {
		t.Errorf("%v %s", r.Header, r.Body)
	}
}

func TestW61OverloadIs503(t *testing.T) {
	s := start(t)
	s.media.err = sluice.Errorf(sluice.CodeUnavailable, "full")
	if r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusServiceUnavailable); r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.media.err = errors.New("secret of the inside")
	if r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusInternalServerError); strings.Contains(r.Body, "secret") {
		t.Errorf("%s", r.Body)
	}
}

func TestW60RedirectsKeepTheMethod(t *testing.T) {
	s := start(t)
	r := s.Post("/whip/demo/", offer(t))
	if r.Status == http.StatusMovedPermanently || r.Status == http.StatusFound {
		t.Errorf("status %d", r.Status)
	}
}

func iceServers(made *int) func(sluice.Grant) []wish.ICEServer {
	return func(g sluice.Grant) []wish.ICEServer {
		*made++
		return []wish.ICEServer{
			{URLs: []string{"stun:stun.example.net"}},
			{URLs: []string{"turn:turn.example.net?transport=tcp"}, Username: g.Identity, Credential: "secret"},
		}
	}
}

func TestW62LinksNameICEServers(t *testing.T) {
	made := 0
	s := serve(t, whip.Config{ICEServers: iceServers(&made)}, auth(), wish.Rates{})
	r := s.Post("/whip/demo", offer(t)).Want(t, http.StatusCreated)
	want := []string{
		`<stun:stun.example.net>; rel="ice-server"`,
		`<turn:turn.example.net?transport=tcp>; rel="ice-server"; username="alice"; credential="secret"; credential-type="password"`,
	}
	want = append(want, `<`+eventsURL(t, r.Header)+`>; rel="urn:sluice:whip:ext:server-sent-events"; events="reconnect,overload"`)
	got := r.Header.Values("Link")
	slices.Sort(got)
	slices.Sort(want)
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q", got)
	}
}

func TestW63W64OptionsAndICEServers(t *testing.T) {
	made := 0
	s := serve(t, whip.Config{ICEServers: iceServers(&made)}, auth(), wish.Rates{})
	r := s.Do(http.MethodOptions, "/whip/demo", "", "Access-Control-Request-Method", "POST").Want(t, http.StatusOK)
	if len(r.Header.Values("Link")) != 0 || made != 0 {
		t.Errorf("a preflight got %q", r.Header.Values("Link"))
	}
	if r := s.As("").Do(http.MethodOptions, "/whip/demo", ""); len(r.Header.Values("Link")) != 0 || made != 0 {
		t.Error("a stranger got credentials")
	}
	if r := s.Do(http.MethodOptions, "/whip/demo", ""); len(r.Header.Values("Link")) != 2 {
		t.Error("no links for a known caller")
	}
}

func TestW66W67Authentication(t *testing.T) {
	s := start(t)
	session, etag := s.publish(t)
	for _, bearer := range []string{"", "garbage"} {
		c := s.As(bearer)
		for name, r := range map[string]wishtest.Response{
			"POST":   c.Post("/whip/demo", offer(t)),
			"PATCH":  c.Patch(session, fragment(ufrag, pwd, host), etag),
			"DELETE": c.Do(http.MethodDelete, session, ""),
			"GET":    c.Do(http.MethodGet, session, ""),
		} {
			if r.Status != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s as %q: %d", name, bearer, r.Status)
			}
		}
	}
	// Another's valid token must not learn that the session exists.
	for name, r := range map[string]wishtest.Response{
		"PATCH":  s.As("bob").Patch(session, fragment(ufrag, pwd, host), etag),
		"DELETE": s.As("bob").Do(http.MethodDelete, session, ""),
		"GET":    s.As("bob").Do(http.MethodGet, session, ""),
	} {
		if r.Status != http.StatusNotFound {
			t.Errorf("%s as bob: %d", name, r.Status)
		}
	}
	if s.media.last().Closed() {
		t.Error("the session was closed")
	}
}

func TestW67OwnSessionOutlivesItsToken(t *testing.T) {
	a := auth()
	s := serve(t, whip.Config{}, a, wish.Rates{})
	session, _ := s.publish(t)
	delete(a, "alice") // expired
	s.Post("/whip/demo", offer(t)).Want(t, http.StatusUnauthorized)
	s.Do(http.MethodDelete, session, "").Want(t, http.StatusOK)
}

func TestW68TokenInTheURL(t *testing.T) {
	s := start(t)
	c := s.As("")
	r := c.Post("/whip/demo?token=alice", offer(t)).Want(t, http.StatusCreated)
	session := r.Header.Get("Location")
	if strings.Contains(session, "alice") {
		t.Errorf("Location %q", session)
	}
	// An encoder that put the token into the URL has none for the Location.
	c.Patch(session, fragment(ufrag, pwd, host), r.Header.Get("ETag")).Want(t, http.StatusNoContent)
	s.As("bob").Do(http.MethodDelete, session, "").Want(t, http.StatusNotFound)
	c.Do(http.MethodDelete, session, "").Want(t, http.StatusOK)
}

func TestStreamFromTheToken(t *testing.T) {
	s := start(t)
	r := s.Post("/whip", offer(t)).Want(t, http.StatusCreated)
	if !strings.HasPrefix(r.Header.Get("Location"), "/whip/demo/") || s.media.offers[0].Stream != "demo" {
		t.Errorf("Location %q", r.Header.Get("Location"))
	}
}

func TestW71RequestsAreLimited(t *testing.T) {
	s := serve(t, whip.Config{}, auth(), wish.Rates{Requests: 0.001, Burst: 3})
	session, etag := s.publish(t)
	s.Patch(session, fragment(ufrag, pwd, host), etag).Want(t, http.StatusNoContent)
	s.Do(http.MethodGet, session, "").Want(t, http.StatusOK)
	for name, r := range map[string]wishtest.Response{
		"POST":   s.Post("/whip/demo", offer(t)),
		"PATCH":  s.Patch(session, fragment(ufrag, pwd, host), etag),
		"DELETE": s.Do(http.MethodDelete, session, ""),
	} {
		if r.Status != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" || problemType(r) != "too-many-requests" {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
}

func TestW71RefusalsAreLimited(t *testing.T) {
	s := serve(t, whip.Config{}, auth(), wish.Rates{AuthFailures: 5})
	bad := s.As("guess")
	for range 5 {
		bad.Post("/whip/demo", offer(t)).Want(t, http.StatusUnauthorized)
	}
	bad.Post("/whip/demo", offer(t)).Want(t, http.StatusTooManyRequests)
	s.Do(http.MethodDelete, "/whip/demo/guess", "").Want(t, http.StatusTooManyRequests)
	s.publish(t) // who has the right is not locked out
}

func TestW72W73SessionURLsAreSecret(t *testing.T) {
	s := start(t)
	seen := map[string]bool{}
	for range 50 {
		session, _ := s.publish(t)
		secret := strings.TrimPrefix(session, "/whip/demo/")
		if len(secret) < 22 || seen[secret] || strings.Contains(session, "alice") || strings.Contains(session, "public-id") {
			t.Fatalf("session URL %q", session)
		}
		seen[secret] = true
		s.Do(http.MethodGet, "/whip/other/"+secret, "").Want(t, http.StatusNotFound)
	}
}
