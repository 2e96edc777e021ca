package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCallersBehindTrustedProxies(t *testing.T) {
	t.Parallel()
	list, err := parseTrusted([]string{"10.0.0.0/8", "::1", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, peer, want string
		forwarded        []string
	}{
		{"a stranger says what it likes", "198.51.100.1:9", "198.51.100.1:9", []string{"203.0.113.5"}},
		{"a balancer", "10.1.2.3:9", "203.0.113.5:0", []string{"203.0.113.5"}},
		{"a stranger in front of it", "10.1.2.3:9", "203.0.113.5:0", []string{"127.0.0.1, 203.0.113.5"}},
		{"two proxies", "[::ffff:10.1.2.3]:9", "203.0.113.5:0", []string{"203.0.113.5, 192.0.2.7", "10.0.0.9"}},
		{"proxies only", "[::1]:9", "10.0.0.9:0", []string{"10.0.0.9"}},
		{"rubbish", "10.1.2.3:9", "10.0.0.9:0", []string{"203.0.113.5, x\r\n, 10.0.0.9"}},
		{"nothing", "10.1.2.3:9", "10.1.2.3:9", nil},
		{"IPv6", "10.1.2.3:9", "[2001:db8::1]:0", []string{"2001:db8::1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.RemoteAddr = c.peer
			for _, text := range c.forwarded {
				r.Header.Add("X-Forwarded-For", text)
			}
			var got string
			list.handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("the caller is %s, want %s", got, c.want)
			}
		})
	}
	for _, bad := range []string{"", "10.0.0.0/33", "host"} {
		if _, err := parseTrusted([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
