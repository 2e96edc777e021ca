package sfu

import (
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/appdata"
	"github.com/sluice-live/sluice/sfu/internal/ingress"
)

// dataPath is the way of a viewer's data channels: the application data of the
// session's DTLS connection. Pion shakes hands and sees everything else.
type dataPath struct {
	*appdata.Conn
	log   *slog.Logger
	udp   *ingress.Conn
	first func() // called once, when the peer's first record has come; set before any can

	to   atomic.Pointer[netip.AddrPort] // where the selected pair leads; nil: not over the UDP socket
	back atomic.Pointer[origin]         // of the peer's last record, while to is nil
}

// origin is where a datagram came from: a connection of Pion's muxes, and the
// address there.
type origin struct {
	conn net.PacketConn
	addr net.Addr
}

func newDataPath(log *slog.Logger, udp *ingress.Conn) *dataPath {
	d := &dataPath{log: log, udp: udp}
	d.Conn = appdata.NewConn(d.send, func() { d.first() }, dataQueue)
	return d
}

// follow sends to where ICE has found the peer now.
func (d *dataPath) follow(pair *webrtc.ICECandidatePair) {
	if to, ok := remoteOf(pair); ok {
		d.to.Store(&to)
	} else {
		d.to.Store(nil)
	}
}

// take takes the application data out of a datagram, and returns how much is left
// of it for Pion, at its beginning.
func (d *dataPath) take(datagram []byte, conn net.PacketConn, from func() net.Addr) int {
	left, taken := d.Take(datagram)
	if taken && d.to.Load() == nil {
		d.back.Store(&origin{conn, from()})
	}
	return left
}

// send sends a datagram without waiting. What the network does not take is lost.
func (d *dataPath) send(b []byte) {
	var err error
	if to := d.to.Load(); to != nil {
		_, err = d.udp.WriteToAddrPort(b, *to)
	} else if back := d.back.Load(); back != nil {
		_, err = back.conn.WriteTo(b, back.addr)
	}
	if err != nil {
		d.log.Debug("application data is lost", "err", err)
	}
}
