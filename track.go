package sluice

import "time"

// Track is one incoming RTP stream of a publisher as a tap sees it. A publisher
// that returns brings new tracks.
type Track struct {
	ID        uint64 // unique on the node
	Publisher string // public ID of the session that sends it
	RID       string // "" without simulcast
	Codec     string // as in SDP: "H264", "VP8", "VP9", "AV1", "H265", "opus"
	Format    string // the publisher's format parameters (a=fmtp)
	Video     bool
	ClockRate int // RTP ticks per second
}

// Packet is one RTP packet as a tap sees it: in the order of sequence numbers,
// without padding.
type Packet struct {
	Track     *Track
	Lost      int       // packets missing directly before this one, not to be hoped for any more
	Timestamp uint32    // RTP
	Captured  time.Time // of Timestamp, on the clock that all tracks of the node share
	Marker    bool
	Payload   []byte // shared with everybody who forwards it: never changed
}
