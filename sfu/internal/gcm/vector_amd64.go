package gcm

import "golang.org/x/sys/cpu"

// vectorized reports whether the processor has all that seal needs.
func vectorized() bool {
	x := &cpu.X86
	return x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512VAES && x.HasAVX512VPCLMULQDQ && x.HasBMI2
}

// seal encrypts plaintext to dst, followed by the tag: see vector_amd64.s for its
// limits.
func (v *vector) seal(dst []byte, nonce *[NonceBytes]byte, plaintext, additional []byte) {
	copy(v.counter[:], nonce[:])
	v.counter[15] = 1 // SP 800-38D section 7.1, step 2
	var from *byte
	if len(plaintext) > 0 {
		from = &plaintext[0]
	}
	sealVector(v, &v.counter, &dst[0], from, len(plaintext), &additional[0], len(additional))
}

// sealVector is in vector_amd64.s.
//
//go:noescape
func sealVector(v *vector, counter *[16]byte, dst, src *byte, n int, additional *byte, additionalBytes int)
