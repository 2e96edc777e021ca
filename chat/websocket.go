package chat

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// queueBytes is how much may wait for a member that reads slowly.
	queueBytes = 256 << 10
	// skipBytes is the longest frame that is skipped; a longer one ends the
	// connection.
	skipBytes = 64 << 10
	// writeTimeout bounds the writing of one frame, lastWords that of what is
	// left when the connection is closed.
	writeTimeout = 10 * time.Second
	lastWords    = time.Second
	// pingEvery is how often a silent connection is tried.
	pingEvery = 25 * time.Second
)

// socket is a Conn over a WebSocket.
type socket struct {
	ws     *websocket.Conn
	ctx    context.Context // of reading and writing
	cancel context.CancelFunc
	limit  int
	buffer []byte
	done   chan struct{} // closed when the writer has ended

	more    chan struct{} // something is to be written
	closing chan struct{}
	once    sync.Once
	reason  string // set by once

	mu     sync.Mutex
	queue  [][]byte
	queued int         // bytes
	late   *time.Timer // cuts a connection that takes too long to close
	ended  bool        // there is no writer any more
}

// newSocket takes a WebSocket over. Its writer runs until Close.
func newSocket(ws *websocket.Conn, limit int) *socket {
	ctx, cancel := context.WithCancel(context.Background())
	ws.SetReadLimit(skipBytes)
	s := &socket{
		ws: ws, ctx: ctx, cancel: cancel, limit: limit, buffer: make([]byte, limit+1),
		done: make(chan struct{}), more: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	go s.write()
	return s
}

// Receive implements Conn.
func (s *socket) Receive() ([]byte, error) {
	_, r, err := s.ws.Reader(s.ctx)
	if err != nil {
		return nil, err
	}
	n, err := io.ReadFull(r, s.buffer)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return s.buffer[:n], nil
	case err != nil:
		return nil, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return nil, ErrFrameTooLong
}

// Send implements Conn.
func (s *socket) Send(frame []byte) error {
	s.mu.Lock()
	if s.queued+len(frame) > queueBytes {
		s.mu.Unlock()
		return ErrSlow
	}
	s.queue = append(s.queue, frame)
	s.queued += len(frame)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return nil
}

// Close implements Conn. What was sent before still goes out, if the peer takes
// it within a second.
func (s *socket) Close(reason string) {
	s.once.Do(func() {
		s.reason = reason
		close(s.closing)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.ended {
			s.late = time.AfterFunc(lastWords, func() { _ = s.ws.CloseNow() })
		}
	})
}

// write writes what is queued until the connection ends.
func (s *socket) write() {
	defer close(s.done)
	defer s.end()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-s.more:
			if s.flush() != nil {
				_ = s.ws.CloseNow() // the peer is gone
				return
			}
		case <-ping.C:
			ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
			err := s.ws.Ping(ctx)
			cancel()
			if err != nil {
				_ = s.ws.CloseNow()
				return
			}
		case <-s.closing:
			if s.flush() == nil && len(s.reason) < 120 {
				_ = s.ws.Close(websocket.StatusNormalClosure, s.reason) // or the peer is gone
			}
			_ = s.ws.CloseNow()
			return
		}
	}
}

// end frees what the writer leaves behind.
func (s *socket) end() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.late != nil {
		s.late.Stop()
	}
}

// flush writes what is queued now.
func (s *socket) flush() error {
	for {
		s.mu.Lock()
		frames := s.queue
		s.queue, s.queued = nil, 0
		s.mu.Unlock()
		if len(frames) == 0 {
			return nil
		}
		for _, frame := range frames {
			ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
			err := s.ws.Write(ctx, websocket.MessageText, frame)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}
