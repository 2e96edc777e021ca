// Package hlscheck is a strict LL-HLS client that watches a server over time and
// says which rules of draft-pantos-hls-rfc8216bis it breaks: durations against
// targets, parts against segments, sequence numbers, dates, blocking reload,
// preload hints, delta updates, rendition reports, addresses that change their
// meaning.
//
// It owns the parser of playlists, which the load tool uses too. It must not know
// the server's packages. Run starts a few goroutines and joins them.
package hlscheck
