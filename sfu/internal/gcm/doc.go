// Package gcm is AES-128-GCM (NIST SP 800-38D) for packets: sealing only, with
// the vector instructions of processors that have them, else by crypto/cipher.
//
// It owns the cipher; it knows nothing of RTP, nonces and keys' origins. It
// starts no goroutines. A Sealer belongs to one goroutine at a time.
package gcm
