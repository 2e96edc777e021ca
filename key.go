package sluice

import "time"

// StreamKey is what is known of a bearer that lets an encoder publish one stream
// until it is revoked. The bearer itself is shown once and kept by nobody here.
type StreamKey struct {
	ID      string    `json:"id"` // sortable by Created
	Stream  string    `json:"stream"`
	Name    string    `json:"name,omitempty"` // for people
	Created time.Time `json:"created"`
	Used    time.Time `json:"lastUsed,omitzero"` // to the minute; zero: never
}
