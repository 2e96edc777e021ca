// Package s3test runs a real S3 server for tests: VersityGW on a directory, a
// child process on loopback. Start installs the program by its exact version where
// it is missing, as the Makefile does before; the test's end stops the server.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Module is the server's package and version.
const Module = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

const (
	bucket = "recordings"
	key    = "tester"
	secret = "0123456789abcdef"
)

// Server is a running S3 server with an empty bucket.
type Server struct {
	program string
	dir     string
	addr    string
	cmd     *exec.Cmd
}

// Start starts a server.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{program: install(t), dir: t.TempDir(), addr: freeAddr(t)}
	if err := os.MkdirAll(filepath.Join(s.dir, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Up(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// install returns the program, which it installs when need be.
func install(t testing.TB) string {
	t.Helper()
	folder, err := exec.CommandContext(t.Context(), "go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(strings.TrimSpace(string(folder)), "bin", "versitygw")
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		install := exec.CommandContext(t.Context(), "go", "install", Module)
		install.Env = append(os.Environ(), "GOFLAGS=", "GOBIN="+filepath.Dir(program))
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("go install %s: %v\n%s", Module, err, out)
		}
	}
	return program
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// URL names a prefix of the bucket, as data.blob_url takes it.
func (s *Server) URL(prefix string) string {
	return fmt.Sprintf("s3://%s:%s@%s/%s?endpoint=http://%s", key, secret, bucket, prefix, s.addr)
}

// Up starts the server again, on what it has stored.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.program, "--access", key, "--secret", secret, "--port", s.addr, "posix", s.dir)
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(deadline, http.MethodGet, "http://"+s.addr+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatal("the S3 server does not answer")
		}
	}
}

// Kill ends the server; what it has stored stays.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Signal stops it or lets it go on (SIGSTOP, SIGCONT).
func (s *Server) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}
