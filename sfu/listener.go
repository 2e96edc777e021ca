package sfu

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// listener is a net.Listener whose Close also ends the connections that it has
// accepted. Pion's mux waits 30 s for the first packet of each, also to close.
type listener struct {
	net.Listener
	interfaces *interfaces

	mu     sync.Mutex
	open   map[*accepted]struct{}
	closed bool
}

// accepted is a connection of a listener.
type accepted struct {
	net.Conn
	listener *listener
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	a := &accepted{conn, l}
	if l.open == nil {
		l.open = map[*accepted]struct{}{}
	}
	l.open[a] = struct{}{}
	return a, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	errs := []error{l.Listener.Close()}
	for a := range l.open {
		errs = append(errs, a.Conn.Close())
	}
	l.open = nil
	return errors.Join(errs...)
}

// LocalAddr implements net.Conn: the address by which Pion knows it.
func (a *accepted) LocalAddr() net.Addr {
	local := a.Conn.LocalAddr()
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return local
	}
	network, err := a.listener.interfaces.get()
	if err != nil {
		return local
	}
	at := tcp.AddrPort()
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(network.shownFor(at.Addr().Unmap().WithZone("")), at.Port()))
}

// Close implements net.Conn.
func (a *accepted) Close() error {
	a.listener.mu.Lock()
	delete(a.listener.open, a)
	a.listener.mu.Unlock()
	return a.Conn.Close()
}
