package sluice

// A relay is pulled by one node from another: the puller offers, the other
// answers with a RelayAnswer and then sends RelayNews whenever it has any.

// RelayTrack is one RTP stream of a relay: a layer, or the audio.
type RelayTrack struct {
	SSRC   uint32 `json:"ssrc"`
	Codec  string `json:"codec"`  // as in SDP
	Format string `json:"format"` // the publisher's format parameters
	RID    string `json:"rid"`
}

// Same reports whether two tracks carry the same layer in the same format.
func (t RelayTrack) Same(o RelayTrack) bool {
	t.SSRC, o.SSRC = 0, 0
	return t == o
}

// RelayAnswer is what the other node answers.
type RelayAnswer struct {
	SDP    string       `json:"sdp"`
	Tracks []RelayTrack `json:"tracks"`
}

// RelayNews is what a node knows of a stream, for those that pull it from there.
type RelayNews struct {
	Stream  Stream       `json:"stream"` // Viewers are those that the puller does not know of
	Tracks  []RelayTrack `json:"tracks"` // that a new pull would get; empty while there is no publisher
	Path    []string     `json:"path"`   // nodes from the origin to the sender
	Lease   uint64       `json:"lease"`  // generation of the origin's lease
	Leaving bool         `json:"leaving,omitempty"`
}
