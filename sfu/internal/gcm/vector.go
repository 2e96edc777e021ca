package gcm

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

const (
	rounds = 11 // round keys of AES-128
	powers = 17 // of the hash key: for the 16 blocks of a step and the lengths
	spare  = 3  // zero blocks behind the powers, which a load of four may touch
	// maxVector is the most bytes of plaintext that are sealed by vector
	// instructions: their block counter has eight bits.
	maxVector = 2048
	// maxAdditional is the same for additional data: one load of a vector.
	maxAdditional = 64
)

// vector is a key for the vector instructions. The assembly knows where its
// fields lie.
type vector struct {
	round [rounds][16]byte
	// power holds the hash key to the power of 17, 16, ... 1, divided by x, as
	// little-endian numbers: so a product needs no shift (Gueron and Kounavis,
	// "Intel Carry-Less Multiplication Instruction and its Usage for Computing the
	// GCM Mode", 2010).
	power   [powers + spare][16]byte
	counter [16]byte // scratch
}

func newVector(block cipher.Block, key []byte) *vector {
	v := &vector{}
	v.expand(key)
	var h [16]byte
	block.Encrypt(h[:], h[:])
	hash := element{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:])}
	power := hash
	for i := powers - 1; i >= 0; i-- {
		power.overX().put(&v.power[i])
		power = power.times(hash)
	}
	return v
}

// expand is the key expansion of FIPS 197 section 5.2 for AES-128. The words
// that go through the S-box are found with the cipher itself: its last round,
// with a key of zeros, is SubBytes.
func (v *vector) expand(key []byte) {
	copy(v.round[0][:], key)
	constant := byte(1)
	for i := 1; i < rounds; i++ {
		previous, next := &v.round[i-1], &v.round[i]
		word := [4]byte{sbox(previous[13]) ^ constant, sbox(previous[14]), sbox(previous[15]), sbox(previous[12])}
		for j := range next {
			if j < 4 {
				next[j] = previous[j] ^ word[j]
			} else {
				next[j] = previous[j] ^ next[j-4]
			}
		}
		constant = constant<<1 ^ constant>>7*0x1b
	}
}

// sbox is SubBytes of FIPS 197 section 5.1.1: the inverse in GF(2^8), then an
// affine map. It takes no branch and no look-up that depends on b.
func sbox(b byte) byte {
	inverse := byte(1) // b^254
	for square, i := b, 0; i < 7; i++ {
		square = timesByte(square, square)
		inverse = timesByte(inverse, square)
	}
	return inverse ^ bits.RotateLeft8(inverse, 1) ^ bits.RotateLeft8(inverse, 2) ^
		bits.RotateLeft8(inverse, 3) ^ bits.RotateLeft8(inverse, 4) ^ 0x63
}

// timesByte multiplies in GF(2^8) of FIPS 197 section 4.2.
func timesByte(a, b byte) (product byte) {
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ a>>7*0x1b
		b >>= 1
	}
	return product
}

// element is of GF(2^128) in the bit order of GCM: the highest bit of hi is the
// coefficient of x^0 (SP 800-38D section 6.3).
type element struct{ hi, lo uint64 }

// timesX multiplies by x.
func (e element) timesX() element {
	carry := e.lo & 1
	return element{e.hi>>1 ^ carry*(0xe1<<56), e.lo>>1 | e.hi<<63}
}

// overX divides by x.
func (e element) overX() element {
	carry := e.hi >> 63
	return element{(e.hi<<1 | e.lo>>63) ^ carry*(0xc2<<56), e.lo<<1 ^ carry}
}

// times multiplies without a branch that depends on either.
func (e element) times(o element) (product element) {
	for i := range 128 {
		word := o.hi
		if i >= 64 {
			word = o.lo
		}
		bit := -(word >> (63 - i%64) & 1)
		product.hi ^= e.hi & bit
		product.lo ^= e.lo & bit
		e = e.timesX()
	}
	return product
}

// put writes e as a little-endian number.
func (e element) put(to *[16]byte) {
	binary.LittleEndian.PutUint64(to[:8], e.lo)
	binary.LittleEndian.PutUint64(to[8:], e.hi)
}
