package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
)

func (r *redisProcess) client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: r.addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *redisProcess) port() string { return r.addr[strings.LastIndexByte(r.addr, ':')+1:] }

// startSentinels starts a master, a replica and three sentinels.
func startSentinels(t testing.TB) (master *redisProcess, url string) {
	t.Helper()
	const ip = "127.0.0.1"
	master = startRedis(t)
	replica := redisWith(t, ip, []string{"redis-server"}, "--save", "", "--replicaof", ip+" "+master.port())
	within(t, patience, "the replica follows", func() bool {
		return strings.Contains(replica.client(t).Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	var addrs []string
	for i := range 3 {
		conf := filepath.Join(t.TempDir(), "sentinel-"+strconv.Itoa(i)+".conf")
		text := "sentinel monitor main " + ip + " " + master.port() + " 2\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, redisWith(t, ip, []string{"redis-server", conf, "--sentinel"}).addr)
	}
	first := redis.NewSentinelClient(&redis.Options{Addr: addrs[0]})
	t.Cleanup(func() { _ = first.Close() })
	within(t, patience, "the sentinels know each other and the replica", func() bool {
		others, err := first.Sentinels(t.Context(), "main").Result()
		replicas, err2 := first.Replicas(t.Context(), "main").Result()
		return err == nil && err2 == nil && len(others) == 2 && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
	})
	return master, "redis+sentinel://" + addrs[0] + "/0?master_name=main&addr=" + addrs[1] + "&addr=" + addrs[2]
}

// startRedisCluster starts a Redis Cluster of three.
func startRedisCluster(t testing.TB) (servers []*redisProcess, url string) {
	t.Helper()
	const ip = "127.0.0.1"
	var buses []string
	for i := range 3 {
		bus := freePort(t)
		s := redisWith(t, ip, []string{"redis-server"}, "--save", "", "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-announce-ip", ip,
			"--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		servers, buses = append(servers, s), append(buses, bus)
		admin := s.client(t)
		if err := admin.ClusterAddSlotsRange(t.Context(), i*5461, min((i+1)*5461-1, 16383)+i/2).Err(); err != nil {
			t.Fatal(err)
		}
		if err := admin.Do(t.Context(), "CLUSTER", "MEET", ip, servers[0].port(), buses[0]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	within(t, patience, "the cluster has formed", func() bool {
		for _, s := range servers {
			if info := s.client(t).ClusterInfo(t.Context()).Val(); !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
				return false
			}
		}
		return true
	})
	return servers, "redis+cluster://" + servers[0].addr + "?addr=" + servers[1].addr + "&addr=" + servers[2].addr
}

// found waits until a node that does not have the stream yet finds it.
func found(t testing.TB, m *member) {
	t.Helper()
	poll(t, patience, 50*time.Millisecond, "another node finds the stream", func() bool {
		v, err := client.Watch(t.Context(), client.ViewerConfig{URL: m.url + "/whep/demo", HTTP: clientHTTP(t)})
		if err != nil {
			return false
		}
		return v.Close() == nil
	})
}

// testSentinel kills the master of a Redis that sentinels watch: media goes on, and
// another node finds the stream at the new one.
func testSentinel(t *testing.T, built *cluster) {
	master, url := startSentinels(t)
	nodes := &cluster{program: built.program, url: url}
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	all := watched(t, 2, a, b)[0]
	began := time.Now()
	master.signal(t, syscall.SIGKILL)
	found(t, c)
	t.Logf("found after %v", time.Since(began).Round(time.Millisecond))
	goOn(t, all, 30, "pictures")
	clean(t, all)
}

// testRedisCluster empties the servers of a Redis Cluster, and kills one of them.
func testRedisCluster(t *testing.T, built *cluster) {
	servers, url := startRedisCluster(t)
	nodes := &cluster{program: built.program, url: url}
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	all := watched(t, 2, a, b)[0]
	for _, s := range servers {
		s.do(t, "FLUSHALL")
	}
	found(t, c)
	servers[2].signal(t, syscall.SIGKILL)
	goOn(t, all, 120, "pictures while a third of Redis is away")
	clean(t, all)
}

// testRedisGone freezes, empties and kills Redis: media goes on, and so do joins
// where the stream is, and links that break.
func testRedisGone(t *testing.T, built *cluster) {
	nodes := built.on(t)
	a, b, c := nodes.join(t, "a"), nodes.join(t, "b"), nodes.join(t, "c")
	all := watched(t, 2, a, b)[0]
	for _, fault := range []struct {
		name     string
		pictures uint64 // 120 are four seconds: longer than a lease
		do       func()
		mend     func()
	}{
		{"flushed", 30, func() { nodes.redis.do(t, "FLUSHALL") }, func() {}},
		{"frozen", 120, func() { nodes.redis.signal(t, syscall.SIGSTOP) }, func() { nodes.redis.signal(t, syscall.SIGCONT) }},
		{"killed", 120, func() { nodes.redis.signal(t, syscall.SIGKILL) }, nil},
	} {
		began := time.Now()
		fault.do()
		goOn(t, all, fault.pictures, "pictures while Redis is "+fault.name)
		joined := watchClip(t, b.url+"/whep/demo", 1)
		goOn(t, joined, 10, "pictures of a viewer that came while Redis is "+fault.name)
		for _, v := range all {
			t.Logf("Redis %s: longest time between pictures %v", fault.name, v.longest(began).Round(time.Millisecond))
		}
		if fault.mend == nil {
			continue
		}
		fault.mend()
		poll(t, patience, 50*time.Millisecond, "another node finds the stream", func() bool {
			v, err := client.Watch(t.Context(), client.ViewerConfig{URL: c.url + "/whep/demo", HTTP: clientHTTP(t)})
			if err != nil {
				return false
			}
			return v.Close() == nil
		})
	}
	clean(t, all)

	// The node that it is pulled from stands still until the link breaks: nobody can
	// say where the stream is, but who had it is known.
	for _, s := range []struct {
		signal syscall.Signal
		state  sluice.StreamState
	}{{syscall.SIGSTOP, sluice.StreamPaused}, {syscall.SIGCONT, sluice.StreamLive}} {
		if err := a.cmd.Process.Signal(s.signal); err != nil {
			t.Fatal(err)
		}
		b.until(t, patience, "the stream is "+string(s.state), "demo", func(now sluice.Stream) bool { return now.State == s.state })
	}
	goOn(t, all, 30, "pictures without Redis")
	samePictures(t, all)
}
