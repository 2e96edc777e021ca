// Package frame makes whole access units, as MP4 samples, out of the RTP packets
// of one track, and reads the parameters that a decoder needs from them.
//
// It owns depacketizing (RFC 6184, 7798, 7741, 9628, AV1 RTP), parameter sets in
// band or from SDP, and the rule that nothing is passed on between a loss and
// the next keyframe. Everything is a value that one goroutine uses; no input
// panics or grows without bound. It knows nothing of time, files or SDP beyond
// format parameters.
package frame
