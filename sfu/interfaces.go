package sfu

import (
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	piontransport "github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// interfacesAge is how long the list of network interfaces is believed. To read
// it costs as much as the rest of a small SDP answer.
const interfacesAge = 5 * time.Second

// interfaces hands out the node's network with a list of interfaces that
// sessions share.
type interfaces struct {
	bound    netip.Addr // of the sockets
	loopback bool       // loopback addresses count too

	mu      sync.Mutex
	current *network
	read    time.Time
}

// network is a stdnet.Net whose list Pion does not read anew: it does that only
// for a stdnet.Net itself.
//
// Sockets that are bound to no address have one address of each family for Pion:
// for each it has goroutines, buffers and checks in every session, although all
// lead to the same sockets. Peers are told of the others too.
type network struct {
	*stdnet.Net
	shown  []*piontransport.Interface // nil: all
	groups [][]netip.Addr             // addresses of a family, that for Pion first
}

func (i *interfaces) get() (*network, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == nil || time.Since(i.read) > interfacesAge {
		n, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		i.current, i.read = &network{Net: n}, time.Now()
		if i.bound.IsUnspecified() {
			if err := i.current.reduce(i.bound.Is4(), i.loopback); err != nil {
				return nil, err
			}
		}
	}
	return i.current, nil
}

// reduce shows Pion one address of each family, a loopback address only where
// there is no other.
func (n *network) reduce(onlyIPv4, loopback bool) error {
	all, err := n.Net.Interfaces()
	if err != nil {
		return err
	}
	n.shown = []*piontransport.Interface{}
	var v4, v6 []netip.Addr
	for _, flag := range []net.Flags{0, net.FlagLoopback} {
		for _, ifc := range all {
			if ifc.Flags&net.FlagUp == 0 || ifc.Flags&net.FlagLoopback != flag || flag != 0 && !loopback {
				continue
			}
			addrs, err := ifc.Addrs()
			if err != nil {
				continue // it has none
			}
			for _, addr := range addrs {
				prefix, err := netip.ParsePrefix(addr.String())
				if err != nil || !advertised(prefix.Addr()) || onlyIPv4 && prefix.Addr().Is6() {
					continue
				}
				group := &v4
				if prefix.Addr().Is6() {
					group = &v6
				}
				if *group = append(*group, prefix.Addr()); len(*group) == 1 {
					one := piontransport.NewInterface(ifc.Interface)
					one.AddAddress(addr)
					n.shown = append(n.shown, one)
				}
			}
		}
	}
	n.groups = [][]netip.Addr{v4, v6}
	return nil
}

// advertised reports whether an address may be that of a candidate (RFC 8445
// section 5.1.1.1).
func advertised(addr netip.Addr) bool {
	if addr.Is4() {
		return true
	}
	b := addr.As16()
	siteLocal := b[0] == 0xfe && b[1]&0xc0 == 0xc0
	return !addr.Is4In6() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !siteLocal
}

// Interfaces implements transport.Net.
func (n *network) Interfaces() ([]*piontransport.Interface, error) {
	if n.shown == nil {
		return n.Net.Interfaces()
	}
	return n.shown, nil
}

// listening are the UDP addresses for Pion on a port; nil: those of the socket.
func (n *network) listening(port int) []net.Addr {
	var all []net.Addr
	for _, group := range n.groups {
		if len(group) > 0 {
			all = append(all, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group[0], uint16(port))))
		}
	}
	return all
}

// shownFor is the address by which Pion knows a local address.
func (n *network) shownFor(addr netip.Addr) netip.Addr {
	for _, group := range n.groups {
		if slices.Contains(group, addr) {
			return group[0]
		}
	}
	return addr
}

// spread adds to a session description the candidates that differ from one in it
// by their address only, which Pion does not know of.
func (n *network) spread(sdp string) string {
	const candidate, fields, foundation, protocol, address = "a=candidate:", 8, 0, 2, 4
	var b strings.Builder
	for line := range strings.SplitAfterSeq(sdp, "\n") {
		b.WriteString(line)
		parts := strings.Split(strings.TrimPrefix(line, candidate), " ")
		if !strings.HasPrefix(line, candidate) || len(parts) < fields {
			continue
		}
		for _, group := range n.groups {
			if len(group) < 2 || parts[address] != group[0].String() {
				continue
			}
			for _, addr := range group[1:] {
				parts[address] = addr.String()
				parts[foundation] = strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(parts[protocol]+parts[address]))), 10)
				b.WriteString(candidate + strings.Join(parts, " "))
			}
			break
		}
	}
	return b.String()
}
