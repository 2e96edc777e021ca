package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// countingListener counts the writes of its connections.
type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

// Accept implements net.Listener.
func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.writes}, err
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

// Write implements net.Conn.
func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// TestFlights sends bodies around the size of records and flights over HTTP/1.1 and
// HTTP/2: they come whole, in fewer writes than records.
func TestFlights(t *testing.T) {
	t.Parallel()
	var writes atomic.Int64
	files, roots := testCertificate(t)
	for _, h2 := range []bool{false, true} {
		s, err := newServer("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := strconv.Atoi(r.URL.Path[1:])
			if err != nil {
				t.Error(err)
			}
			body := make([]byte, n)
			for i := range body {
				body[i] = byte(i * 7 >> 3)
			}
			w.Header().Set("Content-Length", strconv.Itoa(n))
			_, _ = w.Write(body)
		}), files, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		secure := s.listener.(*secureListener)
		secure.Listener = countingListener{secure.Listener, &writes}
		served := make(chan error, 1)
		go func() { served <- s.serve() }()
		client, idle := testClient(roots, h2)
		get := func(n int) {
			t.Helper()
			answer, err := client.Get(s.url() + "/" + strconv.Itoa(n))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || len(body) != n || answer.ProtoMajor == 2 != h2 {
				t.Errorf("%d bytes of %d by %s: %v", len(body), n, answer.Proto, err)
			}
			for i := range body {
				if body[i] != byte(i*7>>3) {
					t.Fatalf("%d bytes: byte %d is wrong", n, i)
				}
			}
		}
		get(1 << 20) // records have their full size from here on
		for _, n := range []int{0, 1, 8192, 16384 - 9, 16384, 16385, flightSize - 100, flightSize, flightSize + 1, 3*flightSize + 5} {
			get(n)
		}
		writes.Store(0)
		get(1 << 20)
		if got := writes.Load(); got > 1<<20>>14 {
			t.Errorf("HTTP/2 %v: %d writes for %d full records", h2, got, 1<<20>>14)
		}
		idle()
		if err := errors.Join(s.shutdown(t.Context()), <-served); err != nil {
			t.Error(err)
		}
	}
}

// plainSide returns both ends of a TLS connection over a pipe, which holds nothing.
func plainSide(t *testing.T) (*flightConn, *tls.Conn) {
	t.Helper()
	files, roots := testCertificate(t)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	below := &recordConn{Conn: near, pools: newFlightPools()}
	server := tls.Server(below, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true})
	client := tls.Client(far, &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS13})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return &flightConn{Conn: server, below: below, pools: below.pools}, client
}

// What was written before Close arrives.
func TestFlightBeforeClose(t *testing.T) {
	t.Parallel()
	c, far := plainSide(t)
	if n, err := c.Write([]byte("last words")); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A flight that nobody takes ends with its deadline, and the connection with it.
func TestFlightDeadline(t *testing.T) {
	t.Parallel()
	c, far := plainSide(t)
	if err := c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.Write(make([]byte, 2*flightSize)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	_ = far.NetConn().Close()
	_ = c.Close() // its farewell has nobody to go to
	if c.below.held != nil || c.held != nil {
		t.Error("a buffer is left behind")
	}
}

// A connection whose user sets no deadline has one for each flight all the same.
func TestFlightWithoutDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, far := plainSide(t)
		taken := make(chan struct{})
		go func() {
			defer close(taken)
			_, _ = io.CopyN(io.Discard, far, 10*flightSize)
		}()
		for range 10 { // each with time left, though they take longer than one has
			if _, err := c.Write(make([]byte, flightSize)); err != nil {
				t.Fatal(err)
			}
			<-time.After(writeTimeout / 5)
		}
		<-taken
		start := time.Now()
		if _, err := c.Write(make([]byte, flightSize)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > writeTimeout || took < writeTimeout-limitStep {
			t.Errorf("it ended after %v", took)
		}
		_ = far.NetConn().Close()
		_ = c.Close()
	})
}

// Who speaks HTTP to a port of HTTPS is told.
func TestPlainRequestToTLS(t *testing.T) {
	t.Parallel()
	files, _ := testCertificate(t)
	s, err := newServer("127.0.0.1:0", http.NotFoundHandler(), files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", answer.StatusCode)
	}
	if err := errors.Join(s.shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
}

// testCertificate writes a certificate and its key.
func testCertificate(t *testing.T) (TLSConfig, *x509.CertPool) {
	t.Helper()
	model := httptest.NewTLSServer(http.NotFoundHandler())
	defer model.Close()
	pair := model.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSConfig{Cert: filepath.Join(t.TempDir(), "cert.pem"), Key: filepath.Join(t.TempDir(), "key.pem")}
	for path, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, files.Key: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(model.Certificate())
	return files, roots
}

// testClient speaks HTTP/2 or not. idle closes its connections.
func testClient(roots *x509.CertPool, h2 bool) (client *http.Client, idle func()) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetHTTP2(h2)
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// TestS80HTTP2OverTLS: with a certificate the node speaks HTTP/2 with those that
// can, and HTTP/1.1 with the others.
func TestS80HTTP2OverTLS(t *testing.T) {
	t.Parallel()
	files, roots := testCertificate(t)
	s, err := newServer("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}), files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	for proto, newer := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		client, idle := testClient(roots, newer)
		answer, err := client.Get(s.url())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		idle()
		if string(text) != proto {
			t.Errorf("%s, want %s", text, proto)
		}
	}
	if err := s.shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
