package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"github.com/sluice-live/sluice/internal/appdata"
)

// joinTimeout bounds a join, from the first request to the end of the DTLS
// handshake.
const joinTimeout = 20 * time.Second

// side is what all peers towards one endpoint share.
type side struct {
	endpoint string
	bearer   string
	http     *http.Client
	identity identity
	local    netip.Addr // that reaches the server
}

func newSide(ctx context.Context, endpoint, bearer string, client *http.Client, id identity) (*side, error) {
	local, err := localAddress(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	return &side{endpoint: endpoint, bearer: bearer, http: client, identity: id, local: local}, nil
}

// localAddress asks the routing table from which address the server is reached.
func localAddress(ctx context.Context, endpoint string) (netip.Addr, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return netip.Addr{}, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "9"))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("no way to the server: %w", err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return local.WithZone(""), conn.Close()
}

// media takes what arrives for a peer beside STUN and DTLS, on the reactor's
// goroutine. Packets are still encrypted.
type media interface {
	rtp(b []byte, size int, at int64)
	rtcp(b []byte, at int64)
}

// peer is one WHIP or WHEP session with its socket, ICE and DTLS.
type peer struct {
	side     *side
	reactor  *reactor
	media    media
	socket   *socket
	ice      *iceAgent
	link     *dtlsLink
	app      *appdata.Conn // takes application data; nil: DTLS does
	remote   netip.AddrPort
	conn     *dtls.Conn
	resource *resource
	answer   *answer
}

// open gives the peer its socket.
func (p *peer) open() error {
	err := errors.New("the reactor has ended")
	p.reactor.do(func() {
		if p.socket, err = p.reactor.poller.open(p.side.local, p); err != nil {
			return
		}
		p.ice = newICEAgent(p.socket.send)
		p.link = newDTLSLink(p.socket.send, p.socket.local)
	})
	return err
}

// connect does everything from the offer to the SRTP keys. answered is called
// on the reactor's goroutine, before anything can arrive.
func (p *peer) connect(ctx context.Context, o offer, answered func(*answer)) (*srtp.Config, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	o.local, o.fingerprint, o.candidate = p.ice.local, p.side.identity.fingerprint, p.socket.local
	if err := p.post(ctx, o.String()); err != nil {
		return nil, fmt.Errorf("POST: %w", err)
	}
	var err error
	if p.answer, err = parseAnswer(p.resource.answer); err != nil {
		return nil, err
	}
	p.reactor.do(func() { answered(p.answer) })
	if p.remote, err = p.ice.connect(ctx, p.answer.remote, p.answer.reachable(p.side.local)); err != nil {
		return nil, err
	}
	p.link.remote = p.remote
	stop := p.ice.insist(p.remote)
	defer stop()
	conn, keys, err := p.side.identity.handshake(ctx, p.link, p.answer.dtlsClient, p.answer.fingerprint)
	p.conn = conn
	return keys, err
}

// Waits between attempts to post, when the server does not say one.
const (
	retryLeast = 100 * time.Millisecond
	retryMost  = time.Second
)

// post tries until the server takes the session: the stream may not be live
// yet, and the server may ask for patience.
func (p *peer) post(ctx context.Context, offer string) error {
	var refused error // the last time
	for wait := retryLeast; ; wait = min(2*wait, retryMost) {
		var err error
		p.resource, err = post(ctx, p.side.http, p.side.endpoint, p.side.bearer, offer)
		if err != nil && ctx.Err() != nil && refused != nil {
			return refused
		}
		status, ok := errors.AsType[*statusError](err)
		if !ok || !status.temporary() {
			return err
		}
		refused = err
		pause := max(status.retry, wait)
		pause += rand.N(pause / 4)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return refused
		}
	}
}

// temporary reports whether the same request may succeed later. MediaMTX and
// others answer 404 for a stream that is not live.
func (e *statusError) temporary() bool {
	switch e.status {
	case http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// receive implements receiver (RFC 7983).
func (p *peer) receive(b []byte, size int, from netip.AddrPort, at int64) {
	if len(b) < rtpHeaderBytes {
		return
	}
	switch first := b[0]; {
	case first >= 128 && first < 192:
		if b[1] >= 192 && b[1] < 224 {
			p.media.rtcp(b, at)
		} else {
			p.media.rtp(b, size, at)
		}
	case first < 4:
		p.ice.receive(b, from, at)
	case first >= 20 && first < 64:
		if p.app != nil {
			left, _ := p.app.Take(b)
			b = b[:left]
		}
		if len(b) > 0 {
			p.link.deliver(b)
		}
	}
}

// ended reports whether the server has closed the association.
func (p *peer) ended() bool {
	select {
	case <-p.link.closed:
		return true
	default:
		return false
	}
}

// close ends the session and frees everything.
func (p *peer) close(ctx context.Context) error {
	var errs []error
	if p.resource != nil {
		errs = append(errs, p.resource.delete(ctx))
	}
	if p.conn != nil {
		errs = append(errs, p.conn.Close())
	}
	if p.socket != nil {
		p.reactor.do(func() { errs = append(errs, p.reactor.poller.drop(p.socket)) })
	}
	return errors.Join(errs...)
}
