// Package sluice holds the domain types that every part of the server speaks:
// streams, layers, viewers, grants and error codes. It imports only the
// standard library and is imported by everything.
//
// One word per idea:
//
//   - stream: what one publisher sends and many viewers see, named by 1 to 64
//     of [A-Za-z0-9_-].
//   - publisher: the one session that sends a stream (WHIP).
//   - viewer: a session that receives a stream (WHEP).
//   - session: one publisher's or viewer's peer connection and its HTTP resource.
//   - layer: one encoding of a stream's video, named by its rid, or its audio.
//   - keyframe: a frame that decodes without any other.
//   - tap: a viewer without a network, for recording.
//   - relay: a node's copy of a stream whose publisher is on another node.
//   - node: one running server process.
//   - event: something that has happened to a stream, for those outside who
//     are told of it.
//   - grant: what a caller may do, read from a token.
package sluice
