package gcm

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"github.com/sluice-live/sluice/sfu/internal/prefetch"
)

const (
	// Overhead is the size of the tag that Seal appends, in bytes.
	Overhead = 16
	// NonceBytes is the size of a nonce.
	NonceBytes = 12
	// KeyBytes is the size of a key that vector instructions are used for.
	KeyBytes = 16
)

// Sealer encrypts and authenticates with one key.
type Sealer struct {
	plain  cipher.AEAD
	vector *vector // nil where the processor or the key has no use for it
}

// New makes the sealer of a key of 16, 24 or 32 bytes.
func New(key []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES-GCM: %w", err)
	}
	s := &Sealer{}
	if s.plain, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("AES-GCM: %w", err)
	}
	if len(key) == KeyBytes && vectorized() {
		s.vector = newVector(block, key)
	}
	return s, nil
}

// Memory is what Seal reads of the key.
func (s *Sealer) Memory() prefetch.Span { return prefetch.Of(s.vector) }

// Seal appends plaintext, encrypted, and the tag over it and the additional data
// to dst, as cipher.AEAD does. dst must have room for both and may not overlap
// with plaintext. A nonce serves once.
func (s *Sealer) Seal(dst []byte, nonce *[NonceBytes]byte, plaintext, additional []byte) []byte {
	if s.vector == nil || len(plaintext) > maxVector || len(additional) > maxAdditional || len(additional) == 0 {
		return s.plain.Seal(dst, nonce[:], plaintext, additional)
	}
	n := len(dst)
	sealed := dst[:n+len(plaintext)+Overhead]
	s.vector.seal(sealed[n:], nonce, plaintext, additional)
	return sealed
}
