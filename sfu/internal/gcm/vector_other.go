//go:build !amd64

package gcm

func vectorized() bool { return false }

func (v *vector) seal([]byte, *[NonceBytes]byte, []byte, []byte) {
	panic("gcm: no vector instructions") // vectorized is false
}
