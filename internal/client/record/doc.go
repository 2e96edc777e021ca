// Package record writes what a viewer receives into a file: MP4, IVF, Annex B
// H.264 or Ogg Opus, by the file's extension.
//
// It owns the file, the reordering of packets and their assembly into frames. It
// knows nothing of HTTP or peer connections and starts no goroutine. A Recorder
// satisfies client.Sink; whoever made it calls Close, after the viewer's.
package record
