package signaling_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice/signaling"
)

// TestCluster runs the lease contract over a Redis Cluster of one server, which
// refuses every script and transaction whose keys are not in one slot.
func TestCluster(t *testing.T) {
	t.Parallel()
	leaseIsExclusive(t, startCluster(t))
}

// startCluster returns the URL of a Redis Cluster of one server.
func startCluster(t *testing.T) string {
	t.Helper()
	server := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t), "--cluster-announce-ip", "127.0.0.1")
	admin := connect(t, server.url())
	if err := admin.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	url := "redis+cluster://" + server.addr
	eventually(t, "the cluster has formed", func() bool {
		client, err := signaling.Connect(t.Context(), url)
		if err != nil {
			return false
		}
		up := client.Set(t.Context(), "x", "y", 0).Err() == nil
		return client.Close() == nil && up
	})
	return url
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	port := freePort(t)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %s 1\n", server.port(t))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := &redisServer{addr: "127.0.0.1:" + port}
	sentinel.run(t, conf, "--sentinel", "--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir())
	t.Cleanup(sentinel.kill)
	leaseIsExclusive(t, "redis+sentinel://"+sentinel.addr+"/0?master_name=main")
}
