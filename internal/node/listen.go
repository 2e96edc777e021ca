package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// server is an HTTP server with its listener.
type server struct {
	http     *http.Server
	listener net.Listener
	scheme   string
	unused   sync.Map // net.Conn on which no request has begun
}

// newServer listens at once, so that its address is known; serve accepts.
func newServer(addr string, handler http.Handler, files TLSConfig, log *slog.Logger) (*server, error) {
	s := &server{scheme: "http"}
	s.http = &http.Server{
		ConnState:         s.connState,
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	var secure *tls.Config
	if files.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, fmt.Errorf("http.tls: %w", err)
		}
		s.scheme = "https"
		secure = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
		s.http.Protocols = new(http.Protocols)
		s.http.Protocols.SetHTTP1(true)
		s.http.Protocols.SetUnencryptedHTTP2(true) // as secureListener gives it
		// No table of header fields for each connection: most answers have some that
		// never come again, which push out the others, and by the next answer the
		// table is no longer in the processor's caches. 200 bytes more cost less.
		s.http.HTTP2 = &http.HTTP2Config{MaxEncoderHeaderTableSize: 1}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if secure != nil {
		listener = newSecureListener(listener, secure)
	}
	s.listener = listener
	return s, nil
}

// serve accepts connections until the server is shut down.
func (s *server) serve() error {
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
}

func (s *server) connState(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.unused.Store(c, nil)
	} else {
		s.unused.Delete(c)
	}
}

// shutdown stops accepting, waits for running requests until ctx ends, and then
// cuts those that are left. Connections that clients have opened in advance are
// closed at once: net/http would give each five seconds to send a request.
func (s *server) shutdown(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.http.Shutdown(ctx) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		case <-tick.C:
			s.unused.Range(func(c, _ any) bool {
				_ = c.(net.Conn).Close() // nobody has asked for anything there
				return true
			})
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // the rest is cut, as announced
	}
	return errors.Join(err, s.close())
}

// close frees the listener of a server that may never have served.
func (s *server) close() error {
	err := errors.Join(s.http.Close(), s.listener.Close())
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// url is where a client on this machine reaches the server.
func (s *server) url() string {
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return s.scheme + "://" + s.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return (&url.URL{Scheme: s.scheme, Host: net.JoinHostPort(host, port)}).String()
}

// address is where the other nodes reach this one.
func (n *Node) address() string {
	for _, set := range []string{n.config.Node.URL, n.config.HTTP.PublicURL} {
		if set != "" {
			return set
		}
	}
	host, port, err := net.SplitHostPort(n.public.listener.Addr().String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return n.public.url()
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return n.public.url()
	}
	for _, a := range addrs {
		if one, ok := a.(*net.IPNet); ok && one.IP.IsGlobalUnicast() {
			return n.public.scheme + "://" + net.JoinHostPort(one.IP.String(), port)
		}
	}
	return n.public.url()
}
