package sfu

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/sluice-live/sluice/sfu/internal/gcm"
)

// sealer protects the RTP that a viewer gets. Only the viewer's shard uses it.
type sealer interface {
	// seal returns the SRTP packet of a marshalled header and a payload, written
	// to dst, which has room for both and 16 bytes. roc is the rollover
	// counter of the header's sequence number (RFC 3711 section 3.3.1).
	seal(dst, header, payload []byte, roc uint32) ([]byte, error)
}

// newSealer makes the sealer of a negotiated profile from the master key of our
// side.
func newSealer(profile srtp.ProtectionProfile, key, salt []byte) (sealer, error) {
	switch profile {
	case srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAeadAes256Gcm:
		return newGCMSealer(key, salt)
	default:
		context, err := srtp.CreateContext(key, salt, profile)
		return &contextSealer{context: context}, err
	}
}

// gcmSealer is AES-GCM for SRTP (RFC 7714). It reads the payload where it lies
// and keeps no state for each stream, which costs half of what a srtp.Context
// adds to the cipher.
type gcmSealer struct {
	aead  gcm.Sealer
	salt  [gcm.NonceBytes]byte
	nonce [gcm.NonceBytes]byte // scratch
}

// Labels of the key derivation (RFC 3711 section 4.3.2).
const (
	labelEncryption = 0
	labelSalt       = 2
)

func newGCMSealer(key, salt []byte) (*gcmSealer, error) {
	s := &gcmSealer{}
	session, err := deriveKey(key, salt, labelEncryption, len(key))
	if err != nil {
		return nil, err
	}
	sessionSalt, err := deriveKey(key, salt, labelSalt, len(s.salt))
	if err != nil {
		return nil, err
	}
	copy(s.salt[:], sessionSalt)
	aead, err := gcm.New(session)
	if err != nil {
		return nil, fmt.Errorf("SRTP cipher: %w", err)
	}
	s.aead = *aead
	return s, nil
}

// deriveKey is the AES-CM key derivation of RFC 3711 section 4.3 with a key
// derivation rate of 0 and a 96-bit salt (RFC 7714 section 11).
func deriveKey(key, salt []byte, label byte, size int) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("SRTP key derivation: %w", err)
	}
	var counter [aes.BlockSize]byte
	copy(counter[:aes.BlockSize-2], salt)
	counter[7] ^= label
	out := make([]byte, size)
	cipher.NewCTR(block, counter[:]).XORKeyStream(out, out)
	return out, nil
}

func (s *gcmSealer) seal(dst, header, payload []byte, roc uint32) ([]byte, error) {
	// RFC 7714 section 8.1: two zero bytes, SSRC, ROC and SEQ, xor the salt.
	s.nonce = s.salt
	n, h := s.nonce[:], header
	xor32(n[2:], binary.BigEndian.Uint32(h[8:]))
	xor32(n[6:], roc)
	n[10] ^= h[2]
	n[11] ^= h[3]
	dst = append(dst[:0], header...)
	return s.aead.Seal(dst, &s.nonce, payload, dst), nil
}

func xor32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)^v) }

// contextSealer is any other profile, by pion/srtp.
type contextSealer struct {
	context *srtp.Context
	header  rtp.Header                      // scratch
	plain   [maxHeader + maxPacket + 2]byte // scratch: header and payload, one after the other
}

func (s *contextSealer) seal(dst, header, payload []byte, _ uint32) ([]byte, error) {
	n := copy(s.plain[:], header)
	n += copy(s.plain[n:], payload)
	return s.context.EncryptRTP(dst[:0], s.plain[:n], &s.header)
}

// rollover follows the rollover counter of one SSRC (RFC 3711 appendix A). The
// zero value has seen no packet.
type rollover struct {
	index uint64 // of the newest packet: ROC and sequence number
	begun bool
}

// of returns the rollover counter of a packet to send. ok is false for one from
// before the first, when its counter would be negative.
func (r *rollover) of(seq uint16) (roc uint32, ok bool) {
	if !r.begun {
		r.index, r.begun = uint64(seq), true
	}
	index := r.index + uint64(int64(int16(seq-uint16(r.index))))
	if int64(index) < 0 {
		return 0, false
	}
	r.index = max(r.index, index)
	return uint32(index >> 16), true
}
