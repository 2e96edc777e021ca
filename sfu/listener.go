package sfu

import (
	"errors"
	"net"
	"sync"
)

// listener is a net.Listener whose Close also ends the connections that it has
// accepted. Pion's mux waits 30 s for the first packet of each, also to close.
type listener struct {
	net.Listener

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

// Close implements net.Conn.
func (a *accepted) Close() error {
	a.listener.mu.Lock()
	delete(a.listener.open, a)
	a.listener.mu.Unlock()
	return a.Conn.Close()
}
