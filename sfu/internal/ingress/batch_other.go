//go:build !linux

package ingress

import (
	"net"
	"net/netip"
)

func newBatch(*net.UDPConn) reader { return nil }

// sender does not exist here.
type sender struct{}

func newSender(*net.UDPConn) *sender { return nil }

func (*sender) send([]byte, netip.AddrPort) (done bool, err error) { return false, nil }
