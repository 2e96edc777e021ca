package signaling_test

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/signaling"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	// Most tests wait for leases to end or for servers to notice: side by side, they
	// take no longer than the longest.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	// go-redis dials a server that is gone once a second, and notices after that
	// that its client is closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// redisServer is a redis-server child process without a disk.
type redisServer struct {
	addr string
	cmd  *exec.Cmd
}

func startRedis(t *testing.T, more ...string) *redisServer {
	t.Helper()
	s := &redisServer{addr: net.JoinHostPort("127.0.0.1", freePort(t))}
	s.start(t, more...)
	t.Cleanup(s.kill)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs the server with an empty data set; more are options.
func (s *redisServer) start(t *testing.T, more ...string) {
	t.Helper()
	args := append([]string{"--bind", "127.0.0.1", "--port", s.port(t), "--save", "", "--dir", t.TempDir()}, more...)
	s.run(t, args...)
}

func (s *redisServer) run(t *testing.T, args ...string) {
	t.Helper()
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("redis-server (the Debian package of that name) is needed: %v", err)
	}
	eventually(t, "redis-server answers", func() bool {
		client, err := signaling.Connect(t.Context(), s.url())
		if err != nil {
			return false
		}
		return client.Close() == nil
	})
}

func (s *redisServer) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *redisServer) url() string { return "redis://" + s.addr }

func (s *redisServer) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill() // it may be dead already
	_ = s.cmd.Wait()         // "signal: killed"
}

// onBoth runs a contract over the embedded server and over a real one.
func onBoth(t *testing.T, contract func(t *testing.T, url string)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		e, err := signaling.NewEmbedded()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		contract(t, e.URL())
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		contract(t, startRedis(t).url())
	})
}

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := signaling.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Error(err)
		}
	})
	return client
}

// leaseTTL is short enough to wait for and long enough for a busy machine.
const leaseTTL = time.Second

func registry(t *testing.T, client redis.UniversalClient, id string) *signaling.Registry {
	t.Helper()
	r, err := signaling.NewRegistry(client, signaling.Config{NodeID: id, LeaseTTL: leaseTTL}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.Close(ctx) // some tests leave no Redis to sign off from
	})
	return r
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}

func isLost(l *signaling.Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}
