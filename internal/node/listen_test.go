package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// A server that stops finishes what it has been asked, and does not wait for
// connections on which nothing was.
func TestShutdown(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	s, err := newServer("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, "done")
	}), TLSConfig{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	unused, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer unused.Close()
	got := make(chan string, 1)
	go func() {
		res, err := http.Get(s.url())
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		got <- string(text)
	}()
	<-asked
	stopped := make(chan error, 1)
	began := time.Now()
	go func() { stopped <- s.shutdown(context.Background()) }()
	if _, err := unused.Read(make([]byte, 1)); err == nil {
		t.Error("a connection on which nothing was asked is answered")
	}
	t.Logf("an unused connection is closed after %v", time.Since(began).Round(time.Millisecond))
	close(answer)
	if text := <-got; text != "done" {
		t.Errorf("the request that ran got %q", text)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
