package wishtest

import (
	"sync"

	sluice "github.com/sluice-live/sluice"
)

// Steps is a server's step of overload that a test sets.
type Steps struct {
	mu      sync.Mutex
	step    sluice.Step
	changed chan struct{}
}

// Set takes a step.
func (s *Steps) Set(step sluice.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step = step
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = nil
}

// Now is for wish.Config.
func (s *Steps) Now() (sluice.Step, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.step, s.changed
}
