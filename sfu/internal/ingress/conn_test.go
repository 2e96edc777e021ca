package ingress

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/sfu/internal/egress"
)

var (
	_ net.PacketConn           = (*Conn)(nil)
	_ ice.AddrPortReaderWriter = (*Conn)(nil)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	if err := c.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// forms are the ways to read: as the kernel allows, and one by one.
func forms(t *testing.T, test func(t *testing.T, wrap func(*net.UDPConn) *Conn)) {
	t.Run("batch", func(t *testing.T) { test(t, NewConn) })
	t.Run("plain", func(t *testing.T) {
		test(t, func(udp *net.UDPConn) *Conn { return withReader(udp, plain{udp}) })
	})
}

func withReader(udp *net.UDPConn, r reader) *Conn {
	return &Conn{udp: udp, reader: r, closed: make(chan struct{})}
}

func localOf(c interface{ LocalAddr() net.Addr }) netip.AddrPort {
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func send(t testing.TB, from *net.UDPConn, to netip.AddrPort, data []byte) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort(data, to); err != nil {
		t.Fatal(err)
	}
}

// wantDatagram reads one with a deadline.
func wantDatagram(t testing.TB, c *Conn, buf []byte, from netip.AddrPort, want []byte) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, sender, err := c.ReadFromAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	if sender != from {
		t.Fatalf("sender %v, want %v", sender, from)
	}
	if !bytes.Equal(buf[:n], want) {
		t.Fatalf("%d bytes %q…, want %d bytes %q…", n, buf[:min(n, 12)], len(want), want[:min(len(want), 12)])
	}
}

func datagram(label string, size int) []byte {
	d := bytes.Repeat([]byte{byte(size)}, size)
	copy(d, label)
	return d
}

// sockets are the pairs of a receiving and a sending socket.
var sockets = []struct {
	name, network, listen, from string
	mapped                      bool // senders look IPv4-mapped
}{
	{"IPv4", "udp4", "127.0.0.1:0", "127.0.0.1:0", false},
	{"dual-stack from IPv4", "udp", "[::]:0", "127.0.0.1:0", true},
	{"dual-stack from IPv6", "udp", "[::]:0", "[::1]:0", false},
}

func TestDatagramsArriveWholeAndInOrder(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		for _, tt := range sockets {
			t.Run(tt.name, func(t *testing.T) {
				c := wrap(listen(t, tt.network, tt.listen))
				var senders []*net.UDPConn
				for range 3 {
					senders = append(senders, listen(t, "udp", tt.from))
				}
				to := netip.AddrPortFrom(localOf(senders[0]).Addr(), localOf(c).Port())
				sizes := []int{1200, 1200, 1200, 700, 1200, 20, 1201, 1472, 30, 1, 1200, 8192}
				const rounds = 5 // 180 datagrams, more than one call brings
				for round := range rounds {
					for i, size := range sizes {
						for _, s := range senders {
							send(t, s, to, datagram(fmt.Sprint(round, i), size))
						}
					}
				}
				buf := make([]byte, 8192)
				for round := range rounds {
					for i, size := range sizes {
						for _, s := range senders {
							from := localOf(s)
							if tt.mapped {
								from = netip.AddrPortFrom(netip.AddrFrom16(from.Addr().As16()), from.Port())
							}
							wantDatagram(t, c, buf, from, datagram(fmt.Sprint(round, i), size))
						}
					}
				}
			})
		}
	})
}

func TestBurstsAreCutAsTheyWereSent(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		for _, tt := range sockets {
			t.Run(tt.name, func(t *testing.T) {
				c := wrap(listen(t, tt.network, tt.listen))
				sender := listen(t, "udp", tt.from)
				socket, err := egress.NewSocket(sender)
				if err != nil {
					t.Fatal(err)
				}
				defer socket.Close()
				from := localOf(sender)
				to := netip.AddrPortFrom(from.Addr(), localOf(c).Port())
				if tt.mapped {
					from = netip.AddrPortFrom(netip.AddrFrom16(from.Addr().As16()), from.Port())
				}
				bursts := []struct{ count, size, last int }{
					{9, 1200, 1200}, {9, 1200, 300}, {1, 1200, 1200}, {2, 100, 1}, {64, 1000, 1000}, {46, 1400, 7}, {200, 160, 160},
				}
				buf := make([]byte, 8192)
				for _, b := range bursts {
					batch := egress.NewBatch(socket)
					var want [][]byte
					for i := range b.count {
						size := b.size
						if i == b.count-1 {
							size = b.last
						}
						want = append(want, datagram(fmt.Sprint(i), size))
						batch.Add(to, copy(batch.Space(), want[i]))
					}
					batch.Flush()
					for _, w := range want {
						wantDatagram(t, c, buf, from, w)
					}
				}
			})
		}
	})
}

func TestDatagramsOfUnusualSize(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		c := wrap(listen(t, "udp4", "127.0.0.1:0"))
		sender := listen(t, "udp4", "127.0.0.1:0")
		from, to := localOf(sender), localOf(c)

		long := datagram("too long", 3000)
		for _, d := range [][]byte{long, {}, datagram("next", 900), {}, {}, datagram("last", 1000)} {
			send(t, sender, to, d)
		}
		small := make([]byte, 1000)
		wantDatagram(t, c, small, from, long[:1000])
		wantDatagram(t, c, small, from, datagram("next", 900))
		wantDatagram(t, c, small, from, datagram("last", 1000))

		longest := datagram("longest", 65507)
		for range 3 {
			send(t, sender, to, longest)
		}
		large := make([]byte, 65535)
		for range 3 {
			wantDatagram(t, c, large, from, longest)
		}
	})
}

