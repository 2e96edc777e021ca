//go:build !linux

package egress

import "net"

// Socket is a UDP socket to send from.
type Socket struct{ conn *net.UDPConn }

// NewSocket shares conn's socket.
func NewSocket(conn *net.UDPConn) (*Socket, error) { return &Socket{conn}, nil }

// Close does nothing: the socket is conn's.
func (s *Socket) Close() error { return nil }

func (s *Socket) offload() bool { return false }

type kernel struct{}

func (kernel) init() {}

func (kernel) send(b *Batch) {
	for _, r := range b.runs {
		if _, err := b.socket.conn.WriteToUDPAddrPort(b.arena[r.start:r.start+r.bytes], r.dst); err != nil {
			b.Failed++
		}
	}
}
