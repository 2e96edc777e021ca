package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// KeyPrefix begins every stream key, so that programs which look for secrets find
// them. What begins with it is a stream key or nothing, in open mode too.
const KeyPrefix = "sk_"

// keyBytes are random, 160 bits of them; a CRC-32 of them follows.
const keyBytes = 20

// KeyHash is what is kept of a stream key: SHA-256 of its text. Of 160 random bits
// nobody finds out more by a faster hash.
type KeyHash = [sha256.Size]byte

// NewStreamKey makes a stream key: KeyPrefix and 39 of [a-z2-7].
func NewStreamKey() string {
	var secret [keyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails; ends the program if the system has no randomness
	return formatKey(secret[:])
}

func formatKey(secret []byte) string {
	raw := binary.BigEndian.AppendUint32(secret[:keyBytes:keyBytes], crc32.ChecksumIEEE(secret[:keyBytes]))
	return KeyPrefix + strings.ToLower(keyText().EncodeToString(raw))
}

func keyText() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

// HashStreamKey returns the hash of a stream key. CodeUnauthenticated: it is none
// that NewStreamKey makes, so nobody needs to look it up.
func HashStreamKey(bearer string) (KeyHash, error) {
	text, ok := strings.CutPrefix(bearer, KeyPrefix)
	bad := refusal("the stream key is not valid: something of it is missing or mistyped")
	if !ok || len(text) != keyText().EncodedLen(keyBytes+crc32.Size) {
		return KeyHash{}, bad
	}
	raw, err := keyText().DecodeString(strings.ToUpper(text))
	if err != nil || len(raw) != keyBytes+crc32.Size || formatKey(raw) != bearer {
		return KeyHash{}, bad
	}
	return sha256.Sum256([]byte(bearer)), nil
}

func isStreamKey(bearer string) bool { return strings.HasPrefix(bearer, KeyPrefix) }
