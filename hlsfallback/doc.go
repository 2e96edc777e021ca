// Package hlsfallback serves what the recorder packages as HTTP Live Streaming,
// low-latency and plain: playlists of running shows with a window to rewind in,
// of ended recordings, the media that they name, thumbnails, and a recording as
// one file (draft-pantos-hls-rfc8216bis).
//
// It owns playlists, blocking reload, preload hints and the bytes near the live
// edge; it must not know peer connections, storage or the recorder: what is new
// comes through the methods of Handler that the recorder calls, what is old is
// read through Shelf.
//
// What another node records is served from Shelf too, without parts.
//
// internal/node makes one Handler, routes /hls/ and /vod/ to it, and closes it
// before the HTTP server shuts down, so that parked requests end. Handler starts
// one goroutine for each recording that begins, to read what an earlier process
// has left of it; Close waits for them.
//
// # Addresses
//
//	/hls/{stream}/index.m3u8                     the running show
//	/hls/{stream}/{recording}/{rendition}/...    its renditions
//	/vod/{recording}/index.m3u8                  a recording
//	/vod/{recording}/{rendition}/...
//	/vod/{recording}/recording.mp4
//
// Below a rendition: index.m3u8, iframes.m3u8, init{version}.mp4, {seq}.m4s and
// parts, {seq}.{part}.m4s; {seq}r.m4s is a segment that a crash has cut short. Beside the renditions: thumbs.vtt and thumb{n}.jpg.
// A path element "~{token}" after the stream or recording carries a bearer for
// players that can set no header: the addresses in playlists are relative and
// inherit it.
package hlsfallback
