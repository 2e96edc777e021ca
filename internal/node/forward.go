package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

const (
	// Headers of a request that another node passes on: its ticket, and the
	// caller's address.
	forwardTicket = "Sluice-Ticket"
	forwardRemote = "Sluice-Remote"

	forwardDial   = time.Second
	forwardAnswer = 12 * time.Second // longer than an ICE restart may take
	forwardWrite  = 10 * time.Second // that a reader may leave an answer unread
)

// forwarder passes requests about a session on to the node that has it: behind a
// balancer they come to any node. A session's URL ends with the id of its node.
type forwarder struct {
	self    string
	most    int // bytes of a body
	tickets *auth.Tickets
	find    func(ctx context.Context, id string) (sluice.Node, error)
	limiter *wish.Limiter
	log     *slog.Logger

	transport *http.Transport
	ctx       context.Context // ends what is passed on
	close     context.CancelFunc
}

// newForwarder makes the forwarder of a node that has company, nil for any other.
func (n *Node) newForwarder() *forwarder {
	if n.relays == nil {
		return nil
	}
	f := &forwarder{
		self: n.cluster.id, most: n.config.Limits.SDPBytes, tickets: n.relays.tickets, find: n.place.find, limiter: n.limiter, log: n.log,
		transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: forwardDial}).DialContext, TLSHandshakeTimeout: forwardDial,
			ResponseHeaderTimeout: forwardAnswer, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
		},
	}
	f.ctx, f.close = context.WithCancel(context.Background())
	return f
}

// stop ends what is passed on. It is for nil too.
func (f *forwarder) stop() {
	if f != nil {
		f.close()
		f.transport.CloseIdleConnections()
	}
}

// handle is a middleware of the routes of sessions.
func (f *forwarder) handle(c *gin.Context) {
	passed := c.GetHeader(forwardTicket) != ""
	_, owner, named := strings.Cut(c.Param("session"), ".")
	if !speaksWish(c) || !passed && (!named || owner == f.self) || c.Request.Method == http.MethodOptions {
		return
	}
	var err error
	if passed {
		err = f.take(c)
	} else {
		err = f.pass(c, owner)
	}
	if err != nil {
		wish.CORS(c.Writer.Header(), c.Request.Method)
		problem.Write(c.Writer, c.Request, err)
		c.Abort()
	}
}

// aboutForward is what a ticket says of a request.
func aboutForward(r *http.Request, remote string) string {
	return r.Method + " " + r.URL.Path + " of " + remote
}

// body reads a request's body, which it keeps.
func (f *forwarder) body(c *gin.Context) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, int64(f.most)))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, sluice.Errorf(sluice.CodeTooLarge, "the body has more than %d bytes", f.most)
	} else if err != nil {
		return nil, sluice.Errorf(sluice.CodeInvalid, "the body does not come")
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// take believes another node who the caller is.
func (f *forwarder) take(c *gin.Context) error {
	r := c.Request
	body, err := f.body(c)
	if err != nil {
		return err
	}
	remote, bad := netip.ParseAddr(r.Header.Get(forwardRemote))
	if bad != nil {
		return sluice.Errorf(sluice.CodeInvalid, "the address of the caller is missing")
	}
	if _, _, err := f.tickets.Check(r.Header.Get(forwardTicket), aboutForward(r, remote.String()), body); err != nil {
		return f.limiter.Refuse(wish.Remote(r), err)
	}
	r.Header.Del(forwardTicket)
	r.Header.Del(forwardRemote)
	r.RemoteAddr = netip.AddrPortFrom(remote, 0).String()
	return nil
}

// pass asks the node that has the session. One that is gone has taken it along:
// then this node answers, as for any session that does not exist.
func (f *forwarder) pass(c *gin.Context, owner string) error {
	remote := wish.Remote(c.Request)
	if err := f.limiter.Allow(remote); err != nil {
		return err
	}
	at, err := f.find(c.Request.Context(), owner)
	if sluice.CodeOf(err) == sluice.CodeNotFound {
		return nil
	} else if err != nil {
		return err
	}
	to, err := url.Parse(strings.TrimSuffix(at.URL, "/"))
	if err != nil || to.Host == "" {
		return nil
	}
	body, err := f.body(c)
	if err != nil {
		return err
	}
	ticket, _, err := f.tickets.Sign(owner, aboutForward(c.Request, remote.String()), body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	var failed error
	proxy := httputil.ReverseProxy{
		Transport: f.transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Header.Set(obs.RequestIDHeader, c.Writer.Header().Get(obs.RequestIDHeader))
			p.Out.Header.Set(forwardTicket, ticket)
			p.Out.Header.Set(forwardRemote, remote.String())
		},
		ModifyResponse: func(resp *http.Response) error {
			for name := range resp.Header { // those of the middlewares here
				c.Writer.Header().Del(name)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(&patient{c.Writer}, c.Request.WithContext(ctx))
	switch {
	case failed == nil:
		c.Abort()
		return nil
	case errors.Is(failed, syscall.ECONNREFUSED):
		return nil
	}
	f.log.Debug("pass a request on", "node", owner, "err", failed)
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node of this session does not answer", RetryAfter: time.Second, Err: failed}
}

// patient is a writer of answers that may last, to readers that go on reading.
type patient struct{ gin.ResponseWriter }

// Write implements io.Writer.
func (p *patient) Write(data []byte) (int, error) {
	// A recorder in a test has no connection to protect.
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(forwardWrite))
	return p.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// find is a node by its id, as it was when Redis last answered.
func (p *placer) find(ctx context.Context, id string) (sluice.Node, error) {
	node, err := p.registry.FindNode(ctx, id)
	if sluice.CodeOf(err) != sluice.CodeUnavailable {
		return node, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.lists {
		for _, n := range known.nodes {
			if n.ID == id {
				return n, nil
			}
		}
	}
	return sluice.Node{}, err
}
