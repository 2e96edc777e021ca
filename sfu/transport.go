package sfu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/egress"
	"github.com/sluice-live/sluice/sfu/internal/ingress"
)

// tcpWriteBuffer bounds what waits for a slow ICE-TCP peer, in bytes; more is
// dropped, so that a shard never waits for it.
const tcpWriteBuffer = 1 << 20

// socketBuffer is asked of the kernel for the media socket, in bytes.
const socketBuffer = 4 << 20

// transport is the one UDP socket, and the TCP listener beside it, that all
// sessions share but those that pull from another node.
type transport struct {
	udp    *net.UDPConn
	conn   *ingress.Conn // reads from it
	udpMux *ice.UDPMuxDefault
	tcpMux *ice.TCPMuxDefault // nil without ICE-TCP
	socket *egress.Socket     // the same UDP socket, for shards

	interfaces *interfaces
}

// portAttempts is how often a free port is looked for that UDP and TCP can
// share, when none is configured.
const portAttempts = 10

func listen(ctx context.Context, cfg Config, log *slog.Logger) (*transport, error) {
	addr, err := net.ResolveUDPAddr("udp", cfg.MediaAddr)
	if err != nil {
		return nil, fmt.Errorf("media address %q: %w", cfg.MediaAddr, err)
	}
	conn, tcp, err := bind(ctx, addr, cfg.TCP)
	for range portAttempts {
		if addr.Port != 0 || err == nil {
			break
		}
		conn, tcp, err = bind(ctx, addr, cfg.TCP)
	}
	if err != nil {
		return nil, err
	}
	for name, set := range map[string]func(int) error{"read": conn.SetReadBuffer, "write": conn.SetWriteBuffer} {
		if err := set(socketBuffer); err != nil {
			log.Warn("media socket keeps its small buffer", "buffer", name, "err", err)
		}
	}
	socket, err := egress.NewSocket(conn)
	if err != nil {
		if tcp != nil {
			err = errors.Join(err, tcp.Close())
		}
		return nil, errors.Join(err, conn.Close())
	}
	pionLog := newPionLog(log)
	reads := ingress.NewConn(conn)
	known := &interfaces{bound: conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), loopback: cfg.Loopback}
	t := &transport{udp: conn, conn: reads, socket: socket, interfaces: known, udpMux: ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: reads, Logger: pionLog.NewLogger("mux")})}
	if tcp != nil {
		t.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: &listener{Listener: tcp, interfaces: known}, Logger: pionLog.NewLogger("tcpmux"), ReadBufferSize: 64, WriteBufferSize: tcpWriteBuffer,
		})
	}
	return t, nil
}

// bind opens the UDP socket and, when wanted, a TCP listener on the same port.
func bind(ctx context.Context, addr *net.UDPAddr, tcp bool) (*net.UDPConn, net.Listener, error) {
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on media address: %w", err)
	}
	if !tcp {
		return conn, nil, nil
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	var lc net.ListenConfig
	tcpListener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(hostOf(addr), strconv.Itoa(port)))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for ICE-TCP: %w", err), conn.Close())
	}
	return conn, tcpListener, nil
}

func hostOf(addr *net.UDPAddr) string {
	if addr.IP == nil {
		return ""
	}
	return addr.IP.String()
}

// settings tells Pion to use the shared sockets.
func (t *transport) settings(e *webrtc.SettingEngine) error {
	network, err := t.interfaces.get()
	if err != nil {
		return err
	}
	e.SetNet(network)
	e.SetICEUDPMux(udpMux{t.udpMux, network, t.interfaces.loopback})
	types := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if t.tcpMux != nil {
		e.SetICETCPMux(t.tcpMux)
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	e.SetNetworkTypes(types)
	return nil
}

// apart tells Pion to use a UDP socket of the session's own instead of the shared
// one, which end closes. Sessions with the same peer address need that: of a
// datagram that is no STUN request only its sender tells whose it is.
func (t *transport) apart(e *webrtc.SettingEngine, log *slog.Logger) (end func() error, err error) {
	network, err := t.interfaces.get()
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: t.udp.LocalAddr().(*net.UDPAddr).IP})
	if err != nil {
		return nil, fmt.Errorf("listen for a relay: %w", err)
	}
	if err := udp.SetReadBuffer(socketBuffer); err != nil {
		log.Debug("relay socket keeps its small buffer", "err", err)
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: ingress.NewConn(udp), Logger: newPionLog(log).NewLogger("mux")})
	e.SetICEUDPMux(udpMux{mux, network, t.interfaces.loopback})
	return func() error {
		err := mux.Close()
		if closed := udp.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
		return err
	}, nil
}

// udpMux is Pion's with the addresses that Pion is to know.
type udpMux struct {
	*ice.UDPMuxDefault
	network  *network
	loopback bool
}

// GetListenAddresses implements ice.UDPMux. Pion leaves loopback addresses out of
// those of its own mux only.
func (m udpMux) GetListenAddresses() []net.Addr {
	all := m.UDPMuxDefault.LocalAddr().(*net.UDPAddr)
	if m.network.shown != nil {
		return m.network.listening(all.Port)
	}
	return slices.DeleteFunc([]net.Addr{all}, func(net.Addr) bool { return !m.loopback && all.IP.IsLoopback() })
}

func (t *transport) port() int { return t.udp.LocalAddr().(*net.UDPAddr).Port }

func (t *transport) close() error {
	var errs []error
	if t.tcpMux != nil {
		errs = append(errs, t.tcpMux.Close())
	}
	if t.udpMux != nil {
		errs = append(errs, t.udpMux.Close())
	}
	errs = append(errs, t.socket.Close())
	if err := t.udp.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
