package load

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// collector keeps what it receives.
type collector struct {
	heads []byte
	sizes []int
	at    []int64
	from  netip.AddrPort
}

func (c *collector) receive(b []byte, size int, from netip.AddrPort, at int64) {
	c.heads = append(c.heads, b[0])
	c.sizes = append(c.sizes, size)
	c.at = append(c.at, at)
	c.from = from
}

// TestPollerSeesEachDatagram sends a run that the kernel cuts, or hands over
// whole.
func TestPollerSeesEachDatagram(t *testing.T) {
	for name, gro := range map[string]bool{"cut by the kernel": false, "as one": true} {
		for _, whole := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				p, err := newPoller(gro)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := p.close(); err != nil {
						t.Error(err)
					}
				}()
				var got collector
				s, err := p.open(netip.MustParseAddr("127.0.0.1"), &got)
				if err != nil {
					t.Fatal(err)
				}
				s.whole = whole
				if err := s.stamps(true); err != nil {
					t.Fatal(err)
				}
				before := time.Now().UnixNano()
				from := sendRun(t, s.local, []int{1200, 1200, 500})
				for deadline := time.Now().Add(5 * time.Second); len(got.sizes) < 3 && time.Now().Before(deadline); {
					if err := p.wait(100 * time.Millisecond); err != nil {
						t.Fatal(err)
					}
				}
				if len(got.sizes) != 3 || got.sizes[0] != 1200 || got.sizes[2] != 500 || string(got.heads) != "\x00\x01\x02" {
					t.Errorf("sizes %v, first bytes %v", got.sizes, got.heads)
				}
				if got.from != from || got.at[0] < before || got.at[0] > time.Now().UnixNano() {
					t.Errorf("from %v at %v, want %v after %v", got.from, got.at, from, before)
				}
			})
		}
	}
}

// sendRun sends datagrams as one run; each begins with its number.
func sendRun(t *testing.T, to netip.AddrPort, sizes []int) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, sizes[0]) }); err != nil {
		t.Fatal(err)
	}
	var run []byte
	for i, size := range sizes {
		b := make([]byte, size)
		b[0] = byte(i)
		run = append(run, b...)
	}
	if _, err := conn.WriteToUDPAddrPort(run, to); err != nil {
		t.Fatal(err)
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestReactorVisits(t *testing.T) {
	r, err := newReactor(Reading{})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int64, 1000)
	v := visitor(seen)
	r.do(func() { r.add(v) })
	first := <-seen
	for range 5 {
		<-seen
	}
	if last := <-seen; time.Duration(last-first) < 6*time.Second/visitsPerSecond/2 {
		t.Errorf("six visits within %v", time.Duration(last-first))
	}
	r.do(func() { r.remove(v) })
	if err := r.close(); err != nil {
		t.Error(err)
	}
	if r.do(func() { t.Error("ran after the end") }) {
		t.Error("a closed reactor takes work")
	}
}

type visitor chan int64

func (v visitor) visit(now int64) { v <- now }
