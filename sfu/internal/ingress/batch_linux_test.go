package ingress

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-live/sluice/sfu/internal/egress"
)

// TestAPendingErrorIsPassedOver has the kernel report that nobody listens where
// the socket sent to.
func TestAPendingErrorIsPassedOver(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		gone := listen(t, "udp4", "127.0.0.1:0")
		nobody := localOf(gone)
		gone.Close()
		udp := listen(t, "udp4", "127.0.0.1:0")
		setOption(t, udp, unix.SOL_IP, unix.IP_RECVERR)
		c := wrap(udp)
		sender := listen(t, "udp4", "127.0.0.1:0")
		buf := make([]byte, 100)
		for range 3 {
			if _, err := c.WriteToAddrPort([]byte("hello"), nobody); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				t.Fatal(err)
			}
			send(t, sender, localOf(c), []byte("data"))
			wantDatagram(t, c, buf, localOf(sender), []byte("data"))
		}
		if c.Failed() == 0 {
			t.Error("the kernel reported no error")
		}
	})
}

func setOption(t testing.TB, udp *net.UDPConn, level, option int) {
	t.Helper()
	raw, err := udp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
}

// burst sends count datagrams of 1200 bytes in as few messages as they fit in.
type burst struct {
	batch *egress.Batch
	to    netip.AddrPort
	data  []byte
}

func newBurst(t testing.TB, to netip.AddrPort) (*burst, netip.AddrPort) {
	t.Helper()
	sender := listen(t, "udp4", "127.0.0.1:0")
	socket, err := egress.NewSocket(sender)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return &burst{egress.NewBatch(socket), to, datagram("burst", 1200)}, localOf(sender)
}

func (b *burst) send(count int) {
	for range count {
		b.batch.Add(b.to, copy(b.batch.Space(), b.data))
	}
	b.batch.Flush()
}

func TestTheKernelJoinsABurst(t *testing.T) {
	c := NewConn(listen(t, "udp4", "127.0.0.1:0"))
	r, ok := c.reader.(*batch)
	if !ok {
		t.Fatal("no batch reader on Linux")
	}
	b, from := newBurst(t, localOf(c))
	b.send(9)
	buf := make([]byte, 2000)
	for left := 8; left >= 0; left-- {
		wantDatagram(t, c, buf, from, b.data)
		if r.count != 1 || len(r.rest) != left*1200 {
			t.Fatalf("%d messages, %d bytes left, want one message and %d bytes", r.count, len(r.rest), left*1200)
		}
	}
}

