package sfu

import (
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// tap has a session's datagrams pass by its data path before Pion sees them.
func (t *transport) tap(e *webrtc.SettingEngine, d *dataPath) error {
	network, err := t.interfaces.get()
	if err != nil {
		return err
	}
	e.SetICEUDPMux(udpTap{udpMux{t.udpMux, network, t.interfaces.loopback}, d})
	if t.tcpMux != nil {
		e.SetICETCPMux(tcpTap{t.tcpMux, d})
	}
	return nil
}

type udpTap struct {
	udpMux
	data *dataPath
}

// GetConn implements ice.UDPMux.
func (m udpTap) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	conn, err := m.udpMux.GetConn(ufrag, addr)
	if err != nil {
		return nil, err
	}
	tapped := &tappedConn{conn, m.data}
	if fast, ok := conn.(ice.AddrPortReaderWriter); ok {
		return &tappedUDP{tapped, fast}, nil
	}
	return tapped, nil
}

type tcpTap struct {
	*ice.TCPMuxDefault
	data *dataPath
}

// GetConnByUfrag implements ice.TCPMux.
func (m tcpTap) GetConnByUfrag(ufrag string, isIPv6 bool, local net.IP) (net.PacketConn, error) {
	conn, err := m.TCPMuxDefault.GetConnByUfrag(ufrag, isIPv6, local)
	if err != nil {
		return nil, err
	}
	return &tappedConn{conn, m.data}, nil
}

// tappedConn is a session's connection of a mux without its application data.
type tappedConn struct {
	net.PacketConn
	data *dataPath
}

// ReadFrom implements net.PacketConn.
func (c *tappedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || n == 0 {
			return n, from, err
		}
		if n = c.data.take(b[:n], c.PacketConn, func() net.Addr { return from }); n > 0 {
			return n, from, nil
		}
	}
}

// tappedUDP is a tappedConn that needs no net.Addr.
type tappedUDP struct {
	*tappedConn
	fast ice.AddrPortReaderWriter
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (c *tappedUDP) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := c.fast.ReadFromAddrPort(b)
		if err != nil || n == 0 {
			return n, from, err
		}
		if n = c.data.take(b[:n], c.PacketConn, func() net.Addr { return net.UDPAddrFromAddrPort(from) }); n > 0 {
			return n, from, nil
		}
	}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (c *tappedUDP) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.fast.WriteToAddrPort(b, to)
}
