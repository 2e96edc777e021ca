package node

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// recordListener makes connections that send TLS records of one message together.
// crypto/tls writes each record by itself, and a frame of HTTP/2 of the usual
// size is one byte of record more than fits into one: each costs a second system
// call and a second segment on the wire.
type recordListener struct {
	net.Listener
	buffers *sync.Pool // of *[]byte
}

const (
	// heldRecords bounds the bytes of full records that wait for the next one.
	heldRecords = 4 * (16<<10 + 64)
	// holdTime is how long they wait: the next one follows at once, unless a message
	// ends with a full record.
	holdTime = time.Millisecond

	recordHead       = 5
	applicationData  = 23
	fullRecordLength = 16 << 10
)

func newRecordListener(l net.Listener) *recordListener {
	return &recordListener{l, &sync.Pool{New: func() any { b := make([]byte, 0, heldRecords); return &b }}}
}

// Accept implements net.Listener.
func (l *recordListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recordConn{Conn: c, buffers: l.buffers}, nil
}

// recordConn is the connection below a tls.Conn. What is written last may be sent
// up to holdTime later, and what fails then is reported by the next Write.
type recordConn struct {
	net.Conn
	buffers *sync.Pool

	mu    sync.Mutex
	held  *[]byte // nil: nothing
	timer *time.Timer
	err   error
}

// Write implements net.Conn. b is a whole record.
func (c *recordConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	full := len(b) > fullRecordLength && b[0] == applicationData &&
		len(b) == recordHead+int(binary.BigEndian.Uint16(b[3:]))
	if c.held == nil && !full {
		return c.Conn.Write(b)
	}
	if c.held == nil {
		c.held = c.buffers.Get().(*[]byte)
	}
	*c.held = append(*c.held, b...)
	if full && len(*c.held) < heldRecords-fullRecordLength {
		if c.timer == nil {
			c.timer = time.AfterFunc(holdTime, c.late)
		} else {
			c.timer.Reset(holdTime)
		}
		return len(b), nil
	}
	c.flush()
	if c.err != nil {
		return 0, c.err
	}
	return len(b), nil
}

// flush sends what is held. mu is held.
func (c *recordConn) flush() {
	if c.held == nil {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	_, c.err = c.Conn.Write(*c.held)
	*c.held = (*c.held)[:0]
	c.buffers.Put(c.held)
	c.held = nil
}

// late sends what nothing has followed.
func (c *recordConn) late() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
}
