package appdata

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Content types (RFC 5246 section 6.2.1).
const (
	Alert           byte = 21
	ApplicationData byte = 23
)

const (
	// KeyBytes and SaltBytes are the sizes of a side's key and implicit nonce.
	KeyBytes, SaltBytes = 16, 4
	// Overhead is how much longer a record is than what it holds.
	Overhead = headerBytes + explicitBytes + tagBytes

	headerBytes   = 13
	explicitBytes = 8
	nonceBytes    = 12
	tagBytes      = 16
	version       = 0xfefd // DTLS 1.2
	epoch         = 1      // of the only keys that a connection has
	// firstNumber is that of the first record sealed here. The handshake's owner
	// has all below, so that no nonce is used twice.
	firstNumber = 1 << 32
)

// Error is why there is no record, or nothing in it.
type Error string

// Error implements error.
func (e Error) Error() string { return "application data: " + string(e) }

// Errors of Seal and Open.
const (
	ErrNumbers Error = "no more numbers"
	ErrRecord  Error = "not application data under the connection's keys"
	ErrReplay  Error = "replayed or too old"
	ErrForged  Error = "forged"
)

// Sealer makes records. It belongs to one goroutine at a time.
type Sealer struct {
	aead       cipher.AEAD
	nonce      [nonceBytes]byte
	next       uint64
	additional [headerBytes]byte
}

// NewSealer makes the sealer of a side's key and salt.
func NewSealer(key, salt []byte) (*Sealer, error) {
	s := &Sealer{next: firstNumber}
	var err error
	s.aead, err = newAEAD(key, salt, &s.nonce)
	return s, err
}

// newAEAD makes the cipher of a side, and puts its salt where it belongs.
func newAEAD(key, salt []byte, nonce *[nonceBytes]byte) (cipher.AEAD, error) {
	if len(key) != KeyBytes || len(salt) != SaltBytes {
		return nil, fmt.Errorf("application data: a key of %d bytes and a salt of %d", len(key), len(salt))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("application data: %w", err)
	}
	copy(nonce[:], salt)
	return cipher.NewGCM(block)
}

// Seal appends a record to dst, which must have room for it and not overlap with
// the payload.
func (s *Sealer) Seal(dst []byte, content byte, payload []byte) ([]byte, error) {
	if s.next >= 1<<48 {
		return nil, ErrNumbers
	}
	number := uint64(epoch)<<48 | s.next
	s.next++
	n := len(dst)
	dst = dst[:n+headerBytes+explicitBytes]
	header := dst[n:]
	header[0] = content
	binary.BigEndian.PutUint16(header[1:], version)
	binary.BigEndian.PutUint64(header[3:], number)
	binary.BigEndian.PutUint16(header[11:], uint16(explicitBytes+len(payload)+tagBytes))
	binary.BigEndian.PutUint64(header[13:], number)
	binary.BigEndian.PutUint64(s.nonce[SaltBytes:], number)
	describe(&s.additional, number, content, len(payload))
	return s.aead.Seal(dst, s.nonce[:], payload, s.additional[:]), nil
}

// describe writes the additional data of a record (RFC 5246 section 6.2.3.3).
func describe(b *[headerBytes]byte, number uint64, content byte, size int) {
	binary.BigEndian.PutUint64(b[:], number)
	b[8] = content
	binary.BigEndian.PutUint16(b[9:], version)
	binary.BigEndian.PutUint16(b[11:], uint16(size))
}

// Opener opens records. It belongs to one goroutine at a time.
type Opener struct {
	aead       cipher.AEAD
	nonce      [nonceBytes]byte
	additional [headerBytes]byte
	last       uint64 // number of the newest record, one more; 0: none
	seen       uint64 // bit i: the one i before the newest
}

// NewOpener makes the opener of a side's key and salt.
func NewOpener(key, salt []byte) (*Opener, error) {
	o := &Opener{}
	var err error
	o.aead, err = newAEAD(key, salt, &o.nonce)
	return o, err
}

// Open decrypts a record in place and returns what it holds.
func (o *Opener) Open(record []byte) ([]byte, error) {
	if !Protected(record) || len(record) < Overhead {
		return nil, ErrRecord
	}
	number := binary.BigEndian.Uint64(record[3:]) &^ (uint64(epoch) << 48)
	if !o.fresh(number) {
		return nil, ErrReplay
	}
	copy(o.nonce[SaltBytes:], record[headerBytes:])
	sealed := record[headerBytes+explicitBytes:]
	describe(&o.additional, uint64(epoch)<<48|number, record[0], len(sealed)-tagBytes)
	plain, err := o.aead.Open(sealed[:0], o.nonce[:], sealed, o.additional[:])
	if err != nil {
		return nil, ErrForged
	}
	o.note(number)
	return plain, nil
}

// fresh reports whether a number may still come (RFC 6347 section 4.1.2.6).
func (o *Opener) fresh(number uint64) bool {
	if number >= o.last {
		return true
	}
	back := o.last - 1 - number
	return back < 64 && o.seen>>back&1 == 0
}

func (o *Opener) note(number uint64) {
	if number < o.last {
		o.seen |= 1 << (o.last - 1 - number)
		return
	}
	o.seen = o.seen<<(number+1-o.last) | 1
	o.last = number + 1
}

// Protected reports whether a record is application data under the connection's
// keys.
func Protected(record []byte) bool {
	return len(record) >= headerBytes && record[0] == ApplicationData && binary.BigEndian.Uint16(record[3:]) == epoch
}

// Next returns the first record of a datagram and what follows it; what is not
// DTLS is one record.
func Next(datagram []byte) (record, rest []byte) {
	if len(datagram) < headerBytes || datagram[0] < 20 || datagram[0] > 63 {
		return datagram, nil
	}
	end := headerBytes + int(binary.BigEndian.Uint16(datagram[11:]))
	if end >= len(datagram) {
		return datagram, nil
	}
	return datagram[:end], datagram[end:]
}
