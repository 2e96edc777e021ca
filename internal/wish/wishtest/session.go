package wishtest

import (
	"context"
	"sync"

	sluice "github.com/sluice-live/sluice"
)

// Answer is the SDP answer of every Session.
const Answer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:serv\r\na=ice-pwd:serverserverserverserve\r\n" +
	"a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host\r\na=end-of-candidates\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n"

// Session is a wish.Session without media that notes what is asked of it. It
// also is a whep.Viewer.
type Session struct {
	// RestartErr and TrickleErr are what the methods return.
	RestartErr, TrickleErr, LayerErr error

	done chan struct{}

	mu       sync.Mutex
	closed   bool
	reason   string
	trickled []sluice.ICE
	restarts []sluice.ICE
	choices  []sluice.LayerChoice
}

// NewSession makes a Session that lives until Close.
func NewSession() *Session { return &Session{done: make(chan struct{})} }

// ID implements wish.Session.
func (s *Session) ID() string { return "public-id" }

// Answer implements wish.Session.
func (s *Session) Answer() string { return Answer }

// Trickle implements wish.Session.
func (s *Session) Trickle(_ context.Context, remote sluice.ICE) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trickled = append(s.trickled, remote)
	return s.TrickleErr
}

// Restart implements wish.Session.
func (s *Session) Restart(_ context.Context, remote sluice.ICE) (sluice.ICE, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.RestartErr != nil {
		return sluice.ICE{}, s.RestartErr
	}
	s.restarts = append(s.restarts, remote)
	return sluice.ICE{
		Ufrag: "newu", Pwd: "newpwdnewpwdnewpwdnewpwd", Mid: "0", Complete: true,
		Candidates: []string{"candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host"},
	}, nil
}

// SelectLayer implements whep.Viewer.
func (s *Session) SelectLayer(choice sluice.LayerChoice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.LayerErr != nil {
		return s.LayerErr
	}
	s.choices = append(s.choices, choice)
	return nil
}

// Close implements wish.Session.
func (s *Session) Close(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed, s.reason = true, reason
		close(s.done)
	}
}

// Done implements wish.Session.
func (s *Session) Done() <-chan struct{} { return s.done }

// Closed reports whether Close was called.
func (s *Session) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Trickled returns what Trickle was given.
func (s *Session) Trickled() []sluice.ICE {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sluice.ICE(nil), s.trickled...)
}

// Restarts returns what Restart was given.
func (s *Session) Restarts() []sluice.ICE {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sluice.ICE(nil), s.restarts...)
}

// Choices returns what SelectLayer was given.
func (s *Session) Choices() []sluice.LayerChoice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sluice.LayerChoice(nil), s.choices...)
}

// Auth maps bearers to grants. What is not in it is unauthenticated.
type Auth map[string]sluice.Grant

// Authorize implements wish.Authorizer.
func (a Auth) Authorize(_ context.Context, bearer string) (sluice.Grant, error) {
	g, ok := a[bearer]
	if !ok {
		return g, sluice.Errorf(sluice.CodeUnauthenticated, "the token is missing or not valid")
	}
	return g, nil
}
