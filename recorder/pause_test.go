package recorder

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// TestBreakInAPause has a publisher's tracks come while nobody counts as publishing
// yet: the time of the pause goes on from where it was.
func TestBreakInAPause(t *testing.T) {
	nobody := newStudio()
	nobody.set(sluice.StreamOffline)
	r, stop := newRecorder(t, config(), nobody, memoryStore(), &listener{})
	defer stop()
	media := newStudio(film(t, 1, "", "H264", 320, true))
	s := newShow(r, "demo", media)
	for range 20 {
		s.follow(media.Read(s.take))
		s.keepTime(s.now())
	}
	media.set(sluice.StreamPaused)
	look := func(later time.Duration) {
		media.mu.Lock()
		media.now += later
		media.mu.Unlock()
		s.follow(media.Read(s.take))
		s.pause(s.now())
	}
	look(0)
	look(5 * time.Second)
	if s.left.IsZero() {
		t.Fatal("there is no pause")
	}
	s.split()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		look(5 * time.Second)
	}()
	select {
	case <-looked:
	case <-time.After(20 * time.Second):
		t.Fatal("it cuts all time since the first year")
	}
	if age := s.now().Sub(s.cut); age < 0 || age > 5*time.Second {
		t.Errorf("the newest segment of the pause began %v ago", age)
	}
	s.finish(ended)
}
