package sfu

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	piontransport "github.com/pion/transport/v4"
)

// TestSpread tells peers of every address, each time it says where Pion listens.
func TestSpread(t *testing.T) {
	n := &network{groups: [][]netip.Addr{
		{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("127.0.0.1")},
		{netip.MustParseAddr("2001:db8::1")},
	}}
	const before, after = "v=0\r\nm=audio 9\r\n", "a=end-of-candidates\r\n"
	udp := "a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host ufrag x\r\n"
	tcp := "a=candidate:2 1 tcp 1671430143 192.0.2.1 8189 typ host tcptype passive\r\n"
	v6 := "a=candidate:3 1 udp 2130706431 2001:db8::1 8189 typ host\r\n"
	other := "a=candidate:4 1 udp 1 203.0.113.1 8189 typ srflx\r\na=candidate:broken 192.0.2.1\r\n"
	lines := strings.Split(n.spread(before+udp+tcp+v6+other+after), "\r\n")
	foundations := map[string]int{}
	addresses := map[string]int{}
	for _, line := range lines {
		if parts := strings.Split(line, " "); strings.HasPrefix(line, "a=candidate:") && len(parts) >= 8 {
			foundations[parts[0]]++
			addresses[parts[2]+" "+parts[4]]++
			if parts[5] != "8189" || parts[6] != "typ" {
				t.Errorf("candidate %q", line)
			}
		}
	}
	for _, want := range []string{
		"udp 192.0.2.1", "udp 198.51.100.1", "udp 127.0.0.1", "tcp 192.0.2.1", "tcp 198.51.100.1", "tcp 127.0.0.1", "udp 2001:db8::1", "udp 203.0.113.1",
	} {
		if addresses[want] != 1 {
			t.Errorf("%d candidates of %s", addresses[want], want)
		}
	}
	if len(addresses) != 8 || len(foundations) != 8 || len(lines) != 2+4+4+1+1+1 {
		t.Errorf("addresses %v, foundations %v, %d lines", addresses, foundations, len(lines))
	}
}

// TestReduce shows Pion one address of each family and knows the others.
func TestReduce(t *testing.T) {
	s, err := New(Config{MediaAddr: ":0", Loopback: true, TCP: true}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	network, err := s.transport.interfaces.get()
	if err != nil {
		t.Fatal(err)
	}
	listening := udpMux{s.transport.udpMux, network, true}.GetListenAddresses()
	families := map[bool]int{}
	for _, addr := range listening {
		at := addr.(*net.UDPAddr).AddrPort()
		families[at.Addr().Is6()]++
		if int(at.Port()) != s.MediaPort() || network.shownFor(at.Addr()) != at.Addr() {
			t.Errorf("listens at %v", at)
		}
	}
	if families[false] != 1 || families[true] > 1 {
		t.Errorf("addresses of Pion %v", listening)
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	if got := network.shownFor(loopback); got != network.groups[0][0] {
		t.Errorf("the loopback address is known as %v, want %v", got, network.groups[0][0])
	}
	shown, err := network.Interfaces()
	if err != nil || len(shown) != len(listening) {
		t.Errorf("%d interfaces: %v", len(shown), err)
	}
	if err := network.reduce(true, false); err != nil || len(network.groups[1]) != 0 || network.shownFor(loopback) != loopback {
		t.Errorf("of IPv4 without loopback %v: %v", network.groups, err)
	}
	var _ piontransport.Net = network
}
