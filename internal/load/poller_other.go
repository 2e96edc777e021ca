//go:build !linux

package load

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	datagramBytes = 2048
	backlog       = 4096 // datagrams that wait for the reactor
	bufferBytes   = 1 << 20
)

// socket is one UDP socket. Any goroutine may send.
type socket struct {
	conn     *net.UDPConn
	local    netip.AddrPort
	receiver receiver
	whole    bool // has no effect here
	dropped  bool
}

type datagram struct {
	socket *socket
	buffer *[datagramBytes]byte
	size   int
	from   netip.AddrPort
	at     int64
}

// poller reads each socket with a goroutine of its own, where the kernel gives
// no way to read many at a time.
type poller struct {
	in      chan datagram
	waker   chan struct{}
	buffers sync.Pool
	sockets map[*socket]struct{}
	readers sync.WaitGroup
	closing chan struct{}
}

func newPoller(bool) (*poller, error) {
	return &poller{
		in: make(chan datagram, backlog), waker: make(chan struct{}, 1), closing: make(chan struct{}),
		buffers: sync.Pool{New: func() any { return new([datagramBytes]byte) }},
		sockets: map[*socket]struct{}{},
	}, nil
}

func (p *poller) close() error {
	close(p.closing)
	var errs []error
	for s := range p.sockets {
		errs = append(errs, s.conn.Close())
	}
	p.readers.Wait()
	return errors.Join(errs...)
}

// wake makes wait return.
func (p *poller) wake() {
	select {
	case p.waker <- struct{}{}:
	default:
	}
}

// open binds a socket to a free port of the address.
func (p *poller) open(local netip.Addr, r receiver) (*socket, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	_ = conn.SetReadBuffer(bufferBytes) // larger buffers are welcome, not needed
	_ = conn.SetWriteBuffer(bufferBytes)
	bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s := &socket{conn: conn, local: netip.AddrPortFrom(local, bound.Port()), receiver: r}
	p.sockets[s] = struct{}{}
	p.readers.Go(func() { p.read(s) })
	return s, nil
}

func (p *poller) read(s *socket) {
	for {
		buffer := p.buffers.Get().(*[datagramBytes]byte)
		n, from, err := s.conn.ReadFromUDPAddrPort(buffer[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error
		}
		d := datagram{socket: s, buffer: buffer, size: n, from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), at: time.Now().UnixNano()}
		select {
		case p.in <- d:
		case <-p.closing:
			return
		}
	}
}

// stamps has no effect: a datagram's time is that of reading it.
func (s *socket) stamps(bool) error { return nil }

// send sends one datagram.
func (s *socket) send(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

// drop closes a socket.
func (p *poller) drop(s *socket) error {
	s.dropped = true
	delete(p.sockets, s)
	return s.conn.Close()
}

// wait hands what arrives to the receivers, and returns after the first batch
// or the timeout.
func (p *poller) wait(timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case d := <-p.in:
		p.hand(d)
	case <-p.waker:
		return nil
	case <-timer.C:
		return nil
	}
	for range backlog {
		select {
		case d := <-p.in:
			p.hand(d)
		default:
			return nil
		}
	}
	return nil
}

func (p *poller) hand(d datagram) {
	if !d.socket.dropped {
		d.socket.receiver.receive(d.buffer[:d.size], d.size, d.from, d.at)
	}
	p.buffers.Put(d.buffer)
}
