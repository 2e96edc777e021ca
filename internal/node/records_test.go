package node

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
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

// TestRecordsTogether sends bodies around the size of full records over HTTP/1.1
// and HTTP/2: they come whole, in fewer writes than records.
func TestRecordsTogether(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		var writes atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		}))
		s.Listener = newRecordListener(countingListener{s.Listener, &writes})
		s.EnableHTTP2 = h2
		s.StartTLS()
		get := func(n int) {
			t.Helper()
			request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL+"/"+strconv.Itoa(n), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := s.Client().Do(request)
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
		for _, n := range []int{0, 1, 16384 - 9, 16384, 16385, 2 * 16384, 4*16384 - 9, 100_000} {
			get(n)
		}
		writes.Store(0)
		get(1 << 20)
		if got := writes.Load(); !h2 && got > 1<<20>>14/3+2 || got > 1<<20>>14+16 {
			t.Errorf("HTTP/2 %v: %d writes for %d full records", h2, got, 1<<20>>14)
		}
		s.Close()
	}
}

// TestFullRecordIsSent: a message that ends with a full record is sent without
// another one.
func TestFullRecordIsSent(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	c := &recordConn{Conn: near, buffers: newRecordListener(nil).buffers}
	record := append([]byte{applicationData, 3, 3, 0x40, 0x11}, bytes.Repeat([]byte{1}, 0x4011)...)
	got := make(chan []byte, 1)
	go func() {
		b := make([]byte, len(record))
		_, _ = io.ReadFull(far, b)
		got <- b
	}()
	if n, err := c.Write(record); n != len(record) || err != nil {
		t.Fatal(n, err)
	}
	if !bytes.Equal(<-got, record) {
		t.Error("the record has changed")
	}
	_ = far.Close()
	_ = near.Close()
	if _, err := c.Write([]byte{21}); err == nil {
		t.Error("no error after the end")
	}
}

// TestS80HTTP2OverTLS: with a certificate the node speaks HTTP/2 with those that
// can, and HTTP/1.1 with the others.
func TestS80HTTP2OverTLS(t *testing.T) {
	t.Parallel()
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
	s, err := newServer("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}), files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	for proto, newer := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		transport := model.Client().Transport.(*http.Transport).Clone()
		transport.ForceAttemptHTTP2 = newer
		if !newer {
			transport.Protocols = new(http.Protocols)
			transport.Protocols.SetHTTP1(true)
		}
		answer, err := (&http.Client{Transport: transport}).Get(s.url())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		transport.CloseIdleConnections()
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
