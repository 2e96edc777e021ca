package appdata

import (
	"crypto/sha256"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/transport/v4/packetio"
)

// Secrets are what a handshake has agreed on.
type Secrets struct {
	Master                     []byte
	ClientRandom, ServerRandom []byte
	Client                     bool // this side is the client
}

// Conn is the net.Conn of what is carried. All methods may be called from any
// goroutine.
//
// A server may not write before the client has sent something: a record that comes
// before the end of the handshake makes that look like a replay.
type Conn struct {
	send    func(datagram []byte)
	first   func()
	begun   atomic.Bool
	inbound *packetio.Buffer
	armed   atomic.Bool // there are a sealer and an opener

	writing sync.Mutex // guards what follows
	sealer  *Sealer
	buffer  []byte

	reading sync.Mutex // guards opener
	opener  *Opener
}

// NewConn makes a Conn that sends datagrams with send, one at a time, calls first
// once, when the peer's first record has come, and keeps up to limit bytes that
// wait to be read. first may be nil.
func NewConn(send func(datagram []byte), first func(), limit int) *Conn {
	if first == nil {
		first = func() {}
	}
	c := &Conn{send: send, first: first, inbound: packetio.NewBuffer()}
	c.inbound.SetLimitSize(limit)
	return c
}

// Arm gives the Conn its keys. Until then nothing can be written, and nothing is
// taken.
func (c *Conn) Arm(s Secrets) error {
	keys, err := prf.GenerateEncryptionKeys(s.Master, s.ClientRandom, s.ServerRandom, 0, KeyBytes, SaltBytes, sha256.New)
	if err != nil {
		return fmt.Errorf("application data: %w", err)
	}
	if !s.Client {
		keys.ClientWriteKey, keys.ServerWriteKey = keys.ServerWriteKey, keys.ClientWriteKey
		keys.ClientWriteIV, keys.ServerWriteIV = keys.ServerWriteIV, keys.ClientWriteIV
	}
	sealer, err := NewSealer(keys.ClientWriteKey, keys.ClientWriteIV)
	if err != nil {
		return err
	}
	opener, err := NewOpener(keys.ServerWriteKey, keys.ServerWriteIV)
	if err != nil {
		return err
	}
	c.writing.Lock()
	c.sealer = sealer
	c.writing.Unlock()
	c.reading.Lock()
	c.opener = opener
	c.reading.Unlock()
	c.armed.Store(true)
	return nil
}

// Take takes the application data out of a datagram. It returns how much is left
// for others, at its beginning, and whether there was a record of the peer's.
func (c *Conn) Take(datagram []byte) (left int, taken bool) {
	if len(datagram) == 0 || datagram[0] < 20 || datagram[0] > 63 || !c.armed.Load() {
		return len(datagram), false
	}
	for rest := datagram; len(rest) > 0; {
		var record []byte
		record, rest = Next(rest)
		if Protected(record) {
			taken = c.receive(record) || taken
		} else {
			left += copy(datagram[left:], record)
		}
	}
	return left, taken
}

// receive opens a record, and reports whether it is the peer's.
func (c *Conn) receive(record []byte) bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	plain, err := c.opener.Open(record)
	if err != nil {
		return false
	}
	if c.begun.CompareAndSwap(false, true) {
		c.first()
	}
	_, _ = c.inbound.Write(plain) // what has no room is lost, as on any network
	return true
}

// Read implements net.Conn: it waits for what the peer's next record holds.
func (c *Conn) Read(b []byte) (int, error) { return c.inbound.Read(b) }

// Write implements net.Conn: it sends one record.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.seal(ApplicationData, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *Conn) seal(content byte, b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.sealer == nil {
		return net.ErrClosed
	}
	if need := len(b) + Overhead; cap(c.buffer) < need {
		c.buffer = make([]byte, 0, need)
	}
	record, err := c.sealer.Seal(c.buffer[:0], content, b)
	if err == nil {
		c.send(record)
	}
	return err
}

// Bye tells the peer that the connection ends (RFC 5246 section 7.2.1). It would
// take the handshake owner's word for a replay once it has had records from here.
func (c *Conn) Bye() {
	if !c.begun.Load() {
		return
	}
	const warning, closeNotify = 1, 0
	_ = c.seal(Alert, []byte{warning, closeNotify}) // fails only without numbers
}

// Close implements net.Conn: reads end.
func (c *Conn) Close() error { return c.inbound.Close() }

// LocalAddr implements net.Conn. There is none.
func (c *Conn) LocalAddr() net.Addr { return &net.UDPAddr{} }

// RemoteAddr implements net.Conn. There is none.
func (c *Conn) RemoteAddr() net.Addr { return &net.UDPAddr{} }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.inbound.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. No write waits.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
