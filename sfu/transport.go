package sfu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// tcpWriteBuffer bounds what waits for a slow ICE-TCP peer, in bytes; more is
// dropped, so that a shard never waits for it.
const tcpWriteBuffer = 1 << 20

// socketBuffer is asked of the kernel for the media socket, in bytes.
const socketBuffer = 4 << 20

// transport is the one UDP socket, and the TCP listener beside it, that all
// sessions share.
type transport struct {
	udp    *net.UDPConn
	udpMux *ice.UDPMuxDefault
	tcpMux *ice.TCPMuxDefault // nil without ICE-TCP
}

func listen(ctx context.Context, cfg Config, log *slog.Logger) (*transport, error) {
	addr, err := net.ResolveUDPAddr("udp", cfg.MediaAddr)
	if err != nil {
		return nil, fmt.Errorf("media address %q: %w", cfg.MediaAddr, err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on media address: %w", err)
	}
	t := &transport{udp: conn}
	for name, set := range map[string]func(int) error{"read": conn.SetReadBuffer, "write": conn.SetWriteBuffer} {
		if err := set(socketBuffer); err != nil {
			log.Warn("media socket keeps its small buffer", "buffer", name, "err", err)
		}
	}
	pionLog := newPionLog(log)
	t.udpMux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: pionLog.NewLogger("mux")})
	if !cfg.TCP {
		return t, nil
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(hostOf(addr), fmt.Sprint(port)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for ICE-TCP: %w", err), t.close())
	}
	t.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: l, Logger: pionLog.NewLogger("tcpmux"), ReadBufferSize: 64, WriteBufferSize: tcpWriteBuffer,
	})
	return t, nil
}

func hostOf(addr *net.UDPAddr) string {
	if addr.IP == nil {
		return ""
	}
	return addr.IP.String()
}

// settings tells Pion to use the shared sockets.
func (t *transport) settings(e *webrtc.SettingEngine) {
	e.SetICEUDPMux(t.udpMux)
	types := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if t.tcpMux != nil {
		e.SetICETCPMux(t.tcpMux)
		types = append(types, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	e.SetNetworkTypes(types)
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
	if err := t.udp.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
