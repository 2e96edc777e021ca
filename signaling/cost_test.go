package signaling_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

// counted is what a Redis has done.
type counted struct {
	commands, heartbeats, in, out float64
	at                            time.Time
}

func count(t *testing.T, client redis.UniversalClient) counted {
	t.Helper()
	info, err := client.InfoMap(t.Context(), "stats", "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	c := counted{at: time.Now()}
	number := func(text string) float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	calls := regexp.MustCompile(`calls=(\d+)`)
	for name, value := range info["Commandstats"] {
		n := number(calls.FindStringSubmatch(value)[1])
		c.commands += n
		if name == "cmdstat_getdel" { // one for each heartbeat
			c.heartbeats = n
		}
	}
	c.in, c.out = number(info["Stats"]["total_net_input_bytes"]), number(info["Stats"]["total_net_output_bytes"])
	return c
}

// TestCost measures what a cluster costs Redis: CAPACITY.md has the figures. The
// number of viewers does not show in it.
func TestCost(t *testing.T) {
	t.Parallel()
	const many, streams = 40, 1000
	server := startRedis(t)
	admin := connect(t, server.url())
	viewers := 0
	nodes := make([]*signaling.Registry, many)
	for i := range nodes {
		r, err := signaling.NewRegistry(connect(t, server.url()), signaling.Config{
			NodeID: fmt.Sprintf("node-%d", i), Region: fmt.Sprintf("region-%d", i%4), URL: "https://node.example.org:8443", LeaseTTL: signaling.DefaultLeaseTTL / 3,
			Describe: func(n *sluice.Node) {
				n.Media, n.Version, n.Roles = "192.0.2.1:8189", "v1.2.3", []string{"ingest", "delivery", "recording"}
				n.CPUs, n.Load = 32, sluice.NodeLoad{CPU: .5, Mbps: 1234.5, Streams: 25, Publishers: 20, Viewers: viewers, Relays: 5}
			},
		}, discard())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close(context.Background()) })
		nodes[i] = r
	}
	measure := func(what string) (perBeat float64) {
		before := count(t, admin)
		var after counted
		eventually(t, "some heartbeats pass", func() bool {
			after = count(t, admin)
			return after.heartbeats-before.heartbeats >= 3*many
		})
		beats, took := after.heartbeats-before.heartbeats, after.at.Sub(before.at).Seconds()
		perBeat = (after.commands - before.commands) / beats
		t.Logf("%s: %.1f commands for each heartbeat of a node, %.0f commands/s, %.1f kB/s in, %.1f kB/s out; %d nodes",
			what, perBeat, (after.commands-before.commands)/took, (after.in-before.in)/took/1e3, (after.out-before.out)/took/1e3, many)
		return perBeat
	}
	idle := measure("no streams")
	for i := range streams {
		acquire(t, nodes[i%many], fmt.Sprintf("stream-%d", i))
	}
	busy := measure(fmt.Sprintf("%d streams", streams))
	each := (busy - idle) * many / streams
	t.Logf("%.2f commands for each stream and heartbeat", each)
	if idle > 20 || each > 2.5 {
		t.Errorf("%.1f commands for each node, %.2f for each stream", idle, each)
	}
	size := func(keys ...string) (sum int64) {
		for _, key := range keys {
			n, err := admin.MemoryUsage(t.Context(), key, 0).Result()
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			sum += n
		}
		return sum
	}
	t.Logf("bytes: %d for a stream, %d for a node and its place in its region, %d for the census of 4 regions",
		size("sluice:{stream-1}:lease", "sluice:{stream-1}:gen"), size("sluice:node:{node-1}")+size("sluice:nodes:{region-1}")/(many/4), size("sluice:census"))
	keys, err := admin.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if strings.Contains(key, "viewer") {
			t.Errorf("%s is of viewers", key)
		}
	}
}