func TestOneCallBringsMany(t *testing.T) {
	c := NewConn(listen(t, "udp4", "127.0.0.1:0"))
	sender := listen(t, "udp4", "127.0.0.1:0")
	for range maxMessages + 1 {
		send(t, sender, localOf(c), []byte("data"))
	}
	r, buf := c.reader.(*batch), make([]byte, 100)
	for i := range maxMessages + 1 {
		wantDatagram(t, c, buf, localOf(sender), []byte("data"))
		if want := [2]int{maxMessages, 1}[i/maxMessages]; r.count != want {
			t.Fatalf("datagram %d: a call brought %d messages, want %d", i, r.count, want)
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	for _, tt := range sockets {
		t.Run(tt.name, func(t *testing.T) {
			c := NewConn(listen(t, tt.network, tt.listen))
			sender := listen(t, "udp", tt.from)
			to := netip.AddrPortFrom(localOf(sender).Addr(), localOf(c).Port())
			data, buf := datagram("data", 1200), make([]byte, 8192)
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if n := testing.AllocsPerRun(100, func() {
				for range 40 {
					if _, err := sender.WriteToUDPAddrPort(data, to); err != nil {
						t.Fatal(err)
					}
				}
				for range 40 {
					if _, _, err := c.ReadFromAddrPort(buf); err != nil {
						t.Fatal(err)
					}
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestSegmentSize(t *testing.T) {
	cmsg := func(level, kind int32, data ...byte) []byte {
		b := make([]byte, unix.CmsgSpace(len(data)))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		h.Level, h.Type = level, kind
		h.SetLen(unix.CmsgLen(len(data)))
		copy(b[unix.CmsgLen(0):], data)
		return b
	}
	size := func(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
	gro := cmsg(unix.SOL_UDP, unix.UDP_GRO, size(1200)...)
	other := cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, size(7)...)
	tests := []struct {
		name    string
		control []byte
		want    int
	}{
		{"none", nil, 0},
		{"one", gro, 1200},
		{"behind another", append(append([]byte{}, other...), gro...), 1200},
		{"before another", append(append([]byte{}, gro...), other...), 1200},
		{"only another", other, 0},
		{"cut in the header", gro[:unix.SizeofCmsghdr-1], 0},
		{"cut in the data", gro[:unix.SizeofCmsghdr+2], 0},
		{"short data", cmsg(unix.SOL_UDP, unix.UDP_GRO, 1, 2), 0},
		{"length 0", make([]byte, 64), 0},
		{"negative", cmsg(unix.SOL_UDP, unix.UDP_GRO, size(-1)...), -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := segmentSize(tt.control); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

// TestSenders opens messages whose names were not written by a kernel.
func TestSenders(t *testing.T) {
	link := netip.MustParseAddr("fe80::1")
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		family uint16
		length uint32
		addr   netip.Addr
		scope  uint32
		want   string
	}{
		{"IPv4", unix.AF_INET, unix.SizeofSockaddrInet4, netip.MustParseAddr("192.0.2.1"), 0, "192.0.2.1:4660"},
		{"IPv6", unix.AF_INET6, unix.SizeofSockaddrInet6, netip.MustParseAddr("2001:db8::1"), 0, "[2001:db8::1]:4660"},
		{"mapped", unix.AF_INET6, unix.SizeofSockaddrInet6, netip.MustParseAddr("::ffff:192.0.2.1"), 0, "[::ffff:192.0.2.1]:4660"},
		{"zone", unix.AF_INET6, unix.SizeofSockaddrInet6, link, uint32(loopback.Index), "[fe80::1%lo]:4660"},
		{"zone without a name", unix.AF_INET6, unix.SizeofSockaddrInet6, link, 1 << 30, "[fe80::1%1073741824]:4660"},
		{"no name", unix.AF_INET, 0, netip.MustParseAddr("192.0.2.1"), 0, ""},
		{"other family", unix.AF_UNIX, unix.SizeofSockaddrInet6, link, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &batch{}
			r.messages[0].header.Namelen = tt.length
			n := &r.names[0]
			n.Family, n.Scope_id = tt.family, tt.scope
			*(*[2]byte)(unsafe.Pointer(&n.Port)) = [2]byte{0x12, 0x34}
			if tt.addr.Is4() {
				(*unix.RawSockaddrInet4)(unsafe.Pointer(n)).Addr = tt.addr.As4()
			} else {
				n.Addr = tt.addr.As16()
			}
			got := r.sender(0)
			if tt.want == "" {
				if got.IsValid() {
					t.Errorf("%v, want none", got)
				}
			} else if got.String() != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// BenchmarkRead measures reads only, of a queue that holds 36 datagrams.
func BenchmarkRead(bench *testing.B) {
	const count = 36
	for _, sent := range []string{"one by one", "in bursts of 9"} {
		for _, form := range []string{"plain", "batch"} {
			bench.Run("sent "+sent+"/"+form, func(bench *testing.B) {
				udp := listen(bench, "udp4", "127.0.0.1:0")
				var c *Conn
				if form == "plain" {
					c = withReader(udp, plain{udp})
				} else {
					c = NewConn(udp)
				}
				b, _ := newBurst(bench, localOf(c))
				sender, buf := listen(bench, "udp4", "127.0.0.1:0"), make([]byte, 8192)
				var reading time.Duration
				bench.ReportAllocs()
				for bench.Loop() {
					if sent == "one by one" {
						for range count {
							send(bench, sender, localOf(c), b.data)
						}
					} else {
						for range count / 9 {
							b.send(9)
						}
					}
					start := time.Now()
					for range count {
						if _, _, err := c.ReadFromAddrPort(buf); err != nil {
							bench.Fatal(err)
						}
					}
					reading += time.Since(start)
				}
				bench.ReportMetric(float64(reading.Nanoseconds())/float64(bench.N)/count, "ns-read/datagram")
			})
		}
	}
}
