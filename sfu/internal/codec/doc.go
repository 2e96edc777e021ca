// Package codec reads just enough of RTP payloads to forward them: where a
// keyframe begins, how large its pictures are, and where VP8 and VP9 keep
// their picture ids. Everything here is a pure function of bytes that anyone
// may have sent: no input panics or allocates without bound.
package codec
