package webhook

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// TestPausesGrow lets a receiver fail for half an hour.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipes{make(chan net.Conn), make(chan struct{})}
		var at []time.Time
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Now())
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
		})}
		go func() { _ = server.Serve(p) }()
		s, err := New(Config{URLs: []string{"http://a"}, Queue: 10, Timeout: time.Second, Retry: 30 * time.Minute},
			Deps{Sign: func([]byte) (string, error) { return "", nil }, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.transport.Proxy, s.transport.DialContext = nil, p.dial
		began := time.Now()
		s.Send(Message{Line: "demo", Body: []byte("body")})
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if c := s.Counters(); c.Expired != 1 || c.Queued != 0 || c.Retries != uint64(len(at)-1) {
			t.Errorf("counters %+v after %d attempts", c, len(at))
		}
		pause := firstPause
		for i := range at[1:] {
			if d := at[i+1].Sub(at[i]); d < pause/2 || d > pause*3/2 {
				t.Errorf("pause %d is %v, want about %v", i, d, pause)
			}
			pause = min(2*pause, longestPause)
		}
		if last := at[len(at)-1].Sub(began); last < 28*time.Minute || last > 30*time.Minute {
			t.Errorf("the last attempt was after %v", last)
		}
		s.Close(t.Context())
		_ = server.Close()
	})
}
