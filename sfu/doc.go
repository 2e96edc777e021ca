// Package sfu is the media plane of one node. It owns every PeerConnection and
// the way of every media packet:
//
//	publisher ─► layer reader ─► ring ─► shard ─► viewers
//	                                       ▲
//	                      RTCP reader ─────┘
//
// Three kinds of goroutine, each the only owner of its state:
//
//   - A layer reader (reader.go), one for each incoming RTP stream, parses the
//     header once, notes where frames and keyframes begin, and puts the packet
//     into its layer's ring (internal/ring). It then wakes the stream's shards
//     and never waits for them.
//   - A shard (shard.go), a few for each stream, owns a slice of the viewers.
//     A viewer holds a cursor into the ring of the layer it sees (outlet.go), so
//     the ring is the queue: there is no copy for each viewer, and a viewer that
//     falls behind skips to a later keyframe while the reader goes on.
//   - An RTCP reader (feedback.go), one for each viewer, turns NACK, PLI and
//     receiver reports into commands for the viewer's shard.
//
// A payload is never changed once read. What differs for each viewer (sequence
// number, timestamp, picture id) is computed by internal/rewrite.
//
// A stream (stream.go) outlives its publisher by the grace time, so that
// viewers keep their peer connection, SSRC and numbering when the publisher
// returns or another takes its place.
//
// The package knows nothing of HTTP, tokens, Redis or storage. internal/node
// makes the one SFU of a node and closes it.
package sfu
