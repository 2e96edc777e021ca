package egress

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

func listen(t testing.TB, network, addr string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP(network, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func open(t testing.TB, conn *net.UDPConn) *Socket {
	t.Helper()
	s, err := NewSocket(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func datagram(i, size int) []byte {
	d := bytes.Repeat([]byte{byte(i)}, size)
	copy(d, fmt.Sprint(i, " "))
	return d
}

func TestEveryDatagramArrivesInOrder(t *testing.T) {
	for _, tt := range []struct{ name, network, listen, to string }{
		{"IPv4 socket", "udp4", "127.0.0.1:0", "127.0.0.1:0"},
		{"dual-stack socket to IPv4", "udp", "[::]:0", "127.0.0.1:0"},
		{"dual-stack socket to IPv6", "udp", "[::]:0", "[::1]:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBatch(open(t, listen(t, tt.network, tt.listen)))
			var receivers []*net.UDPConn
			for range 3 {
				receivers = append(receivers, listen(t, "udp", tt.to))
			}
			sizes := []int{1200, 1200, 1200, 700, 1200, 160, 1201, 1201, 1200, 30, 1472, 1}
			const rounds = 4
			for round := range rounds {
				for _, r := range receivers {
					for i, size := range sizes {
						n := copy(b.Space(), datagram(round*100+i, size))
						b.Add(r.LocalAddr().(*net.UDPAddr).AddrPort(), n)
					}
				}
				b.Flush()
			}
			if b.Failed != 0 {
				t.Fatalf("%d datagrams failed", b.Failed)
			}
			buf := make([]byte, 2048)
			for _, r := range receivers {
				for round := range rounds {
					for i, size := range sizes {
						r.SetReadDeadline(time.Now().Add(5 * time.Second))
						n, err := r.Read(buf)
						if err != nil {
							t.Fatalf("round %d datagram %d: %v", round, i, err)
						}
						if want := datagram(round*100+i, size); !bytes.Equal(buf[:n], want) {
							t.Fatalf("round %d datagram %d: %d bytes %q…, want %d", round, i, n, buf[:min(n, 8)], size)
						}
					}
				}
			}
		})
	}
}

func TestMoreThanABatchHolds(t *testing.T) {
	b := NewBatch(open(t, listen(t, "udp4", "127.0.0.1:0")))
	r := listen(t, "udp4", "127.0.0.1:0")
	if err := r.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	to := r.LocalAddr().(*net.UDPAddr).AddrPort()
	const total = 400
	for i := range total {
		size := 100 + i%2*1300 // no two of a size behind each other that could join
		n := copy(b.Space(), datagram(i, size))
		b.Add(to, n)
	}
	b.Flush()
	buf := make([]byte, 2048)
	for i := range total {
		r.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := r.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], datagram(i, 100+i%2*1300)) {
			t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
		}
	}
}

func TestUnreachableDestinationLosesOnlyItsOwn(t *testing.T) {
	b := NewBatch(open(t, listen(t, "udp4", "127.0.0.1:0")))
	r := listen(t, "udp4", "127.0.0.1:0")
	good := r.LocalAddr().(*net.UDPAddr).AddrPort()
	bad := netip.AddrPortFrom(good.Addr(), 0) // the kernel refuses port 0
	for i, to := range []netip.AddrPort{good, bad, good} {
		b.Add(to, copy(b.Space(), datagram(i, 300)))
	}
	b.Flush()
	if b.Failed != 1 {
		t.Errorf("%d failed, want 1", b.Failed)
	}
	buf := make([]byte, 2048)
	for _, want := range []int{0, 2} {
		r.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := r.Read(buf); err != nil || !bytes.Equal(buf[:n], datagram(want, 300)) {
			t.Fatalf("datagram %d: %v", want, err)
		}
	}
}

func TestSendingAllocatesNothing(t *testing.T) {
	b := NewBatch(open(t, listen(t, "udp4", "127.0.0.1:0")))
	to := listen(t, "udp4", "127.0.0.1:0").LocalAddr().(*net.UDPAddr).AddrPort()
	payload := datagram(1, 1200)
	if n := testing.AllocsPerRun(100, func() {
		for range 9 {
			b.Add(to, copy(b.Space(), payload))
		}
		b.Flush()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFrame(bench *testing.B) {
	b := NewBatch(open(bench, listen(bench, "udp4", "127.0.0.1:0")))
	to := listen(bench, "udp4", "127.0.0.1:0").LocalAddr().(*net.UDPAddr).AddrPort()
	payload := datagram(1, 1200)
	bench.SetBytes(9 * 1200)
	bench.ReportAllocs()
	for bench.Loop() {
		for range 9 {
			b.Add(to, copy(b.Space(), payload))
		}
		b.Flush()
	}
}
