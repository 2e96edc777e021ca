package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// chatSocket is a bot's WebSocket.
type chatSocket struct {
	ws     *websocket.Conn
	cancel context.CancelFunc
	reader sync.WaitGroup
}

// DialChat connects a bot by WebSocket to the chat at an URL such as
// http://host/chat/stream.
func DialChat(ctx context.Context, url, token string, take func(frame []byte)) (ChatConn, error) {
	protocols := []string{"sluice.chat"}
	if token != "" {
		protocols = append(protocols, "bearer."+token)
	}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		return nil, fmt.Errorf("join chat: %w", err)
	}
	ws.SetReadLimit(1 << 20)
	reading, cancel := context.WithCancel(context.Background())
	s := &chatSocket{ws: ws, cancel: cancel}
	s.reader.Go(func() {
		for {
			_, frame, err := ws.Read(reading)
			if err != nil {
				return
			}
			take(frame)
		}
	})
	return s, nil
}

// Send implements ChatConn.
func (s *chatSocket) Send(frame []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return s.ws.Write(ctx, websocket.MessageText, frame)
}

// Close implements ChatConn.
func (s *chatSocket) Close() error {
	s.cancel()
	err := s.ws.CloseNow()
	s.reader.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Write prints the report for people.
func (r *ChatReport) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "members      %d, %d failed\n", r.Members, r.Failed)
	fmt.Fprintf(&b, "messages     %d sent in %.0f s, %d confirmed, %d delivered, %d lost, %d twice\n", r.Sent, r.Seconds, r.Confirmed, r.Delivered, r.Lost, r.Twice)
	fmt.Fprintf(&b, "orders       %d\n", r.Orders)
	fmt.Fprintf(&b, "delay        p50 %.1f ms, p99 %.1f ms, most %.1f ms\n", r.P50, r.P99, r.Max)
	if r.ServerCPU > 0 {
		fmt.Fprintf(&b, "server       %.2f cores, %.0f messages delivered for each core-second\n", r.ServerCPU, r.PerCore)
	}
	fmt.Fprintf(&b, "client       %.2f cores\n", r.ClientCPU)
	for _, counts := range []map[string]int{r.Refused, r.Errors} {
		for what, n := range counts {
			fmt.Fprintf(&b, "%-12d %s\n", n, what)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
