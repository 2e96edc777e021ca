// Package ffmpeg runs the ffmpeg program as a child: media goes in and out by
// pipes, nothing that anybody sends reaches its arguments, and its protocols are
// limited to those pipes.
//
// It owns the children, how they are started again when they die, and the
// containers on their pipes (IVF, Ogg, FLV, ADTS). A Sound or Picture belongs to
// one goroutine, which feeds it and fetches from it without ever waiting; inside
// run one goroutine that writes and one that reads. Close ends both and the
// child.
package ffmpeg
