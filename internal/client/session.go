package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// session is what a publisher and a viewer share: the peer connection, the HTTP
// resource and their end.
type session struct {
	pc       *webrtc.PeerConnection
	resource *resource
	log      *slog.Logger

	ctx       context.Context // ends with the session
	cancel    context.CancelCauseFunc
	spawning  sync.Mutex     // held to start a goroutine, so that none starts during Close
	wg        sync.WaitGroup // every goroutine of the session
	connected chan struct{}
	once      sync.Once // closes connected
	closing   sync.Once
	closeErr  error
}

func (s *session) init(api *webrtc.API, log *slog.Logger) error {
	pc, err := api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		return fmt.Errorf("making the peer connection: %w", err)
	}
	s.pc, s.log = pc, log
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.connected = make(chan struct{})
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		s.log.Debug("connection", "state", state.String())
		switch state {
		case webrtc.PeerConnectionStateConnected:
			s.once.Do(func() { close(s.connected) })
		case webrtc.PeerConnectionStateFailed:
			s.end(errors.New("the connection to the server is lost"))
		case webrtc.PeerConnectionStateClosed:
			s.end(errors.New("the server closed the connection"))
		}
	})
	return nil
}

// negotiate posts the offer and takes the answer.
func (s *session) negotiate(ctx context.Context, client *http.Client, endpoint, token, local string) error {
	if client == nil {
		client = defaultHTTP()
	}
	res, err := post(ctx, client, endpoint, token, local)
	if err != nil {
		return err
	}
	s.resource = res
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: res.answer}
	if err := s.pc.SetRemoteDescription(answer); err != nil {
		return fmt.Errorf("using the answer: %w", err)
	}
	return nil
}

func (s *session) end(cause error) { s.cancel(cause) }

// spawn starts a goroutine of the session, unless the session has ended.
func (s *session) spawn(run func()) bool {
	s.spawning.Lock()
	defer s.spawning.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.wg.Go(run)
	return true
}

func (s *session) state() string { return s.pc.ConnectionState().String() }

// Connected is closed when media can flow.
func (s *session) Connected() <-chan struct{} { return s.connected }

// Done is closed when the session has ended, for whatever reason. Close must
// still be called.
func (s *session) Done() <-chan struct{} { return s.ctx.Done() }

// Err says why the session ended; nil while it runs and after Close.
func (s *session) Err() error {
	if err := context.Cause(s.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// URL returns the session's resource.
func (s *session) URL() string { return s.resource.url.String() }

// Close ends the session: it deletes the HTTP resource, closes the connection and
// waits for the goroutines. It returns what DELETE answered when that was an
// error and the session had not ended before.
func (s *session) Close() error {
	s.closing.Do(func() {
		s.spawning.Lock()
		running := s.ctx.Err() == nil
		s.end(nil)
		s.spawning.Unlock()
		if s.resource != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			if err := s.resource.delete(ctx); err != nil && running {
				s.closeErr = err
			}
			cancel()
		}
		if err := s.pc.GracefulClose(); err != nil {
			s.closeErr = errors.Join(s.closeErr, err)
		}
		s.wg.Wait()
	})
	return s.closeErr
}
