package whep

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// session is a viewer with its event streams.
type session struct {
	Viewer
	video int // number of the offer's video section, -1: none

	mu      sync.Mutex
	streams []*eventStream // oldest first
	call    reconnectCall
}

// reconnectCall is the newest request to the player to come back.
type reconnectCall struct {
	count int // 0: none yet
	url   string
	wait  time.Duration // for which there may be no answer at url yet
	newer chan struct{} // closed when there is a newer one
}

func newSession(v Viewer, video int) *session {
	return &session{Viewer: v, video: video, call: reconnectCall{newer: make(chan struct{})}}
}

func (s *session) reconnect(url string, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.call.newer)
	s.call = reconnectCall{count: s.call.count + 1, url: url, wait: wait, newer: make(chan struct{})}
}

// listens reports whether the player has asked for reconnect events.
func (s *session) listens() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.streams, func(es *eventStream) bool { return es.types&eventReconnect != 0 })
}

func (s *session) reconnectCall() reconnectCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.call
}

// open adds an event stream. When there are most already, the oldest ends: a
// player that loses its connection makes a new one and leaves the old behind.
func (s *session) open(types eventSet, most int) *eventStream {
	es := newEventStream(types)
	var oldest *eventStream
	s.mu.Lock()
	if len(s.streams) >= most {
		oldest = s.streams[0]
		s.streams = slices.Delete(s.streams, 0, 1)
	}
	s.streams = append(s.streams, es)
	s.mu.Unlock()
	if oldest != nil {
		oldest.end()
	}
	return es
}

func (s *session) stream(id string) (*eventStream, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.streams, func(es *eventStream) bool { return es.id == id })
	if i < 0 {
		return nil, false
	}
	return s.streams[i], true
}

// drop ends an event stream and whoever reads it.
func (s *session) drop(id string) bool {
	es, ok := s.stream(id)
	if !ok {
		return false
	}
	s.mu.Lock()
	s.streams = slices.DeleteFunc(s.streams, func(other *eventStream) bool { return other == es })
	s.mu.Unlock()
	es.end()
	return true
}

// eventStream is one server-sent event stream of a session. Nothing is queued:
// it remembers what its reader has been told, and tells what has changed since.
type eventStream struct {
	id    string
	types eventSet

	turn chan struct{} // holds one token; the reader that has it owns the two below
	told told
	seq  uint64 // id of the last event

	mu    sync.Mutex
	stop  chan struct{} // closed to end the present reader
	ended bool          // no reader comes any more
}

func newEventStream(types eventSet) *eventStream {
	es := &eventStream{id: rand.Text(), types: types, turn: make(chan struct{}, 1), stop: make(chan struct{})}
	es.turn <- struct{}{}
	return es
}

// supersede ends the present reader and returns the new one's stop channel.
func (es *eventStream) supersede() <-chan struct{} {
	es.mu.Lock()
	defer es.mu.Unlock()
	if !es.ended {
		close(es.stop)
		es.stop = make(chan struct{})
	}
	return es.stop
}

// end ends the present reader and all later ones.
func (es *eventStream) end() {
	es.mu.Lock()
	defer es.mu.Unlock()
	if !es.ended {
		es.ended = true
		close(es.stop)
	}
}
