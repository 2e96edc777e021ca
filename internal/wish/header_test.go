package wish

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	sluice "github.com/sluice-live/sluice"
)

func TestCheckIfMatch(t *testing.T) {
	const current = `"abc"`
	tests := []struct {
		name    string
		headers []string
		want    sluice.Code
	}{
		{"none", nil, sluice.CodePreconditionRequired},
		{"empty", []string{""}, sluice.CodePreconditionRequired},
		{"quoted", []string{`"abc"`}, ""},
		{"bare", []string{`abc`}, ""},
		{"star", []string{`*`}, ""},
		{"quoted star", []string{`"*"`}, ""},
		{"one of a list", []string{`"x", "abc"`}, ""},
		{"in the second header", []string{`"x"`, `"abc"`}, ""},
		{"other", []string{`"abd"`}, sluice.CodePreconditionFailed},
		{"weak", []string{`W/"abc"`}, sluice.CodePreconditionFailed},
		{"prefix", []string{`"ab"`}, sluice.CodePreconditionFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sluice.CodeOf(checkIfMatch(tt.headers, current)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLinkString(t *testing.T) {
	turn := ICEServer{URLs: []string{"turn:turn.example.com?transport=tcp", "turns:turn.example.com:443"}, Username: "1700000000:alice", Credential: `pa"ss\word`}
	want := []string{
		`<turn:turn.example.com?transport=tcp>; rel="ice-server"; username="1700000000:alice"; credential="pa\"ss\\word"; credential-type="password"`,
		`<turns:turn.example.com:443>; rel="ice-server"; username="1700000000:alice"; credential="pa\"ss\\word"; credential-type="password"`,
	}
	var got []string
	for _, l := range turn.Links() {
		got = append(got, l.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"", "stun:a>b", "stun:a\r\nX: y", "stun:a b"} {
		if s := (Link{URL: bad, Rel: "ice-server"}).String(); s != "" {
			t.Errorf("%q became %q", bad, s)
		}
	}
	if s := (Link{URL: "/x", Rel: "a\r\nb"}).String(); strings.ContainsAny(s, "\r\n") {
		t.Errorf("%q", s)
	}
}

func TestParseLinks(t *testing.T) {
	links := ParseLinks([]string{
		`<stun:stun.example.net>; rel="ice-server", <turn:t.example?transport=udp>; rel="ice-server"; username="u,;\"x"; credential=plain;credential-type="password"`,
		`</whep/demo/x/sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,layers"`,
		`not a link`,
		`<`, `<x`, `<x>; rel="`, `<x> y`,
	})
	if len(links) != 3 {
		t.Fatalf("%+v", links)
	}
	if links[0].URL != "stun:stun.example.net" || links[0].Rel != "ice-server" {
		t.Errorf("%+v", links[0])
	}
	if l := links[1]; l.URL != "turn:t.example?transport=udp" || l.Param("Username") != `u,;"x` || l.Param("credential") != "plain" {
		t.Errorf("%+v", l)
	}
	if l := links[2]; l.Param("events") != "active,layers" || l.Param("none") != "" {
		t.Errorf("%+v", l)
	}
}

func TestBearer(t *testing.T) {
	tests := []struct {
		name, header, target, want string
		inURL                      bool
	}{
		{"none", "", "/whip/a", "", false},
		{"header", "Bearer abc", "/whip/a", "abc", false},
		{"any case", "bEARER  abc ", "/whip/a", "abc", false},
		{"query", "", "/whip/a?token=abc", "abc", true},
		{"header wins", "Bearer abc", "/whip/a?token=xyz", "abc", false},
		{"other scheme", "Basic abc", "/whip/a", "", false},
		{"empty", "Bearer ", "/whip/a", "", false},
		{"empty query", "", "/whip/a?token=", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, tt.target, nil)
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			if got, inURL := Bearer(r); got != tt.want || inURL != tt.inURL {
				t.Errorf("got %q %v", got, inURL)
			}
		})
	}
}

func TestCheckType(t *testing.T) {
	tests := []struct {
		typ, enc string
		ok       bool
	}{
		{"application/sdp", "", true},
		{"Application/SDP", "", true},
		{"application/sdp; charset=utf-8", "identity", true},
		{"application/sdp;charset", "", true},
		{"", "", false},
		{"text/plain", "", false},
		{"application/sdpx", "", false},
		{"application/sdp", "gzip", false},
		{";;;", "", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Content-Type", tt.typ)
		r.Header.Set("Content-Encoding", tt.enc)
		err := CheckType(r, SDPType)
		if (err == nil) != tt.ok || err != nil && sluice.CodeOf(err) != sluice.CodeUnsupportedMediaType {
			t.Errorf("%q %q: %v", tt.typ, tt.enc, err)
		}
	}
}

func TestRemote(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = "[::ffff:192.0.2.7]:80"
	if got := Remote(r).String(); got != "192.0.2.7" {
		t.Errorf("got %s", got)
	}
	if got := Remote(WithRemote(r, "198.51.100.1")).String(); got != "198.51.100.1" {
		t.Errorf("got %s", got)
	}
	if got := Remote(WithRemote(r, "nonsense")).String(); got != "192.0.2.7" {
		t.Errorf("got %s", got)
	}
	r.RemoteAddr = "@"
	if Remote(r).IsValid() {
		t.Error("an address from nothing")
	}
}
