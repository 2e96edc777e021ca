package sfu

import (
	"sync"
	"time"

	"github.com/sluice-live/sluice"
)

// account tells those outside of a session, in order: that it has connected, what
// it sends, that it has ended. Its zero value, that of relays and branches, tells
// nothing. Deps.Tell is called with locks held, so that the order is the true one.
type account struct {
	stream *stream // nil: nobody is told

	mu     sync.Mutex
	who    sluice.Session
	joined bool
	left   bool
	tracks []*sluice.SentTrack // that were told of
}

// keepAccount begins the account of a session.
func (ses *session) keepAccount(st *stream, o sluice.Offer) {
	if st.sfu.deps.Tell == nil {
		return
	}
	ses.account.stream = st
	ses.account.who = sluice.Session{ID: ses.id, Grant: o.Grant, Publisher: ses.role == publishing}
}

// join tells that the session is connected.
func (a *account) join() {
	if a.stream == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tellJoined()
}

// tellJoined tells it once, whichever comes first: the connection's state or its
// media. mu is held.
func (a *account) tellJoined() {
	if a.joined || a.left {
		return
	}
	a.joined, a.who.Since = true, time.Now()
	a.tell(sluice.EventSessionJoined, nil)
}

// publish tells of the first layer of video, or of audio.
func (a *account) publish(l *layer, simulcast bool) {
	if a.stream == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tellJoined()
	for _, t := range a.tracks {
		if t.Video == l.codec.Video() {
			return
		}
	}
	if a.left {
		return
	}
	t := &sluice.SentTrack{Video: l.codec.Video(), Codec: l.codec.String(), Simulcast: simulcast && l.codec.Video()}
	a.tracks = append(a.tracks, t)
	a.tell(sluice.EventTrackPublished, t)
}

// leave tells that the session has ended, if anybody knows of it. layers are what
// it has sent.
func (a *account) leave(layers []*layer) {
	if a.stream == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left {
		return
	}
	a.left = true
	if !a.joined {
		return
	}
	for _, t := range a.tracks {
		last := *t
		if t.Video {
			for _, l := range ranked(layers) {
				if l.codec.Video() {
					last.Layers = append(last.Layers, l.video(a.stream.sfu.now()))
				}
			}
		}
		a.tell(sluice.EventTrackUnpublished, &last)
	}
	a.tell(sluice.EventSessionLeft, nil)
}

// tell hands an event over. mu is held.
func (a *account) tell(kind sluice.EventKind, t *sluice.SentTrack) {
	who := a.who
	a.stream.told.Store(true)
	a.stream.sfu.deps.Tell(sluice.Event{Kind: kind, Stream: a.stream.name, At: time.Now(), Session: &who, Track: t})
}

// tellEnded tells that a stream is over on this node, if anybody knows of it.
func (st *stream) tellEnded() {
	if st.told.Load() {
		st.sfu.deps.Tell(sluice.Event{Kind: sluice.EventStreamEnded, Stream: st.name, At: time.Now()})
	}
}
