package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// secureListener makes the plain side of TLS connections, for an HTTP server that
// knows HTTP/2 from HTTP/1.1 by how a connection begins. crypto/tls makes a record
// of each Write and sends each record by itself, and an HTTP/2 server writes several
// times for each answer; here what is written within holdTime becomes one flight:
// full records and one system call.
type secureListener struct {
	net.Listener
	config *tls.Config
	pools  *flightPools
}

const (
	// flightSize is how many plain bytes are sent without waiting for more: four
	// full records.
	flightSize = 64 << 10
	// smallFlight is the size of buffers for those who write less.
	smallFlight = 8 << 10
	// sealedSize is the size of a flight with the heads and tags of its records.
	sealedSize = flightSize + 1<<10
	// holdTime is how long the first bytes of a flight wait for more.
	holdTime = time.Millisecond
	// limitStep is how old a deadline may be that the next flight goes with.
	limitStep = 5 * time.Second
	// farewellTime is how long a connection that is closed may take for its last flight.
	farewellTime = time.Second
)

// flightPools keep buffers: a connection has some only while something is in them.
type flightPools struct {
	small, plain, sealed sync.Pool // of *[]byte
}

func newFlightPools() *flightPools {
	sized := func(n int) sync.Pool {
		return sync.Pool{New: func() any { b := make([]byte, 0, n); return &b }}
	}
	return &flightPools{small: sized(smallFlight), plain: sized(flightSize), sealed: sized(sealedSize)}
}

func newSecureListener(l net.Listener, config *tls.Config) *secureListener {
	return &secureListener{l, config, newFlightPools()}
}

// Accept implements net.Listener. The handshake is done by the first Read, within
// its deadline.
func (l *secureListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	below := &recordConn{Conn: raw, pools: l.pools}
	return &flightConn{Conn: tls.Server(below, l.config), below: below, pools: l.pools}, nil
}

// flightConn is the plain side of a connection. What is written may be sent up to
// holdTime later, and what fails then is reported by the next Write. It has no
// ConnectionState: net/http looks for HTTP/2 only on connections without TLS.
type flightConn struct {
	net.Conn // a *tls.Conn
	below    *recordConn
	pools    *flightPools
	refused  sync.Once

	mu      sync.Mutex
	held    *[]byte // nil: nothing; len < flightSize
	timer   *time.Timer
	bounded bool      // writes have a deadline
	limit   time.Time // the deadline that writes have when nobody has set one
	err     error
}

// Read implements net.Conn.
func (c *flightConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.refuse(err)
	}
	return n, err
}

// refuse answers a client that did not begin with a handshake.
func (c *flightConn) refuse(err error) {
	if head := (tls.RecordHeaderError{}); errors.As(err, &head) && head.Conn != nil {
		c.refused.Do(func() { refusePlain(head) })
	}
}

// refusePlain tells a client that has begun with HTTP instead of a handshake.
func refusePlain(head tls.RecordHeaderError) {
	switch string(head.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		const text = "This address speaks HTTPS.\n"
		_, _ = fmt.Fprintf(head.Conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
}

// SetDeadline implements net.Conn.
func (c *flightConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetWriteDeadline implements net.Conn.
func (c *flightConn) SetWriteDeadline(t time.Time) error {
	err := c.Conn.SetWriteDeadline(t) // first: it ends a flight that holds the lock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bounded, c.limit = !t.IsZero(), time.Time{}
	return err
}

// Write implements net.Conn.
func (c *flightConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := len(b)
	for len(b) > 0 && c.err == nil {
		if c.held == nil && len(b) >= flightSize {
			c.send(b[:flightSize])
			b = b[flightSize:]
			continue
		}
		n := min(len(b), flightSize-c.size())
		c.hold(b[:n])
		b = b[n:]
		if c.size() == flightSize {
			c.flush()
		}
	}
	if c.err != nil {
		return total - len(b), c.err
	}
	return total, nil
}

// size is how much is held. mu is held.
func (c *flightConn) size() int {
	if c.held == nil {
		return 0
	}
	return len(*c.held)
}

// hold adds b, which fits, to what is held. mu is held.
func (c *flightConn) hold(b []byte) {
	switch {
	case c.held == nil && len(b) <= smallFlight:
		c.held = c.pools.small.Get().(*[]byte)
	case c.held == nil:
		c.held = c.pools.plain.Get().(*[]byte)
	case len(*c.held)+len(b) > cap(*c.held):
		small := c.held
		c.held = c.pools.plain.Get().(*[]byte)
		*c.held = append(*c.held, *small...)
		c.release(small)
	}
	switch {
	case c.timer == nil:
		c.timer = time.AfterFunc(holdTime, c.late)
	case len(*c.held) == 0:
		c.timer.Reset(holdTime)
	}
	*c.held = append(*c.held, b...)
}

func (c *flightConn) release(buffer *[]byte) {
	*buffer = (*buffer)[:0]
	if cap(*buffer) == smallFlight {
		c.pools.small.Put(buffer)
	} else {
		c.pools.plain.Put(buffer)
	}
}

// flush sends what is held. mu is held.
func (c *flightConn) flush() {
	if c.held == nil {
		return
	}
	c.timer.Stop()
	c.send(*c.held)
	c.release(c.held)
	c.held = nil
}

// send makes a flight of b. A caller that sets no deadline has writeTimeout, or up to
// limitStep less: a deadline for each flight would cost more than its timer is worth.
// mu is held.
func (c *flightConn) send(b []byte) {
	if c.err != nil {
		return
	}
	if !c.bounded {
		if limit := time.Now().Add(writeTimeout); limit.Sub(c.limit) > limitStep {
			c.limit = limit
			_ = c.Conn.SetWriteDeadline(limit)
		}
	}
	c.below.cork()
	_, err := c.Conn.Write(b)
	c.err = errors.Join(err, c.below.uncork())
}

// late sends what nothing has followed.
func (c *flightConn) late() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
}

// Close implements net.Conn. What is held is sent first, without making the caller wait.
func (c *flightConn) Close() error {
	if c.mu.TryLock() {
		idle := c.held == nil
		c.mu.Unlock()
		if idle {
			return c.Conn.Close()
		}
	}
	go func() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(farewellTime))
		c.mu.Lock()
		c.bounded = true
		c.flush()
		c.mu.Unlock()
		_ = c.Conn.Close() // nobody is left to tell
	}()
	return nil
}

// recordConn is the connection below a tls.Conn, which writes whole records.
type recordConn struct {
	net.Conn
	pools *flightPools

	mu     sync.Mutex
	corked bool
	held   *[]byte // nil: nothing
}

// cork makes writes wait for uncork, or until they are a flight.
func (c *recordConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
}

// uncork sends what waits.
func (c *recordConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = false
	return c.flush()
}

// Write implements net.Conn.
func (c *recordConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(b)
	}
	if c.held != nil && len(*c.held)+len(b) > sealedSize {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if c.held == nil {
		c.held = c.pools.sealed.Get().(*[]byte)
	}
	*c.held = append(*c.held, b...)
	return len(b), nil
}

// flush sends what waits. mu is held.
func (c *recordConn) flush() error {
	if c.held == nil {
		return nil
	}
	_, err := c.Conn.Write(*c.held)
	*c.held = (*c.held)[:0]
	c.pools.sealed.Put(c.held)
	c.held = nil
	return err
}
