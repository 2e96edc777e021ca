package node

import (
	"net"
	"net/netip"
	"sync"
)

// perIPListener closes the connections that one address has over a limit as
// soon as they come.
type perIPListener struct {
	net.Listener
	limit int
	free  func(netip.Addr) bool // addresses without a limit

	mu   sync.Mutex
	open map[netip.Addr]int
}

func newPerIPListener(l net.Listener, limit int, free func(netip.Addr) bool) *perIPListener {
	return &perIPListener{Listener: l, limit: limit, free: free, open: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (l *perIPListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(conn)
		if l.enter(addr) {
			return &countedConn{Conn: conn, leave: func() { l.leave(addr) }}, nil
		}
		_ = conn.Close() // the caller is told by that
	}
}

func addrOf(conn net.Conn) netip.Addr {
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return remote.Addr().Unmap()
}

func (l *perIPListener) enter(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[addr] >= l.limit && !l.free(addr) {
		return false
	}
	l.open[addr]++
	return true
}

func (l *perIPListener) leave(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[addr]--; l.open[addr] <= 0 {
		delete(l.open, addr)
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
