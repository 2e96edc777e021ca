package load

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/deadline"
)

// flightInterval is when a DTLS flight is first sent again.
const flightInterval = 200 * time.Millisecond

// identity is the certificate that all peers of a run share: making a key for
// each would cost the client more than the handshake.
type identity struct {
	certificate tls.Certificate
	fingerprint string // as in a=fingerprint
}

func newIdentity() (identity, error) {
	certificate, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return identity{}, fmt.Errorf("certificate: %w", err)
	}
	return identity{certificate: certificate, fingerprint: fingerprintOf(certificate.Certificate[0])}, nil
}

// fingerprintOf is the value of a=fingerprint (RFC 8122 section 5).
func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return "sha-256 " + strings.Join(pairs, ":")
}

// handshake makes the DTLS association and returns the SRTP keys.
func (id identity) handshake(ctx context.Context, link *dtlsLink, client bool, fingerprint string) (*dtls.Conn, *srtp.Config, error) {
	options := []dtls.Option{
		dtls.WithCertificates(id.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithInsecureSkipVerify(true), // the fingerprint is what counts
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			if strings.HasPrefix(strings.ToLower(fingerprint), "sha-256 ") &&
				(len(raw) == 0 || !strings.EqualFold(fingerprintOf(raw[0]), fingerprint)) {
				return errors.New("the certificate is not that of the SDP answer")
			}
			return nil
		}),
	}
	conn, err := associate(link, client, options)
	if err != nil {
		return nil, nil, fmt.Errorf("DTLS: %w", err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("DTLS: %w", err), conn.Close())
	}
	keys, err := srtpKeys(conn, client)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, keys, nil
}

func associate(link *dtlsLink, client bool, options []dtls.Option) (*dtls.Conn, error) {
	to := net.UDPAddrFromAddrPort(link.remote)
	if client {
		var all []dtls.ClientOption
		for _, o := range options {
			all = append(all, o)
		}
		return dtls.ClientWithOptions(link, to, all...)
	}
	all := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true)}
	for _, o := range options {
		all = append(all, o)
	}
	return dtls.ServerWithOptions(link, to, all...)
}

func srtpKeys(conn *dtls.Conn, client bool) (*srtp.Config, error) {
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, errors.New("DTLS: the server chose no SRTP profile")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, errors.New("DTLS: no state after the handshake")
	}
	keys := &srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := keys.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, fmt.Errorf("SRTP keys: %w", err)
	}
	return keys, nil
}

// dtlsBacklog is how many DTLS records wait to be read; more are lost, as on
// any network.
const dtlsBacklog = 32

// dtlsLink is the net.PacketConn that DTLS runs over: records that a reactor
// has picked out.
type dtlsLink struct {
	send   func(b []byte, to netip.AddrPort) error
	local  netip.AddrPort
	remote netip.AddrPort

	in      chan []byte
	timeout *deadline.Deadline
	closing sync.Once
	closed  chan struct{}
}

func newDTLSLink(send func([]byte, netip.AddrPort) error, local netip.AddrPort) *dtlsLink {
	return &dtlsLink{
		send: send, local: local, in: make(chan []byte, dtlsBacklog),
		timeout: deadline.New(), closed: make(chan struct{}),
	}
}

// deliver queues a copy of a record.
func (l *dtlsLink) deliver(b []byte) {
	select {
	case l.in <- append([]byte(nil), b...):
	default:
	}
}

// ReadFrom implements net.PacketConn.
func (l *dtlsLink) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case record := <-l.in:
		return copy(b, record), net.UDPAddrFromAddrPort(l.remote), nil
	case <-l.timeout.Done():
		return 0, nil, context.DeadlineExceeded
	case <-l.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn.
func (l *dtlsLink) WriteTo(b []byte, _ net.Addr) (int, error) {
	if err := l.send(b, l.remote); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (l *dtlsLink) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return nil
}

// LocalAddr implements net.PacketConn.
func (l *dtlsLink) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(l.local) }

// SetDeadline implements net.PacketConn.
func (l *dtlsLink) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (l *dtlsLink) SetReadDeadline(t time.Time) error {
	l.timeout.Set(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn; writes never wait.
func (l *dtlsLink) SetWriteDeadline(time.Time) error { return nil }
