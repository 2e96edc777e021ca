package egress

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// BenchmarkShards is what a datagram costs when several shards send at once,
// through one socket and through one each.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 2} {
		name := map[int]string{1: "one shard", 2: "two shards"}[shards]
		b.Run(name+", one socket", func(b *testing.B) { benchmarkShards(b, shards, true) })
		b.Run(name+", a socket each", func(b *testing.B) { benchmarkShards(b, shards, false) })
	}
}

func benchmarkShards(b *testing.B, shards int, shared bool) {
	const viewers, packets, size = 64, 9, 1200
	sinks := make([]netip.AddrPort, viewers)
	for i := range sinks {
		sinks[i] = listenUDP(b).LocalAddr().(*net.UDPAddr).AddrPort()
	}
	var batches []*Batch
	var common *Socket
	for range shards {
		if common == nil || !shared {
			s, err := NewSocket(listenUDP(b))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			common = s
		}
		batches = append(batches, NewBatch(common))
	}
	b.ResetTimer()
	var done sync.WaitGroup
	for _, batch := range batches {
		done.Go(func() {
			for range b.N {
				for _, to := range sinks {
					for range packets {
						batch.Space()
						batch.Add(to, size)
					}
				}
				batch.Flush()
			}
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*viewers*packets*shards), "ns/datagram")
}

func listenUDP(b *testing.B) *net.UDPConn {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}
