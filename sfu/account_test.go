package sfu

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// diary notes what an SFU tells.
type diary struct {
	mu     sync.Mutex
	events []sluice.Event
}

func (d *diary) note(e sluice.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

// of lists the kinds of events about publishers, or about viewers, and the end of the
// stream once.
func (d *diary) of(publisher bool) (kinds []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		name := string(e.Kind)
		switch {
		case e.Session == nil && slices.Contains(kinds, name):
		case e.Session == nil || e.Session.Publisher == publisher:
			kinds = append(kinds, name)
		}
	}
	return kinds
}

func (d *diary) waits(t *testing.T, publisher bool, want ...string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !slices.Equal(d.of(publisher), want) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("told\n%s\nwant\n%s", strings.Join(d.of(publisher), "\n"), strings.Join(want, "\n"))
		}
	}
}

// newDiarySFU is an SFU whose events are noted.
func newDiarySFU(t *testing.T, cfg Config) (*SFU, *diary) {
	t.Helper()
	d := &diary{}
	cfg.MediaAddr, cfg.Loopback = "127.0.0.1:0", true
	s, err := New(cfg, Deps{Tell: d.note})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, d
}

// TestStreamsAreToldOf follows a stream to the end of its grace time.
func TestStreamsAreToldOf(t *testing.T) {
	t.Parallel()
	s, d := newDiarySFU(t, Config{Grace: 300 * time.Millisecond})
	cam := publish(t, s)
	live(t, s, 1)
	c := watch(t, s)
	c.more(t, 5)
	cam.pub.Close("test")
	back := publish(t, s)
	live(t, s, 1)
	c.more(t, 5)
	first := []string{"session-joined", "track-published", "track-unpublished", "session-left"}
	d.waits(t, true, append(first, "session-joined", "track-published")...)
	back.pub.Close("test")
	d.waits(t, true, slices.Concat(first, first, []string{"stream-ended"})...)
	d.waits(t, false, "session-joined", "session-left", "stream-ended")
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if e.Stream != "demo" || e.At.IsZero() || e.Session != nil && (e.Session.ID == "" || e.Session.Since.IsZero()) {
			t.Errorf("%+v", e)
		}
		if e.Kind == sluice.EventTrackUnpublished && (!e.Track.Video || e.Track.Codec != "VP8" || len(e.Track.Layers) != 1 || e.Track.Layers[0].Width != 320) {
			t.Errorf("track %+v", e.Track)
		}
	}
}

// TestRelaysAreNotToldOf: the node of a session tells of it, and no other.
func TestRelaysAreNotToldOf(t *testing.T) {
	t.Parallel()
	a, first := newDiarySFU(t, Config{})
	b, second := newDiarySFU(t, Config{})
	publish(t, a)
	live(t, a, 1)
	relay, _ := pullFrom(t, a, b)
	if !relay.Attach(false) {
		t.Fatal("not attached")
	}
	watch(t, b).more(t, 10)
	first.waits(t, true, "session-joined", "track-published")
	first.waits(t, false)
	second.waits(t, true)
	second.waits(t, false, "session-joined")
}

// TestStrangersAreNotToldOf: who never connects has not been there.
func TestStrangersAreNotToldOf(t *testing.T) {
	t.Parallel()
	s, d := newDiarySFU(t, Config{})
	if _, err := s.Publish(t.Context(), offerWith("v=0")); err == nil {
		t.Fatal("accepted")
	}
	p := newRawPeer(t, s)
	session, err := s.Publish(t.Context(), p.offer("sendonly"))
	if err != nil {
		t.Fatal(err)
	}
	session.Close("test")
	eventually(t, "empty SFU", func() bool { return s.Counters().StreamsNow == 0 })
	d.waits(t, true)
}
