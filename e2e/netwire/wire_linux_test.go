package netwire_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/e2e/netwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWire sends a datagram there and back.
func TestWire(t *testing.T) {
	const delay = 20 * time.Millisecond
	w, err := netwire.Open(netwire.Settings{Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	near := listen(t, w.Near)
	var far *net.UDPConn
	if err := netwire.In(w.Namespace, func() error { far = listen(t, w.Far); return nil }); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := near.WriteTo([]byte("ping"), far.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 16)
	n, from, err := far.ReadFrom(answer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.WriteTo(answer[:n], from); err != nil {
		t.Fatal(err)
	}
	if n, err = near.Read(answer); err != nil || string(answer[:n]) != "ping" {
		t.Fatalf("%q, %v", answer[:n], err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back in %v, want %v at least", took, 2*delay)
	}
	if out, back := w.Counters(); out.Packets == 0 || back.Packets == 0 {
		t.Errorf("counted %+v and %+v", out, back)
	}
}

func listen(t *testing.T, addr netip.Addr) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Error(err)
	}
	return conn
}
