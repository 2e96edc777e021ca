package node_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/internal/obs"
)

func load(t *testing.T, yaml string, environ []string, flags map[string]string) (node.Config, error) {
	t.Helper()
	s := node.Sources{Environ: environ, Flags: flags}
	if yaml != "" {
		s.File = filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(s.File, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return node.Load(s)
}

func defaults(t *testing.T) node.Config {
	t.Helper()
	c, err := load(t, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := defaults(t)
	if c.HTTP.Addr != "127.0.0.1:8080" || c.Media.Addr != ":8189" || c.Ops.Addr != "127.0.0.1:9091" {
		t.Errorf("addresses: %+v %+v %+v", c.HTTP, c.Media, c.Ops)
	}
	if c.Auth.Mode != node.AuthOpen {
		t.Errorf("auth.mode on loopback is %q", c.Auth.Mode)
	}
	if !c.Media.TCP || c.Stream.Grace != 30*time.Second || c.Limits.SDPBytes != 65536 {
		t.Errorf("%+v %+v %+v", c.Media, c.Stream, c.Limits)
	}
}

func TestPrecedence(t *testing.T) {
	const yaml = "http:\n  addr: 127.0.0.1:1\nmedia:\n  addr: \":1\"\nops:\n  addr: 127.0.0.1:1\nlog:\n"
	environ := []string{"SLUICE_HTTP_ADDR=127.0.0.1:2", "SLUICE_MEDIA_ADDR=:2", "PATH=/bin", "SLUICE"}
	c, err := load(t, yaml, environ, map[string]string{"http.addr": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.HTTP.Addr, c.Media.Addr, c.Ops.Addr, c.Log.Level}
	want := []string{"127.0.0.1:3", ":2", "127.0.0.1:1", "info"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("flag, environment, file, default: got %q, want %q", got, want)
	}
}

func TestForms(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	want := map[string]obs.Secret{"one": secret, "two": secret}
	tests := []struct {
		name    string
		yaml    string
		environ []string
		got     func(node.Config) any
		want    any
	}{
		{"keys in YAML", "auth: {keys: {one: " + secret + ", two: " + secret + "}}", nil,
			func(c node.Config) any { return c.Auth.Keys }, want},
		{"keys in the environment replace those of YAML", "auth: {keys: {three: " + secret + "}}",
			[]string{"SLUICE_AUTH_KEYS=one: " + secret + ", two: " + secret},
			func(c node.Config) any { return c.Auth.Keys }, want},
		{"list in the environment", "", []string{"SLUICE_MEDIA_PUBLIC_IPS=192.0.2.1, 2001:db8::1"},
			func(c node.Config) any { return c.Media.PublicIPs }, []string{"192.0.2.1", "2001:db8::1"}},
		{"ICE servers as URLs", "", []string{"SLUICE_MEDIA_ICE_SERVERS=stun:a.example,stun:b.example"},
			func(c node.Config) any { return c.Media.ICEServers },
			[]node.ICEServer{{URLs: []string{"stun:a.example"}}, {URLs: []string{"stun:b.example"}}}},
		{"ICE servers mixed", "media: {ice_servers: [\"stun:a.example\", {urls: [\"turn:b.example\"], secret: s}]}", nil,
			func(c node.Config) any { return c.Media.ICEServers },
			[]node.ICEServer{{URLs: []string{"stun:a.example"}}, {URLs: []string{"turn:b.example"}, Secret: "s"}}},
		{"bool", "media: {tcp: false}", nil, func(c node.Config) any { return c.Media.TCP }, false},
		{"duration", "", []string{"SLUICE_STREAM_GRACE=1m30s"}, func(c node.Config) any { return c.Stream.Grace }, 90 * time.Second},
		{"empty turns off", "ops: {addr: \"\"}", nil, func(c node.Config) any { return c.Ops.Addr }, ""},
		{"empty section", "http:\nops:\n  addr:\n", nil, func(c node.Config) any { return c.HTTP.Addr + c.Ops.Addr }, "127.0.0.1:8080127.0.0.1:9091"},
		{"token mode on other addresses", "http: {addr: \":8080\"}", nil, func(c node.Config) any { return c.Auth.Mode }, "token"},
		{"open where allowed", "http: {addr: \":8080\"}\nauth: {mode: open, allow_open: true}", nil,
			func(c node.Config) any { return c.Auth.Mode }, "open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.yaml, tt.environ, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name    string
		yaml    string
		environ []string
		flags   map[string]string
		want    string // part of the error
	}{
		{"unknown key", "http:\n  adr: x\n", nil, nil, "line 2: unknown key http.adr, did you mean http.addr?"},
		{"unknown section", "\nhtpp:\n  addr: x\n", nil, nil, "line 2: unknown key htpp, did you mean http"},
		{"key set twice", "http:\n  addr: a\n  addr: b\n", nil, nil, "line 3: http.addr is set twice"},
		{"value for a section", "http: 8080\n", nil, nil, "line 1: http holds settings"},
		{"not a mapping", "- a\n", nil, nil, "the file holds settings"},
		{"two documents", "http:\n---\nhttp:\n", nil, nil, "only one YAML document"},
		{"unknown variable", "", []string{"SLUICE_HTTP_ADRR=x"}, nil, "unknown variable SLUICE_HTTP_ADRR, did you mean SLUICE_HTTP_ADDR?"},
		{"unknown flag", "", nil, map[string]string{"media.adr": "x"}, "unknown flag --media.adr, did you mean --media.addr?"},
		{"duration without unit", "stream: {grace: 30}", nil, nil, "give it a unit"},
		{"not a number", "limits: {rids: many}", nil, nil, "limits.rids"},
		{"address", "http: {addr: localhost}", nil, nil, "http.addr: \"localhost\" is not host:port"},
		{"port", "media: {addr: \":99999\"}", nil, nil, "media.addr"},
		{"half of TLS", "http: {tls: {cert: a.pem}}", nil, nil, "http.tls: cert and key go together"},
		{"public URL", "http: {public_url: live.example.org}", nil, nil, "http.public_url"},
		{"public URL with a path", "http: {public_url: \"https://live.example.org/x\"}", nil, nil, "http.public_url"},
		{"public IP", "media: {public_ips: [here]}", nil, nil, "media.public_ips: \"here\""},
		{"ICE server", "media: {ice_servers: [\"http://a\"]}", nil, nil, "media.ice_servers"},
		{"TURN without credentials", "media: {ice_servers: [\"turn:a\"]}", nil, nil, "media.ice_servers: turn:a wants"},
		{"playout delay out of order", "media: {playout_delay_min: 1s}", nil, nil, "media.playout_delay_min"},
		{"playout delay too long", "media: {playout_delay_max: 41s}", nil, nil, "media.playout_delay_max"},
		{"auth mode", "auth: {mode: free}", nil, nil, "auth.mode: \"free\" is none of auto, open, token"},
		{"open to all", "http: {addr: \"0.0.0.0:80\"}\nauth: {mode: open}", nil, nil, "auth.mode: open lets everybody"},
		{"short secret", "auth: {keys: {a: short}}", nil, nil, "auth.keys: the secret of a is shorter"},
		{"API key", "auth: {keys: {\"a.b\": 0123456789abcdef0123456789abcdef}}", nil, nil, "auth.keys: \"a.b\" is not"},
		{"keys without secrets", "", []string{"SLUICE_AUTH_KEYS=abc"}, nil, "key: secret"},
		{"Redis", "redis: {url: \"http://a\"}", nil, nil, "redis.url"},
		{"node id", "node: {id: \"a b\"}", nil, nil, "node.id"},
		{"grace", "stream: {grace: -1s}", nil, nil, "stream.grace"},
		{"limit", "limits: {rids: 0}", nil, nil, "limits.rids: 0 is not within"},
		{"webhook URL", "webhook: {urls: [\"ftp://a?token=hunter2\"]}", nil, nil, "webhook.urls: not an http:// or https:// URL"},
		{"webhook retry", "webhook: {retry: 0s}", nil, nil, "webhook.retry"},
		{"webhook queue", "webhook: {queue: 0}", nil, nil, "webhook.queue"},
		{"webhook timeout", "webhook: {timeout: 1h}", nil, nil, "webhook.timeout"},
		{"log level", "log: {level: loud}", nil, nil, "log.level"},
		{"shutdown", "shutdown: {timeout: 0s}", nil, nil, "shutdown.timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.yaml, tt.environ, tt.flags)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestPrintedConfigurationLoadsAndHidesSecrets(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	c, err := load(t, "media: {ice_servers: [{urls: [\"turn:b.example\"], secret: "+secret+"}]}",
		[]string{"SLUICE_AUTH_KEYS=one: " + secret, "SLUICE_REDIS_URL=redis://:" + secret + "@h:6379", "SLUICE_WEBHOOK_URLS=http://a?key=" + secret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) || !strings.Contains(string(text), "***") {
		t.Errorf("secrets are not masked:\n%s", text)
	}
	plain, err := defaults(t).YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, string(plain), nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, plain)
	}
	if want := defaults(t); !sameConfig(t, again, want) {
		t.Errorf("printed and loaded again: got %+v, want %+v", again, want)
	}
}

// TestSampleFile holds deploy/sluice.yaml against the table of keys: every key
// is there with its help, and taking the '#' away changes nothing.
func TestSampleFile(t *testing.T) {
	text, err := os.ReadFile("../../deploy/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := load(t, string(text), nil, nil); err != nil {
		t.Errorf("as it is: %v", err)
	} else if !reflect.DeepEqual(c, defaults(t)) {
		t.Errorf("as it is, it gives %+v", c)
	}
	setting := regexp.MustCompile(`(?m)^(\s*)#([a-z])`)
	uncommented := setting.ReplaceAllString(string(text), "$1$2")
	c, err := load(t, uncommented, nil, nil)
	if err != nil {
		t.Fatalf("uncommented: %v", err)
	}
	if !sameConfig(t, c, defaults(t)) {
		t.Errorf("uncommented, it gives %+v", c)
	}
	words := strings.Join(strings.Fields(regexp.MustCompile(`(?m)^\s*# `).ReplaceAllString(string(text), "")), " ")
	keys := len(setting.FindAllString(string(text), -1))
	if want := node.Keys(); keys != len(want) {
		t.Errorf("%d settings, the table has %d keys", keys, len(want))
	}
	for _, k := range node.Keys() {
		if !strings.Contains(words, strings.ToUpper(k.Help[:1])+k.Help[1:]+".") {
			t.Errorf("%s: the help %q is missing", k.Name, k.Help)
		}
	}
}

// sameConfig compares what is printed, where an empty list and none are the same.
func sameConfig(t *testing.T, a, b node.Config) bool {
	t.Helper()
	left, err := a.YAML()
	if err != nil {
		t.Fatal(err)
	}
	right, err := b.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(left) == string(right)
}

func TestKeys(t *testing.T) {
	names, env := map[string]bool{}, map[string]bool{}
	for _, k := range node.Keys() {
		if names[k.Name] || env[k.Env] {
			t.Errorf("%s or %s stands twice", k.Name, k.Env)
		}
		names[k.Name], env[k.Env] = true, true
	}
	if !names["http.tls.cert"] || !env["SLUICE_LIMITS_AUTH_FAILURES_PER_MINUTE"] {
		t.Errorf("keys: %v", names)
	}
}

func FuzzYAML(f *testing.F) {
	sample, err := os.ReadFile("../../deploy/sluice.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample))
	for _, seed := range []string{"", "http:", "http: &a\n  addr: x\nops: *a", "a: [", "? [1]: 2", "auth: {keys: {a: [1]}}", "<<: {a: b}", "http: {<<: {addr: x}}", "!!binary x: y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := node.Load(node.Sources{File: path})
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("Load let through: %v", err)
		}
	})
}

func TestServiceVariablesAreIgnored(t *testing.T) {
	environ := []string{"SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_PORT=tcp://10.0.0.1:80", "SLUICE_PORT_80_TCP_ADDR=10.0.0.1"}
	if _, err := node.Load(node.Sources{Environ: environ}); err != nil {
		t.Error(err)
	}
}
