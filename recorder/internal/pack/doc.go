// Package pack cuts the samples of one rendition into parts and segments.
//
// It owns where parts and segments begin and end, their numbers, and what stands
// where media is missing. It is a value that one goroutine uses; it knows nothing
// of codecs, clocks or files. Time is in ticks of the rendition's timescale since
// the beginning of the recording.
package pack
