package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/node"
)

func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	yaml := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(yaml, []byte("http:\n  adr: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // parts
	}{
		{"help", []string{"--help"}, exitOK, "Exit codes:", ""},
		{"help of a command", []string{"serve", "--help"}, exitOK, "--http.addr", ""},
		{"version", []string{"version"}, exitOK, "sluice ", ""},
		{"no command", nil, exitUsage, "", "sluice: expected one of"},
		{"unknown command", []string{"server"}, exitUsage, "", "sluice: unexpected argument server, did you mean \"serve\"?"},
		{"unknown flag", []string{"serve", "--http.adr=x"}, exitUsage, "", "did you mean \"--http.addr\"?"},
		{"unknown key", []string{"serve", "--config", yaml}, exitUsage, "", "line 2: unknown key http.adr, did you mean http.addr?"},
		{"no such file", []string{"serve", "--config", yaml + "x"}, exitUsage, "", "no such file"},
		{"bad value", []string{"serve", "--stream.grace=30"}, exitUsage, "", "stream.grace"},
		{"open to all", []string{"serve", "--http.addr=:0", "--auth.mode=open"}, exitUsage, "", "auth.allow_open"},
		{"Redis away", []string{"serve", "--http.addr=127.0.0.1:0", "--media.addr=127.0.0.1:0", "--redis.url=redis://127.0.0.1:1"}, exitFailure, "", "redis at 127.0.0.1:1"},
		{"printed configuration", []string{"serve", "--print-config", "--media.tcp=false", "--ops.addr="}, exitOK, "tcp: false", ""},
		{"short name of a flag", []string{"serve", "--print-config", "--roles=delivery"}, exitOK, "- delivery\n", ""},
		{"token without rights", []string{"token", "create", "--stream=demo"}, exitUsage, "", "--publish, --watch, --moderate"},
		{"token for no stream", []string{"token", "create", "--watch"}, exitUsage, "", "--stream"},
		{"key for no stream", []string{"key", "create"}, exitUsage, "", "--stream"},
		{"key for a bad stream", []string{"key", "create", "--stream=a/b"}, exitUsage, "", "--stream: invalid"},
		{"keys of a bad stream", []string{"key", "list", "--stream=a/b"}, exitUsage, "", "--stream: invalid"},
		{"revoking nothing", []string{"key", "revoke", "--stream=demo"}, exitUsage, "", "--all"},
		{"revoking some and all", []string{"key", "revoke", "--stream=demo", "--all", "x"}, exitUsage, "", "--all"},
		{"revoking all of nothing", []string{"key", "revoke", "--all"}, exitUsage, "", "--stream"},
		{"what keys are", []string{"key", "create", "--help"}, exitOK, "asks a running node", ""},
		{"keys of no node", []string{"key", "list", "--url=http://127.0.0.1:1", "--token=x"}, exitFailure, "", "refused"},
		{"token for a bad stream", []string{"token", "create", "--watch", "--stream=a/b"}, exitUsage, "", "--stream: invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := execute(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout, tt.stdout) {
				t.Errorf("stdout %q, want %q in it", stdout, tt.stdout)
			}
			if !strings.Contains(stderr, tt.stderr) {
				t.Errorf("stderr %q, want %q in it", stderr, tt.stderr)
			}
		})
	}
}

func TestEveryKeyIsAFlag(t *testing.T) {
	_, plain, _ := execute(t, "serve", "--print-config")
	args := []string{"serve", "--print-config"}
	for _, k := range node.Keys() {
		args = append(args, "--"+k.Name+"="+k.Default)
	}
	code, stdout, stderr := execute(t, args...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if stdout != plain {
		t.Errorf("with every default as a flag:\n%s\nwithout flags:\n%s", stdout, plain)
	}
}

func TestTokenCreate(t *testing.T) {
	dir := t.TempDir()
	code, first, stderr := execute(t, "token", "create", "--data.dir", dir, "--stream=demo", "--publish", "--identity=alice", "--ttl=5m")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	c, err := node.Load(node.Sources{Flags: map[string]string{"data.dir": dir, "auth.mode": "token"}})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := node.APIKeys(c)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for key, secret := range secrets {
		keys[key] = string(secret)
	}
	authorizer, err := auth.New(auth.Config{Mode: auth.ModeToken, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := authorizer.Authorize(context.Background(), strings.TrimSpace(first))
	if err != nil {
		t.Fatal(err)
	}
	if !grant.MayPublish("demo") || grant.MayPublish("other") || grant.MayWatch("demo") || grant.MayModerate("demo") || grant.Identity != "alice" {
		t.Errorf("grant %+v", grant)
	}
	if left := time.Until(grant.Expires); left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("it is valid for %s, want 5 minutes", left)
	}
}

func TestWelcome(t *testing.T) {
	c, err := node.Load(node.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	open := welcome(c, "http://127.0.0.1:8080", "http://127.0.0.1:9091", "sluice token create")
	for _, want := range []string{
		"http://127.0.0.1:8080/publish/demo\n", "http://127.0.0.1:8080/watch/demo\n", "http://127.0.0.1:8080/whip\n", "Bearer Token   demo",
		"-f whip http://127.0.0.1:8080/whip/demo\n", "http://127.0.0.1:9091/metrics",
	} {
		if !strings.Contains(open, want) {
			t.Errorf("open: %q is missing in\n%s", want, open)
		}
	}
	if strings.Contains(open, "token create") {
		t.Errorf("open: tokens are spoken of:\n%s", open)
	}
	c.Auth.Mode, c.HTTP.PublicURL = node.AuthToken, "https://live.example.org/"
	closed := welcome(c, "http://127.0.0.1:8080", "", "sluice token create")
	for _, want := range []string{
		"sluice token create --stream demo --publish\n", "sluice key create --url http://127.0.0.1:8080 --stream demo\n", "https://live.example.org/watch/demo\n", "-authorization TOKEN https://live.example.org/whip/demo\n",
	} {
		if !strings.Contains(closed, want) {
			t.Errorf("token: %q is missing in\n%s", want, closed)
		}
	}
	if strings.Contains(closed, "Metrics") {
		t.Errorf("token: metrics are off:\n%s", closed)
	}
}
