// Package pgtest runs a real PostgreSQL server for tests: a child process on
// loopback with an empty database in a directory of its own. Start waits until it
// answers; the test's end stops it.
package pgtest

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/catalog"
)

// Server is a running server.
type Server struct {
	URL string

	dir  string
	port string
	as   *syscall.SysProcAttr
	cmd  *exec.Cmd // nil: it is down
}

// Start starts a server.
func Start(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{dir: dir, port: freePort(t), as: unprivileged(t, dir)}
	initdb := exec.Command(tool(t, "initdb"), "-D", s.data(), "-U", "sluice", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = s.as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.URL = (&url.URL{
		Scheme: "postgres", User: url.User("sluice"), Host: net.JoinHostPort("127.0.0.1", s.port),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}).String()
	t.Cleanup(s.Stop)
	s.Up(t)
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Up starts the server again, at the same address.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(tool(t, "postgres"), "-D", s.data(), "-F", "-h", "127.0.0.1", "-p", s.port, "-k", s.dir, "-c", "max_connections=40")
	s.cmd.SysProcAttr, s.cmd.Dir = s.as, s.dir
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	for {
		c, err := catalog.Open(t.Context(), s.URL, "")
		if err == nil {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("PostgreSQL does not answer: %v", err)
		}
	}
}

// Stop ends the server and all connections to it.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	_ = s.cmd.Wait()
	s.cmd = nil
}

// unprivileged hands dir to the user that the server runs as: it refuses root.
func unprivileged(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(os.Getgid()), NoSetGroups: true}}
}

func tool(t testing.TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well-formed
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("PostgreSQL (the Debian package postgresql) is needed: %v", err)
	}
	return path
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