func TestReadFromAndWrites(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		a, b := wrap(listen(t, "udp4", "127.0.0.1:0")), wrap(listen(t, "udp4", "127.0.0.1:0"))
		if n, err := a.WriteTo([]byte("one"), b.LocalAddr()); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := a.WriteToAddrPort([]byte("four"), localOf(b)); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		buf := make([]byte, 100)
		for _, want := range []string{"one", "four"} {
			if err := b.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, from, err := b.ReadFrom(buf)
			if err != nil || string(buf[:n]) != want || from.String() != a.LocalAddr().String() {
				t.Errorf("%q from %v, %v", buf[:n], from, err)
			}
		}
	})
}

func TestWriteErrors(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		c := wrap(listen(t, "udp4", "127.0.0.1:0"))
		if _, err := c.WriteToAddrPort(make([]byte, 1<<16), localOf(c)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a datagram that is too long: %v", err)
		}
		if _, err := c.WriteToAddrPort([]byte("six"), netip.MustParseAddrPort("[::1]:9")); err == nil {
			t.Error("an IPv6 address on an IPv4 socket: no error")
		}
		if n, err := c.WriteToAddrPort(nil, localOf(c)); n != 0 || err != nil {
			t.Errorf("an empty datagram: %d, %v", n, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteToAddrPort([]byte("late"), localOf(c)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after Close: %v", err)
		}
	})
}

func TestCloseEndsARead(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		for name, end := range map[string]func(*Conn) error{
			"Close":              (*Conn).Close,
			"the socket's Close": func(c *Conn) error { return c.udp.Close() },
		} {
			t.Run(name, func(t *testing.T) {
				c := wrap(listen(t, "udp4", "127.0.0.1:0"))
				sender := listen(t, "udp4", "127.0.0.1:0")
				send(t, sender, localOf(c), []byte("first"))
				reading, ended := make(chan struct{}), make(chan error)
				go func() {
					buf := make([]byte, 100)
					_, _, err := c.ReadFromAddrPort(buf)
					close(reading)
					if err == nil {
						_, _, err = c.ReadFromAddrPort(buf)
					}
					ended <- err
				}()
				<-reading
				if err := end(c); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; !errors.Is(err, net.ErrClosed) {
					t.Errorf("%v, want %v", err, net.ErrClosed)
				}
				if _, _, err := c.ReadFrom(make([]byte, 100)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a read after: %v", err)
				}
			})
		}
	})
}

func TestNothingIsHandedOutAfterClose(t *testing.T) {
	c := NewConn(listen(t, "udp4", "127.0.0.1:0"))
	sender := listen(t, "udp4", "127.0.0.1:0")
	for range 3 {
		send(t, sender, localOf(c), []byte("data"))
	}
	buf := make([]byte, 100)
	wantDatagram(t, c, buf, localOf(sender), []byte("data"))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if _, _, err := c.ReadFromAddrPort(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
}

func TestReadDeadline(t *testing.T) {
	forms(t, func(t *testing.T, wrap func(*net.UDPConn) *Conn) {
		c := wrap(listen(t, "udp4", "127.0.0.1:0"))
		sender := listen(t, "udp4", "127.0.0.1:0")
		buf := make([]byte, 100)
		for _, after := range []time.Duration{-time.Second, 20 * time.Millisecond} {
			if err := c.SetReadDeadline(time.Now().Add(after)); err != nil {
				t.Fatal(err)
			}
			_, _, err := c.ReadFromAddrPort(buf)
			if !errors.Is(err, os.ErrDeadlineExceeded) || !os.IsTimeout(err) {
				t.Errorf("deadline after %v: %v", after, err)
			}
		}
		send(t, sender, localOf(c), []byte("still here"))
		wantDatagram(t, c, buf, localOf(sender), []byte("still here"))
	})
}

// TestPionMux sends an ICE check and then a burst of media through Pion's mux.
func TestPionMux(t *testing.T) {
	c := NewConn(listen(t, "udp", "127.0.0.1:0"))
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: c})
	defer mux.Close()
	peer, err := mux.GetConn("ufrag", mux.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	sender := listen(t, "udp4", "127.0.0.1:0")
	check, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("ufrag:them"))
	if err != nil {
		t.Fatal(err)
	}
	send(t, sender, localOf(c), check.Raw)
	buf := make([]byte, 8192)
	if err := peer.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, from, err := peer.ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], check.Raw) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if _, err := peer.WriteTo([]byte("answer"), from); err != nil { // the mux learns the address
		t.Fatal(err)
	}
	const total = 100
	for i := range total {
		send(t, sender, localOf(c), datagram(fmt.Sprint(i), 1200))
	}
	for i := range total {
		if n, _, err := peer.ReadFrom(buf); err != nil || !bytes.Equal(buf[:n], datagram(fmt.Sprint(i), 1200)) {
			t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
		}
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
}
