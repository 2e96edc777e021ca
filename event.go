package sluice

import "time"

// EventKind says what has happened.
type EventKind string

const (
	EventStreamStarted     EventKind = "stream-started" // its first publisher is there
	EventStreamEnded       EventKind = "stream-ended"   // nobody has come back within the grace time
	EventSessionJoined     EventKind = "session-joined" // a publisher or viewer is connected
	EventSessionLeft       EventKind = "session-left"
	EventTrackPublished    EventKind = "track-published" // a publisher sends video, or audio
	EventTrackUnpublished  EventKind = "track-unpublished"
	EventRecordingStarted  EventKind = "recording-started"
	EventRecordingFinished EventKind = "recording-finished"
)

// Event is something that has happened to a stream, for those outside who want to know.
// What it points at is not changed any more.
type Event struct {
	Kind      EventKind
	Stream    string
	At        time.Time
	Session   *Session   // of EventSession and EventTrack
	Track     *SentTrack // of EventTrack
	Recording *Recording // of EventRecording
}

// Session is a publisher or a viewer as events tell of it.
type Session struct {
	ID        string // public; not the secret of the session URL
	Grant     Grant
	Publisher bool
	Since     time.Time // when it was connected
}

// SentTrack is the video, or the audio, that a publisher sends, with all its layers.
type SentTrack struct {
	Video     bool
	Codec     string  // as in SDP: "H264", "opus"
	Simulcast bool    // of several layers
	Layers    []Layer // of video, best first; those that are known
}
