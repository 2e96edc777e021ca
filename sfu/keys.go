package sfu

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/appdata"
)

// dtlsKeys learns a session's DTLS 1.2 secrets through Pion's hooks, so that
// the shard can encrypt RTP itself (RFC 5764 section 4.2). It works where this
// side is the DTLS server.
type dtlsKeys struct {
	mu           sync.Mutex
	serverRandom [32]byte
	clientRandom []byte
	master       []byte
	profile      srtp.ProtectionProfile
	data         *dataPath // gets the keys of application data; nil: Pion does that
}

// hook installs the collectors. The cipher suites are those whose key
// derivation uses SHA-256; for application data the one that everybody has (RFC
// 8827 section 6.5).
func (k *dtlsKeys) hook(se *webrtc.SettingEngine) {
	suites := []dtls.CipherSuiteID{dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
	if k.data != nil {
		suites = suites[:1]
	}
	se.SetDTLSCipherSuites(suites...)
	se.SetDTLSKeyLogWriter(k)
	se.SetDTLSServerHelloMessageHook(func(m handshake.MessageServerHello) handshake.Message {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.serverRandom = m.Random.MarshalFixed()
		for _, e := range m.Extensions {
			if use, ok := e.(*extension.UseSRTP); ok && len(use.ProtectionProfiles) == 1 {
				k.profile = srtp.ProtectionProfile(use.ProtectionProfiles[0])
			}
		}
		return &m
	})
}

// Write takes a line of the NSS key log format.
func (k *dtlsKeys) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 || string(fields[0]) != "CLIENT_RANDOM" {
		return len(line), nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if k.clientRandom, err = hex.DecodeString(string(fields[1])); err != nil {
		return 0, err
	}
	if k.master, err = hex.DecodeString(string(fields[2])); err != nil {
		return 0, err
	}
	if k.data == nil {
		return len(line), nil
	}
	return len(line), k.data.Arm(appdata.Secrets{Master: k.master, ClientRandom: k.clientRandom, ServerRandom: k.serverRandom[:]})
}

// ExportKeyingMaterial implements srtp.KeyingMaterialExporter (RFC 5705).
func (k *dtlsKeys) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	seed := append(append([]byte(label), k.clientRandom...), k.serverRandom[:]...)
	return prf.PHash(k.master, seed, length, sha256.New)
}

// sealer returns what protects the RTP that we send.
func (k *dtlsKeys) sealer() (sealer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.master == nil || k.profile == 0 {
		return nil, errors.New("the DTLS handshake gave no SRTP keys")
	}
	c := srtp.Config{Profile: k.profile}
	if err := c.ExtractSessionKeysFromDTLS(k, false); err != nil {
		return nil, err
	}
	k.master = nil // not needed again
	return newSealer(k.profile, c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt)
}
