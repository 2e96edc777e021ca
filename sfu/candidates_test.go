package sfu

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"

	"github.com/sluice-live/sluice"
)

func TestCheckable(t *testing.T) {
	const before, after = "candidate:1 1 udp 2122260223 ", " 5000 typ host"
	for _, tt := range []struct {
		address, caller string
		want            bool
	}{
		{"203.0.113.7", "198.51.100.1", true},
		{"2001:db8::7", "198.51.100.1", true},
		{"10.0.0.7", "10.0.0.7", true},
		{"::ffff:10.0.0.7", "10.0.0.7", true},
		{"10.0.0.7", "10.0.0.8", false},
		{"192.168.1.1", "198.51.100.1", false},
		{"172.16.0.1", "198.51.100.1", false},
		{"100.64.0.1", "198.51.100.1", false},
		{"127.0.0.1", "198.51.100.1", false},
		{"0.0.0.0", "198.51.100.1", false},
		{"255.255.255.255", "198.51.100.1", false},
		{"224.0.0.1", "198.51.100.1", false},
		{"169.254.169.254", "198.51.100.1", false},
		{"::ffff:169.254.169.254", "198.51.100.1", false},
		{"64:ff9b::a9fe:a9fe", "198.51.100.1", false},
		{"::1", "198.51.100.1", false},
		{"fd00::1", "198.51.100.1", false},
		{"fe80::1", "198.51.100.1", false},
		{"b5a4f0d1-8b39-4f8a-ae3f-9d3c1d5c6d5f.local", "198.51.100.1", false},
		{"metadata.internal", "198.51.100.1", false},
		{"0x7f000001", "198.51.100.1", false},
	} {
		if got := checkable(before+tt.address+after, netip.MustParseAddr(tt.caller)); got != tt.want {
			t.Errorf("%s for a caller at %s: %t", tt.address, tt.caller, got)
		}
	}
	if checkable("candidate:1 1 udp 1", netip.MustParseAddr("198.51.100.1")) {
		t.Error("a candidate without an address")
	}
}

// TestCandidatesInside names another address of ours, in the offer, as candidates
// that follow, and in a restart: nothing is sent there.
func TestCandidatesInside(t *testing.T) {
	victim, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Close() }()
	candidate := "candidate:1 1 udp 2122260223 127.0.0.2 " + strconv.Itoa(victim.LocalAddr().(*net.UDPAddr).Port) + " typ host"
	s := newTestSFU(t, Config{Wait: true})
	p := newRawPeer(t, s)
	v, err := s.Watch(t.Context(), p.offer("recvonly", "a="+candidate))
	if err != nil {
		t.Fatal(err)
	}
	p.answered(v.Answer())
	remote := sluice.ICE{Candidates: []string{candidate}}
	if err := v.Trickle(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	quiet := func() {
		t.Helper()
		if err := victim.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := victim.Read(make([]byte, 1500)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes were sent inside, %v", n, err)
		}
	}
	quiet()
	p.connect()
	eventually(t, "connection", v.connected.Load)
	remote.Ufrag, remote.Pwd = rawUfrag, "another"+rawPwd
	if _, err := v.Restart(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	quiet()
	v.Close("test")
}

// TestAddressesAreBounded sends valid checks from many sockets: few are answered.
func TestAddressesAreBounded(t *testing.T) {
	const most, sockets = 8, 50
	s := newTestSFU(t, Config{Wait: true, MaxAddresses: most})
	p := newRawPeer(t, s)
	v := p.watch(s)
	p.connect()
	eventually(t, "connection", v.connected.Load)
	var all []*net.UDPConn
	for range sockets {
		conn, err := net.DialUDP("udp4", nil, p.server)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write(p.binding(p.remote.Ufrag, p.remote.Pwd)); err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	p.ice() // the server has read all of them
	heard := 0
	deadline := time.Now().Add(500 * time.Millisecond)
	for _, conn := range all {
		if err := conn.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1500)); err == nil {
			heard++
		}
	}
	if heard != most-1 {
		t.Errorf("%d addresses besides the peer's are heard, want %d", heard, most-1)
	}
	v.Close("test")
}

// counting counts what is logged at the level of a node.
type counting struct{ lines atomic.Int64 }

func (c *counting) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (c *counting) Handle(context.Context, slog.Record) error    { c.lines.Add(1); return nil }
func (c *counting) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c *counting) WithGroup(string) slog.Handler                { return c }

// TestBindingRequestsOfStrangers are not answered and not logged, and a true one is
// answered with little more than it has.
func TestBindingRequestsOfStrangers(t *testing.T) {
	log := &counting{}
	s, err := New(Config{MediaAddr: "127.0.0.1:0", Loopback: true, Wait: true}, Deps{Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := newRawPeer(t, s)
	v := p.watch(s)
	stranger, err := net.DialUDP("udp4", nil, p.server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	before := log.lines.Load()
	good := p.binding(p.remote.Ufrag, p.remote.Pwd)
	broken := bytes.Clone(good)
	broken[len(broken)-12] ^= 1
	for i := range 2000 {
		for _, b := range [][]byte{p.binding("u"+strconv.Itoa(i), p.remote.Pwd), p.binding(p.remote.Ufrag, "wrong"+p.remote.Pwd), broken, good[:20], {0, 1, 0, 0}} {
			if _, err := stranger.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 0 {
			p.ice() // the session's own still are
		}
	}
	p.ice()
	if err := stranger.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := stranger.Read(make([]byte, 1500)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger is answered with %d bytes, %v", n, err)
	}
	if n := log.lines.Load() - before; n != 0 {
		t.Errorf("%d lines in the log", n)
	}
	if request, reply := len(good), int(p.reply.Load()); reply == 0 || 2*reply > 3*request {
		t.Errorf("%d bytes are answered with %d", request, reply)
	}
	v.Close("test")
}

// FuzzCheckable takes candidates as peers write them: no address inside is checked
// for a caller elsewhere.
func FuzzCheckable(f *testing.F) {
	for _, address := range []string{"203.0.113.7", "10.0.0.7", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%eth0", "a.local"} {
		f.Add("candidate:1 1 udp 2122260223 " + address + " 5000 typ host")
	}
	f.Fuzz(func(t *testing.T, candidate string) {
		if !checkable(candidate, netip.MustParseAddr("198.51.100.1")) {
			return
		}
		c, err := ice.UnmarshalCandidate(candidate)
		if err != nil {
			return
		}
		if a, err := netip.ParseAddr(c.Address()); err != nil || a.Unmap().IsPrivate() || a.Unmap().IsLoopback() || a.Unmap().IsLinkLocalUnicast() {
			t.Errorf("%q is sent checks, %v", candidate, err)
		}
	})
}
