package sluice

import "time"

// Recording is one show of a stream as it is kept: from the publisher's first
// media to the end of the grace time after its last.
type Recording struct {
	ID      string    `json:"id"` // unique and sortable by start; safe in a URL and in a file name
	Stream  string    `json:"stream"`
	Started time.Time `json:"started"`        // capture time of the first sample
	Ended   time.Time `json:"ended,omitzero"` // zero while it runs
}

// ThumbnailEvery is the time between two thumbnails of a recording: number n
// shows the moment n times that after Started.
const ThumbnailEvery = 10 * time.Second

// RenditionKind says what a rendition holds.
type RenditionKind string

const (
	RenditionVideo RenditionKind = "video"
	RenditionAudio RenditionKind = "audio"
)

// Rendition is one playable track of a recording: a layer, or the audio in one
// codec.
type Rendition struct {
	ID        string        `json:"id"` // unique in the recording; safe in a URL and in a file name
	Kind      RenditionKind `json:"kind"`
	Codecs    string        `json:"codecs"`              // RFC 6381
	Width     int           `json:"width,omitempty"`     // pixels
	Height    int           `json:"height,omitempty"`    // pixels
	FrameRate float64       `json:"frameRate,omitempty"` // frames per second
	Channels  int           `json:"channels,omitempty"`  // of audio
	Default   bool          `json:"default,omitempty"`   // the audio that plays with every video
	Peak      int           `json:"peak"`                // bits per second: the greatest of any segment so far
	Average   int           `json:"average"`             // bits per second over all segments so far
}

// Segment is a piece of a rendition, about two seconds long. It begins with a
// keyframe where the rendition is video. While it grows, only Sequence, Init,
// Start, Discontinuity and Breaks are known, and they do not change.
type Segment struct {
	Sequence      uint64        `json:"seq"`   // media sequence number: rises by one, is never used twice
	Init          int           `json:"init"`  // version of the init section that it needs
	Start         time.Time     `json:"start"` // capture time of its first sample, on the clock that all renditions share
	Duration      time.Duration `json:"duration"`
	Size          int64         `json:"size"` // bytes
	Parts         []Part        `json:"parts"`
	Discontinuity bool          `json:"discontinuity,omitempty"` // timestamps, codec or content break before it
	Breaks        uint64        `json:"breaks,omitempty"`        // its discontinuity sequence number (RFC 8216bis section 6.2.2), the same in all renditions
	Gap           bool          `json:"gap,omitempty"`           // there is no media: a GAP in the playlist
	Repaired      bool          `json:"repaired,omitempty"`      // what a crash has left of it: less than players may have seen
	Key           ByteRange     `json:"key,omitzero"`            // of a video: the fragment that holds its first keyframe
}

// Part is a piece of a segment that a player may fetch before the segment is
// finished (LL-HLS partial segment).
type Part struct {
	Index       int           `json:"index"`                 // in its segment, from 0
	Duration    time.Duration `json:"duration"`              // at most LongestPart of the nominal length
	Bytes       ByteRange     `json:"bytes"`                 // inside the segment
	Independent bool          `json:"independent,omitempty"` // begins with a keyframe
	Gap         bool          `json:"gap,omitempty"`
}

// LongestPart is how long a part may get for a nominal length: frames do not
// divide that evenly. It is the part target of playlists.
func LongestPart(nominal time.Duration) time.Duration { return nominal + nominal/10 }

// ByteRange is a piece of a file.
type ByteRange struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}
