package gcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// standard is crypto/cipher's AES-GCM.
func standard(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func random(n int, source *rand.ChaCha8) []byte {
	b := make([]byte, n)
	_, _ = source.Read(b)
	return b
}

// TestSeal compares every length with crypto/cipher, and looks for writes beyond
// the tag.
func TestSeal(t *testing.T) {
	source := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{16, 32} {
		key := random(size, source)
		reference := standard(t, key)
		s, err := New(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("key of %d bytes, vector instructions: %v", size, s.vector != nil)
		for n := range maxVector + 40 {
			plaintext, additional := random(n, source), random(n%(maxAdditional+2), source)
			nonce := [NonceBytes]byte(random(NonceBytes, source))
			want := reference.Seal(nil, nonce[:], plaintext, additional)
			room := bytes.Repeat([]byte{0xa5}, 3+n+Overhead+64)
			got := s.Seal(room[:3], &nonce, plaintext, additional)
			if !bytes.Equal(got[3:], want) {
				t.Fatalf("%d bytes, %d additional: sealed otherwise than crypto/cipher", n, len(additional))
			}
			if beyond := room[len(got):]; !bytes.Equal(beyond, bytes.Repeat([]byte{0xa5}, len(beyond))) || !bytes.Equal(room[:3], []byte{0xa5, 0xa5, 0xa5}) {
				t.Fatalf("%d bytes: wrote outside its room", n)
			}
		}
	}
}

// TestRoundKeys is appendix A.1 of FIPS 197.
func TestRoundKeys(t *testing.T) {
	key, _ := hex.DecodeString("2b7e151628aed2a6abf7158809cf4f3c")
	var v vector
	v.expand(key)
	if got := hex.EncodeToString(v.round[rounds-1][:]); got != "d014f9a8c9ee2589e13f0cc8b6630ca6" {
		t.Errorf("the last round key is %s", got)
	}
}

func TestKeySizes(t *testing.T) {
	if _, err := New(make([]byte, 15)); err == nil {
		t.Error("a key of 15 bytes was taken")
	}
}

func FuzzSeal(f *testing.F) {
	f.Add(make([]byte, KeyBytes), make([]byte, NonceBytes), []byte("payload"), []byte("header bytes"))
	f.Add(bytes.Repeat([]byte{0xff}, KeyBytes), bytes.Repeat([]byte{0xff}, NonceBytes), make([]byte, 1200), make([]byte, 20))
	f.Fuzz(func(t *testing.T, key, nonce, plaintext, additional []byte) {
		if len(key) != KeyBytes || len(nonce) != NonceBytes {
			return
		}
		s, err := New(key)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Seal(make([]byte, 0, len(plaintext)+Overhead), (*[NonceBytes]byte)(nonce), plaintext, additional)
		if want := standard(t, key).Seal(nil, nonce, plaintext, additional); !bytes.Equal(got, want) {
			t.Errorf("sealed %x, crypto/cipher %x", got, want)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	key := make([]byte, KeyBytes)
	plaintext, header := make([]byte, 1200), make([]byte, 12)
	dst := make([]byte, 0, len(plaintext)+Overhead)
	var nonce [NonceBytes]byte
	s, err := New(key)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("vector", func(b *testing.B) {
		b.SetBytes(int64(len(plaintext)))
		for b.Loop() {
			s.Seal(dst, &nonce, plaintext, header)
		}
	})
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(int64(len(plaintext)))
		for b.Loop() {
			s.plain.Seal(dst, nonce[:], plaintext, header)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	key := make([]byte, KeyBytes)
	for b.Loop() {
		if _, err := New(key); err != nil {
			b.Fatal(err)
		}
	}
}
