// Package recorder turns what publishers send into recordings that can be played
// while they grow:
//
//	tap ─► internal/frame ─► internal/timeline ─► internal/pack ─┬─► Sink (at once)
//	       access units      one clock            parts, segments └─► internal/archive (disk)
//
// It owns which streams are recorded, the recordings on disk, how long they are
// kept, and what happens to them when the publisher, the disk or the process
// fails. A show (show.go) is one goroutine for each stream that is live: it reads
// the tap, makes parts, tells the Sink and never waits for the disk, which has a
// goroutine of its own. A rendition is a lane (video.go, audio.go) of its show.
//
// With a store that nodes share (shared.go), the disk is a spool, and a show goes on
// with what another node has recorded of the stream, once that has let go of it or
// has died.
//
// It knows nothing of peer connections, HTTP or playlists. internal/node makes
// the one Recorder of a node and closes it before the media plane.
package recorder
