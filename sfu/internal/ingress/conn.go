package ingress

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxPause is the longest wait between two reads of a socket that keeps
// failing.
const maxPause = 10 * time.Millisecond

// Conn is a net.PacketConn over a UDP socket, and Pion's
// ice.AddrPortReaderWriter. Only one goroutine may read at a time; the other
// methods are safe to call from any. While a Conn exists nobody else may read
// from the socket.
//
// Reads differ from those of a *net.UDPConn in three things. Empty datagrams
// are dropped. An error of the socket is counted and the read goes on, so that
// one bad moment does not end its reader: what a read returns wraps
// net.ErrClosed or os.ErrDeadlineExceeded. And datagrams that have been taken
// from the kernel are handed out before a read deadline that has passed counts.
type Conn struct {
	udp    *net.UDPConn
	reader reader
	sender *sender // nil where there is none

	failed   atomic.Uint64
	closed   chan struct{}
	closing  sync.Once
	isClosed atomic.Bool
	pause    time.Duration
}

// reader takes datagrams from a socket, as net.UDPConn.ReadFromUDPAddrPort
// does. An error is one of the socket, and says nothing about later reads
// unless it wraps net.ErrClosed.
type reader interface {
	read(b []byte) (int, netip.AddrPort, error)
}

// NewConn makes a Conn that reads from and writes to udp, and changes the
// socket's options so that only the Conn can read from it.
func NewConn(udp *net.UDPConn) *Conn {
	c := &Conn{udp: udp, sender: newSender(udp), closed: make(chan struct{})}
	if b := newBatch(udp); b != nil {
		c.reader = b
	} else {
		c.reader = plain{udp}
	}
	return c
}

// plain reads datagrams one by one.
type plain struct{ udp *net.UDPConn }

func (p plain) read(b []byte) (int, netip.AddrPort, error) { return p.udp.ReadFromUDPAddrPort(b) }

// ReadFromAddrPort copies the next datagram to b and returns its length and
// sender. What does not fit in b is lost. Senders have the form that
// net.UDPConn.ReadFromUDPAddrPort gives them: on a dual-stack socket an IPv4
// sender is mapped to IPv6.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for !c.isClosed.Load() {
		n, from, err := c.reader.read(b)
		switch {
		case err == nil:
			c.pause = 0
			if n > 0 && from.IsValid() || len(b) == 0 {
				return n, from, nil
			}
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return 0, netip.AddrPort{}, err
		default:
			c.failed.Add(1)
			c.wait()
		}
	}
	return 0, netip.AddrPort{}, c.opError("read", net.ErrClosed)
}

// wait keeps a socket that fails again and again from spinning. A first
// failure costs nothing: to report it is what clears it.
func (c *Conn) wait() {
	if c.pause > 0 {
		select {
		case <-c.closed:
		case <-time.After(c.pause):
		}
	}
	c.pause = min(2*c.pause+100*time.Microsecond, maxPause)
}

// ReadFrom is ReadFromAddrPort for callers that want a *net.UDPAddr, which it
// allocates.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort sends b as one datagram.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if done, err := c.sender.send(b, to); err != nil {
		return 0, c.opError("write", err)
	} else if done {
		return len(b), nil
	}
	return c.udp.WriteToUDPAddrPort(b, to)
}

// WriteTo sends b as one datagram.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	if addr, ok := to.(*net.UDPAddr); ok && addr.Zone == "" {
		return c.WriteToAddrPort(b, addr.AddrPort())
	}
	return c.udp.WriteTo(b, to)
}

// Failed counts the errors of the socket that reads passed over.
func (c *Conn) Failed() uint64 { return c.failed.Load() }

// Close closes the socket and ends a read in progress. Datagrams that were not
// handed out are lost.
func (c *Conn) Close() error {
	c.isClosed.Store(true)
	c.closing.Do(func() { close(c.closed) })
	return c.udp.Close()
}

// LocalAddr returns the socket's address.
func (c *Conn) LocalAddr() net.Addr { return c.udp.LocalAddr() }

// SetDeadline sets the socket's read and write deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.udp.SetDeadline(t) }

// SetReadDeadline sets the socket's read deadline.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.udp.SetReadDeadline(t) }

// SetWriteDeadline sets the socket's write deadline. It counts for writes that
// have to wait.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.udp.SetWriteDeadline(t) }

func (c *Conn) opError(op string, err error) error {
	local := c.udp.LocalAddr()
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Err: err}
}
