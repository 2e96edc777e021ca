package sfu

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// TestSealer compares every profile with what pion/srtp decrypts, over a
// rollover of the sequence number, with packets out of order around it.
func TestSealer(t *testing.T) {
	profiles := map[string]srtp.ProtectionProfile{
		"AEAD_AES_128_GCM":       srtp.ProtectionProfileAeadAes128Gcm,
		"AEAD_AES_256_GCM":       srtp.ProtectionProfileAeadAes256Gcm,
		"AES128_CM_HMAC_SHA1_80": srtp.ProtectionProfileAes128CmHmacSha1_80,
	}
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			key, salt := keysOf(t, profile)
			seal, err := newSealer(profile, key, salt)
			if err != nil {
				t.Fatal(err)
			}
			peer, err := srtp.CreateContext(key, salt, profile)
			if err != nil {
				t.Fatal(err)
			}
			var roll rollover
			for _, seq := range []uint16{65530, 65532, 65531, 65535, 1, 0, 65534, 2, 3000, 33000, 65000, 100, 64999} {
				checkSeal(t, seal, peer, &roll, seq)
			}
		})
	}
}

func keysOf(t *testing.T, profile srtp.ProtectionProfile) (key, salt []byte) {
	t.Helper()
	keyLen, err := profile.KeyLen()
	if err != nil {
		t.Fatal(err)
	}
	saltLen, err := profile.SaltLen()
	if err != nil {
		t.Fatal(err)
	}
	key, salt = make([]byte, keyLen), make([]byte, saltLen)
	_, _ = rand.Read(key)
	_, _ = rand.Read(salt)
	return key, salt
}

func checkSeal(t *testing.T, seal sealer, peer *srtp.Context, roll *rollover, seq uint16) {
	t.Helper()
	h := rtp.Header{Version: 2, PayloadType: 96, Marker: true, SequenceNumber: seq, Timestamp: 12345, SSRC: 0xdeadbeef}
	var header [rtpHeaderBytes]byte
	marshal(header[:], &h)
	payload := bytes.Repeat([]byte{byte(seq)}, 1100)
	roc, ok := roll.of(seq)
	if !ok {
		t.Fatalf("no rollover counter for %d", seq)
	}
	sealed, err := seal.seal(make([]byte, 2*maxPacket), header[:], payload, roc)
	if err != nil {
		t.Fatal(err)
	}
	var got rtp.Packet
	plain, err := peer.DecryptRTP(nil, sealed, &got.Header)
	if err != nil {
		t.Fatalf("sequence number %d: %v", seq, err)
	}
	if got.Header.SequenceNumber != seq || !bytes.Equal(plain[rtpHeaderBytes:], payload) {
		t.Fatalf("sequence number %d arrives as %d with %d bytes", seq, got.Header.SequenceNumber, len(plain))
	}
}

func TestRolloverBeforeTheFirst(t *testing.T) {
	var roll rollover
	if roc, ok := roll.of(3); !ok || roc != 0 {
		t.Fatalf("first packet: counter %d, %v", roc, ok)
	}
	if _, ok := roll.of(65534); ok {
		t.Error("a packet from before the first got a counter")
	}
	if roc, ok := roll.of(2); !ok || roc != 0 {
		t.Errorf("a late packet: counter %d, %v", roc, ok)
	}
}

func TestSealAllocatesNothing(t *testing.T) {
	profile := srtp.ProtectionProfileAeadAes128Gcm
	key, salt := keysOf(t, profile)
	seal, err := newSealer(profile, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	dst, header, payload := make([]byte, 2*maxPacket), make([]byte, rtpHeaderBytes), make([]byte, 1100)
	if n := testing.AllocsPerRun(100, func() { _, _ = seal.seal(dst, header, payload, 0) }); n != 0 {
		t.Errorf("%v allocations for each packet", n)
	}
}
