package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/obs"
)

func TestNewLogger(t *testing.T) {
	tests := []struct {
		name, level, format string
		want                string // in the output of a warning
		bad                 bool
	}{
		{"defaults away from a terminal", "", "", `"msg":"hello"`, false},
		{"auto", "info", "auto", `"msg":"hello"`, false},
		{"text", "debug", "text", `msg=hello`, false},
		{"json", "warn", "json", `"stream":"demo"`, false},
		{"level in capitals", "WARN", "json", `"level":"WARN"`, false},
		{"silent", "error", "json", ``, false},
		{"unknown level", "loud", "json", "", true},
		{"unknown format", "info", "xml", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log, err := obs.NewLogger(&out, tt.level, tt.format)
			if tt.bad {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			log.Warn("hello", "stream", "demo")
			if !strings.Contains(out.String(), tt.want) || (tt.want == "") != (out.Len() == 0) {
				t.Errorf("output %q, want %q in it", out.String(), tt.want)
			}
		})
	}
}

func TestLogsHideSecrets(t *testing.T) {
	const secret = "hunter2"
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := obs.NewLogger(&out, "debug", format)
		if err != nil {
			t.Fatal(err)
		}
		config := struct {
			User string
			Pass obs.Secret
		}{"u", secret}
		log.Info("x", "token", secret, "Authorization", "Bearer "+secret, "any", obs.Secret(secret), "config", config, "ptr", &config)
		log.With("password", secret).WithGroup("g").Info("y", slog.Group("h", "sdp", secret))
		log.Info("z", "err", fmt.Errorf("dial %v: %s", obs.Secret(secret), obs.Secret(secret)))
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s: the secret shows: %s", format, out.String())
		}
		if !strings.Contains(out.String(), "***") {
			t.Errorf("%s: nothing is masked: %s", format, out.String())
		}
	}
}

func TestSecretHidesItself(t *testing.T) {
	s := obs.Secret("hunter2")
	j, err := json.Marshal(map[string]any{"a": s, "b": obs.Secret("")})
	if err != nil {
		t.Fatal(err)
	}
	if string(j) != `{"a":"***","b":""}` {
		t.Errorf("JSON %s", j)
	}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "***" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if string(s) != "hunter2" {
		t.Error("the value is lost")
	}
}

func TestRequestID(t *testing.T) {
	tests := []struct {
		name, sent string
		keep       bool
	}{
		{"none", "", false},
		{"plain", "abc-DEF_1.2", true},
		{"longest", strings.Repeat("a", 128), true},
		{"too long", strings.Repeat("a", 129), false},
		{"line feed", "a\nb", false},
		{"space", "a b", false},
		{"not ASCII", "é", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, got := range []string{obs.RequestID(tt.sent), obs.NewRequestIDs().ID(tt.sent)} {
				if (got == tt.sent) != tt.keep || got == "" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	many, others := obs.NewRequestIDs(), obs.NewRequestIDs()
	seen := map[string]bool{}
	for _, id := range []string{obs.RequestID(""), obs.RequestID(""), many.ID(""), many.ID(""), others.ID("")} {
		if seen[id] {
			t.Errorf("%q twice", id)
		}
		seen[id] = true
	}
}

func TestRequestIDIsLogged(t *testing.T) {
	var out bytes.Buffer
	log, err := obs.NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	ctx := obs.WithRequestID(context.Background(), "r-1")
	log.With("node", "n").InfoContext(ctx, "x")
	if !strings.Contains(out.String(), `"request":"r-1"`) {
		t.Errorf("output %s", out.String())
	}
}

func TestRedactQuery(t *testing.T) {
	tests := []struct{ raw, want string }{
		{"", ""},
		{"a=1&b=2", "a=1&b=2"},
		{"token=hunter2", "token=***"},
		{"a=1&access_token=hunter2&jwt=hunter2", "a=1&access_token=***&jwt=***"},
		{"TOKEN=hunter2", "TOKEN=***"},
		{"%74oken=hunter2", "%74oken=***"},
		{"%zz=hunter2", "***"},
		{"token", "token=***"},
	}
	for _, tt := range tests {
		if got := obs.RedactQuery(tt.raw); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func FuzzRedactQuery(f *testing.F) {
	f.Add("token=a&b=c")
	f.Add("%74oken=a;token=b&&=&token=")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(obs.RedactQuery(raw))
		if err != nil {
			return
		}
		for _, v := range values["token"] {
			if v != "***" {
				t.Errorf("%q shows a token: %q", raw, v)
			}
		}
	})
}

func FuzzRequestID(f *testing.F) {
	f.Add("abc")
	f.Add("a\r\nX-Evil: 1")
	f.Fuzz(func(t *testing.T, sent string) {
		got := obs.RequestID(sent)
		if got == "" || len(got) > obs.MaxRequestID || strings.ContainsAny(got, "\r\n \x00") {
			t.Errorf("%q became %q", sent, got)
		}
		if obs.RequestID(got) != got {
			t.Errorf("our own id %q is not accepted", got)
		}
	})
}

func get(t *testing.T, h http.Handler, method, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
