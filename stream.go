package sluice

import "time"

// MaxStreamName is the longest stream name in bytes.
const MaxStreamName = 64

// CheckStreamName returns an Error with CodeInvalid unless name is 1 to 64 of
// [A-Za-z0-9_-].
func CheckStreamName(name string) error {
	if len(name) < 1 || len(name) > MaxStreamName {
		return Errorf(CodeInvalid, "a stream name has 1 to %d characters, this one has %d", MaxStreamName, len(name))
	}
	if !plain(name) {
		return Errorf(CodeInvalid, "a stream name holds only letters, digits, '-' and '_'")
	}
	return nil
}

// maxRID is the longest name of a layer in bytes.
const maxRID = 64

// CheckRID returns an Error with CodeInvalid unless rid may name a layer: 1 to 64 of
// [A-Za-z0-9_-] (RFC 8851 section 10). It becomes part of file names and URLs.
func CheckRID(rid string) error {
	if len(rid) < 1 || len(rid) > maxRID || !plain(rid) {
		return Errorf(CodeInvalid, "a rid is 1 to %d letters, digits, '-' and '_'", maxRID)
	}
	return nil
}

// plain reports whether text holds nothing but letters, digits, '-' and '_'.
func plain(text string) bool {
	for i := range len(text) {
		if !streamNameByte(text[i]) {
			return false
		}
	}
	return true
}

func streamNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// StreamState says whether viewers can see something.
type StreamState string

const (
	StreamLive    StreamState = "live"    // a publisher sends
	StreamPaused  StreamState = "paused"  // the publisher is gone and may come back within the grace time
	StreamOffline StreamState = "offline" // nobody publishes
)

// Stream is a snapshot of one stream as this node sees it.
type Stream struct {
	Name      string      `json:"name"`
	State     StreamState `json:"state"`
	Since     time.Time   `json:"since"` // when State was entered
	Publisher *Publisher  `json:"publisher,omitempty"`
	Layers    []Layer     `json:"layers"` // video, best first
	Audio     *Audio      `json:"audio,omitempty"`
	Viewers   int         `json:"viewers"`           // on all nodes
	Tier      int         `json:"tier"`              // how dear it is when nodes are overloaded; 0: the first to give way
	Relayed   bool        `json:"relayed,omitempty"` // the publisher is on another node
}

// Publisher is a snapshot of the session that sends a stream.
type Publisher struct {
	ID       string    `json:"id"` // public; not the secret of the session URL
	Identity string    `json:"identity,omitempty"`
	Since    time.Time `json:"since"`
}

// Layer is a snapshot of one video encoding of a stream.
type Layer struct {
	RID       string  `json:"rid"`   // "" when the publisher does not use simulcast
	Codec     string  `json:"codec"` // as in SDP: "H264", "VP8", "VP9", "AV1", "H265"
	Width     int     `json:"width"` // pixels; 0 until the first keyframe
	Height    int     `json:"height"`
	FrameRate float64 `json:"frameRate"`                         // measured frames per second
	Bitrate   int     `json:"bitrate"`                           // measured, bits per second
	Active    bool    `json:"active"`                            // packets arrived within the last second
	Points    []Point `json:"points,omitempty" nullable:"false"` // what can be had of it, the best first, when there is more than one
}

// Point is an operating point of a video encoding: its spatial and temporal layers up to
// these. Rates are those of all of them together.
type Point struct {
	Spatial   int     `json:"spatial"`
	Temporal  int     `json:"temporal"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frameRate"`
	Bitrate   int     `json:"bitrate"`
}

// Audio is a snapshot of a stream's audio.
type Audio struct {
	Codec   string `json:"codec"`   // "opus"
	Bitrate int    `json:"bitrate"` // measured, bits per second
	Active  bool   `json:"active"`
}

// LayerChoice is what a viewer asks of its video. The zero value leaves the
// choice to the server.
type LayerChoice struct {
	RID       string // exact layer; "" for automatic
	MaxWidth  int    // pixels; 0: no limit
	MaxHeight int

	Spatial, Temporal       LayerID // exactly these
	MaxSpatial, MaxTemporal LayerID
}

// LayerID is the number of a spatial or temporal layer, or no number.
type LayerID struct {
	N   int
	Set bool
}

// Scale is the highest spatial and temporal layer of an encoding that a viewer
// gets.
type Scale struct {
	Spatial  int `json:"spatial"`
	Temporal int `json:"temporal"`
}

// Viewer is a snapshot of one viewer of a stream.
type Viewer struct {
	ID          string    `json:"id"` // public; not the secret of the session URL
	Identity    string    `json:"identity,omitempty"`
	Since       time.Time `json:"since"`
	Connected   bool      `json:"connected"`
	Layer       string    `json:"layer"`            // rid that is forwarded now
	Target      string    `json:"target"`           // rid that it waits for; equal to Layer when settled
	Now         *Scale    `json:"now,omitempty"`    // spatial and temporal layers that are forwarded; absent when there are none
	Wanted      *Scale    `json:"wanted,omitempty"` // and those that it waits for
	Pinned      bool      `json:"pinned"`           // the viewer chose the layer itself
	Reason      string    `json:"reason"`           // why the viewer is at its layer
	Estimate    int       `json:"estimate"`         // bits per second that reach it; 0: not measured
	EstimateBy  string    `json:"estimateBy"`       // "transport-cc", "remb", "loss" or ""
	Waiting     string    `json:"waiting"`          // why no video flows: "", "keyframe", "publisher", "codec", "bandwidth"
	PacketsSent uint64    `json:"packetsSent"`      // RTP, retransmissions included
	BytesSent   uint64    `json:"bytesSent"`        // RTP header and payload
	Resent      uint64    `json:"packetsResent"`    // in answer to NACK
	Dropped     uint64    `json:"packetsDropped"`   // skipped to catch up
	NACKs       uint64    `json:"nacks"`            // sequence numbers asked for
	PLIs        uint64    `json:"plis"`
	Loss        float64   `json:"loss"`     // fraction, last receiver report
	JitterMS    float64   `json:"jitterMs"` // last receiver report
	RTTMS       float64   `json:"rttMs"`    // 0 until measured
}
