package signaling_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

// sentinels is a Redis with a replica that three sentinels watch.
type sentinels struct {
	url     string
	servers []*redisServer // the master first
}

func startSentinels(t *testing.T) sentinels {
	t.Helper()
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+master.port(t))
	s := sentinels{servers: []*redisServer{master, replica}}
	admin := connect(t, replica.url())
	eventually(t, "the replica follows", func() bool {
		info, err := admin.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	var addrs []string
	for i := range 3 {
		port := freePort(t)
		conf := filepath.Join(t.TempDir(), fmt.Sprintf("sentinel-%d.conf", i))
		text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %s 2\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n", master.port(t))
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		one := &redisServer{addr: "127.0.0.1:" + port}
		one.run(t, conf, "--sentinel", "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir())
		t.Cleanup(one.kill)
		addrs = append(addrs, one.addr)
	}
	s.url = "redis+sentinel://" + addrs[0] + "/0?master_name=main&addr=" + addrs[1] + "&addr=" + addrs[2]
	first := redis.NewSentinelClient(&redis.Options{Addr: addrs[0]})
	t.Cleanup(func() { _ = first.Close() })
	eventually(t, "the sentinels know each other and the replica", func() bool {
		others, err := first.Sentinels(t.Context(), "main").Result()
		replicas, err2 := first.Replicas(t.Context(), "main").Result()
		return err == nil && err2 == nil && len(others) == 2 && len(replicas) == 1 && strings.Contains(replicas[0]["flags"], "slave") &&
			!strings.Contains(replicas[0]["flags"], "down") && replicas[0]["master-link-status"] == "ok"
	})
	return s
}

// standsAfter waits until a lease stands again as it was, and says how long that
// took.
func standsAfter(t *testing.T, what string, since time.Time, other *signaling.Registry, l *signaling.Lease) {
	t.Helper()
	eventually(t, what+": the lease stands as it was", func() bool {
		owner, err := other.Lookup(t.Context(), l.Stream())
		return err == nil && owner == signaling.Owner{Node: "a", Generation: l.Generation()}
	})
	t.Logf("%s: back after %v", what, time.Since(since).Round(time.Millisecond))
	_, err := other.Acquire(t.Context(), l.Stream())
	wantCode(t, err, sluice.CodeStreamBusy)
	if isLost(l) {
		t.Errorf("%s: the lease was lost", what)
	}
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]syscall.Signal{"killed master": syscall.SIGKILL, "frozen master": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSentinels(t)
			a, b := registry(t, connect(t, s.url), "a"), registry(t, connect(t, s.url), "b")
			l := acquire(t, a, "demo")
			began := time.Now()
			s.servers[0].signal(t, fault)
			replica := connect(t, s.servers[1].url())
			eventually(t, "the replica is promoted", func() bool {
				info, err := replica.Info(t.Context(), "replication").Result()
				return err == nil && strings.Contains(info, "role:master")
			})
			t.Logf("%s: promoted after %v", name, time.Since(began).Round(time.Millisecond))
			standsAfter(t, name, began, b, l)
			if fault != syscall.SIGSTOP {
				return
			}
			// The old master comes back with what it knew, and nobody asks it.
			s.servers[0].signal(t, syscall.SIGCONT)
			end := time.Now().Add(2 * leaseTTL)
			eventually(t, "two lease times pass", func() bool { return time.Now().After(end) })
			standsAfter(t, "old master back", time.Now(), b, l)
			acquire(t, b, "next")
			if n := replica.Exists(t.Context(), "sluice:{next}:lease").Val(); n != 1 {
				t.Error("the new master does not have the new lease")
			}
		})
	}
}

// startTrio returns a Redis Cluster of three servers.
func startTrio(t *testing.T) (servers []*redisServer, url string) {
	t.Helper()
	for range 3 {
		s := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t), "--cluster-announce-ip", "127.0.0.1",
			"--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		servers = append(servers, s)
	}
	url = "redis+cluster://" + servers[0].addr + "?addr=" + servers[1].addr + "&addr=" + servers[2].addr
	for i, s := range servers {
		admin := connect(t, s.url())
		if err := admin.ClusterAddSlotsRange(t.Context(), i*5461, min((i+1)*5461-1, 16383)+i/2).Err(); err != nil {
			t.Fatal(err)
		}
		bus, err := servers[0].busPort(t)
		if err != nil {
			t.Fatal(err)
		}
		if err := admin.Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", servers[0].port(t), bus).Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the cluster has formed", func() bool {
		for _, s := range servers {
			info, err := connect(t, s.url()).ClusterInfo(t.Context()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
				return false
			}
		}
		return true
	})
	return servers, url
}

// busPort is where a member of a Redis Cluster talks to the others.
func (s *redisServer) busPort(t *testing.T) (string, error) {
	config, err := connect(t, s.url()).ConfigGet(t.Context(), "cluster-port").Result()
	return config["cluster-port"], err
}

func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	servers, url := startTrio(t)
	t.Run("leases", func(t *testing.T) { leaseIsExclusive(t, url) })
	t.Run("records", func(t *testing.T) { nodeRecord(t, url) })

	a, b := registry(t, connect(t, url), "a"), registry(t, connect(t, url), "b")
	var leases []*signaling.Lease
	for i := range 30 {
		leases = append(leases, acquire(t, a, fmt.Sprintf("s%d", i)))
	}
	answers := func() (n int) {
		for _, l := range leases {
			if owner, err := b.Lookup(t.Context(), l.Stream()); err == nil && owner.Generation == l.Generation() {
				n++
			}
		}
		return n
	}
	for i, s := range servers {
		client := connect(t, s.url())
		if n := client.DBSize(t.Context()).Val(); n == 0 {
			t.Errorf("server %d holds nothing", i)
		}
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	flushed := time.Now()
	eventually(t, "all leases stand as they were", func() bool { return answers() == len(leases) })
	t.Logf("30 leases on three servers were back %v after FLUSHALL; a heartbeat is %v", time.Since(flushed).Round(time.Millisecond), leaseTTL/3)

	// Without a replica a third of the slots is gone. The rest goes on.
	servers[2].kill()
	end := time.Now().Add(2 * leaseTTL)
	eventually(t, "the leases of that server would have expired, and the others stand", func() bool {
		return time.Now().After(end) && answers() >= len(leases)/3
	})
	for _, l := range leases {
		if isLost(l) {
			t.Errorf("the lease of %s was lost with a server", l.Stream())
		}
	}
	t.Logf("%d of 30 leases answer with one of three servers dead", answers())
}

func TestFlushedRedisIsRebuilt(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, connect(t, url), "b")
		var leases []*signaling.Lease
		for i := range 100 {
			leases = append(leases, acquire(t, a, fmt.Sprintf("s%d", i)))
		}
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, "all keys are back", func() bool {
			keys, err := client.Keys(t.Context(), "sluice:*:lease").Result()
			nodes, err2 := b.Nodes(t.Context())
			return err == nil && err2 == nil && len(keys) == len(leases) && len(nodes) == 2
		})
		t.Logf("100 leases and two nodes were back after %v; a heartbeat is %v", time.Since(began).Round(time.Millisecond), leaseTTL/3)
		for _, l := range leases {
			if isLost(l) {
				t.Errorf("the lease of %s was lost", l.Stream())
			}
		}
	})
}
