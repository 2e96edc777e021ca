package node

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
