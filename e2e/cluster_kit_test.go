package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
)

// redisProcess is a redis-server without a disk.
type redisProcess struct {
	cmd  *exec.Cmd
	addr string
}

func startRedis(t testing.TB, prefix ...string) *redisProcess {
	t.Helper()
	return redisOn(t, "127.0.0.1", prefix...)
}

// redisOn serves on a free port of an address.
func redisOn(t testing.TB, ip string, prefix ...string) *redisProcess {
	t.Helper()
	return redisWith(t, ip, append(prefix, "redis-server"), "--save", "")
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// redisWith runs a command that ends with redis-server, or with its configuration.
func redisWith(t testing.TB, ip string, command []string, more ...string) *redisProcess {
	t.Helper()
	port := freePort(t)
	args := slices.Concat(command, []string{"--bind", ip, "--port", port, "--dir", t.TempDir(), "--protected-mode", "no"}, more)
	r := &redisProcess{cmd: exec.Command(args[0], args[1:]...), addr: net.JoinHostPort(ip, port)}
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("redis-server (the Debian package of that name) is needed: %v", err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	})
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer client.Close()
	within(t, patience, "redis-server answers", func() bool { return client.Ping(t.Context()).Err() == nil })
	return r
}

func (r *redisProcess) url() string { return "redis://" + r.addr + "/0" }

// do carries a command out.
func (r *redisProcess) do(t testing.TB, args ...any) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer client.Close()
	if err := client.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

func (r *redisProcess) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// member is a node of a cluster that runs as a process of its own.
type member struct {
	*serving
	id  string
	url string
	ops string
}

// cluster is some nodes on one Redis.
type cluster struct {
	redis   *redisProcess
	url     string // of Redis; "": that of redis
	program string
}

// on starts another cluster of the same program.
func (c *cluster) on(t *testing.T) *cluster {
	t.Helper()
	return &cluster{redis: startRedis(t), program: c.program}
}

// join starts a node; more are flags.
func (c *cluster) join(t *testing.T, id string, more ...string) *member {
	t.Helper()
	return c.start(t, []string{c.program}, id, more...)
}

// start starts a node by a command that ends with the program.
func (c *cluster) start(t *testing.T, command []string, id string, more ...string) *member {
	t.Helper()
	url := c.url
	if url == "" {
		url = c.redis.url()
	}
	s := runSluice(t, command, append([]string{"--redis.url", url, "--node.id", id, "--record.enabled=false"}, more...)...)
	metrics := s.find(t, `Metrics +(\S+)`)
	return &member{
		serving: s, id: id,
		url: strings.TrimSuffix(s.find(t, `Watch +(\S+)`), "/watch/demo"), ops: strings.TrimSuffix(metrics, "/metrics"),
	}
}

func (m *member) kill(t testing.TB) {
	t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-m.ended
}

// stream asks the control API.
func (m *member) stream(ctx context.Context, name string) (sluice.Stream, error) {
	var s sluice.Stream
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/api/v1/streams/"+name, http.NoBody)
	if err != nil {
		return s, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s, errors.New(res.Status)
	}
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// until waits for a state of a stream.
func (m *member) until(t testing.TB, limit time.Duration, what, name string, ok func(sluice.Stream) bool) sluice.Stream {
	t.Helper()
	var s sluice.Stream
	poll(t, limit, 20*time.Millisecond, m.id+": "+what, func() bool {
		var err error
		s, err = m.stream(t.Context(), name)
		return err == nil && ok(s)
	})
	return s
}

// live waits until a stream is live with so many layers.
func (m *member) live(t testing.TB, name string, layers int) {
	t.Helper()
	m.until(t, patience, "stream is live", name, func(s sluice.Stream) bool {
		return s.State == sluice.StreamLive && len(s.Layers) == layers && !slices.ContainsFunc(s.Layers, func(l sluice.Layer) bool { return !l.Active || l.Width == 0 })
	})
}

// publishAgain posts until the node takes the publisher, as encoders do.
func publishAgain(t testing.TB, cfg client.PublisherConfig, every time.Duration) *client.Publisher {
	t.Helper()
	cfg.HTTP = clientHTTP(t)
	var p *client.Publisher
	poll(t, patience, every, "the publisher is taken", func() bool {
		var err error
		p, err = client.Publish(t.Context(), cfg)
		return err == nil
	})
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// runs is how often a test of deaths is repeated: CLUSTER_RUNS, or few.
func runs(t testing.TB, few int) int {
	t.Helper()
	text := os.Getenv("CLUSTER_RUNS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CLUSTER_RUNS is %q", text)
	}
	return n
}

// quantiles describes how long something took.
func quantiles(all []time.Duration) string {
	slices.Sort(all)
	at := func(q float64) time.Duration {
		return all[min(int(q*float64(len(all))), len(all)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %v, p95 %v, max %v of %d", at(0.5), at(0.95), all[len(all)-1].Round(time.Millisecond), len(all))
}

// samePictures fails the test when viewers had to begin anew, or got packets that
// do not follow those before. Pictures are lost with a node.
func samePictures(t testing.TB, viewers []*loadViewer) {
	t.Helper()
	for i, v := range viewers {
		s := v.Stats()
		if err := v.Err(); err != nil {
			t.Errorf("viewer %d: %v", i, err)
		}
		if s.Video.Breaks.SSRC+s.Video.Breaks.Timestamp+s.Video.Breaks.Sequence != 0 {
			t.Errorf("viewer %d: breaks of video %+v", i, s.Video.Breaks)
		}
	}
}
