// Package archive keeps recordings in a blob store so that a crash at any moment
// loses no finished segment and at most the part that was not written yet.
//
//	{recording}/recording.json            what it is; its renditions
//	{recording}/{rendition}/index         one line for each segment, with a checksum
//	{recording}/{rendition}/used          numbers that the index could not be told of, written in place
//	{recording}/{rendition}/init-1.mp4    init sections
//	{recording}/{rendition}/17.m4s        a finished segment
//	{recording}/{rendition}/18.m4s.tmp    the segment that is being written
//	{recording}/thumbnails/3.jpg
//
// In a store that nodes share, a term is the time for which one node writes a
// recording; its number is that of the node's claim:
//
//	streams/{stream}/{recording}                       which recordings a stream has
//	recordings/{recording}/terms/{term}                what it is, and how many lines of earlier terms count
//	recordings/{recording}/log/{term}/{n}              256 index lines of all renditions; the last is written anew
//	recordings/{recording}/log/{term}.{log}/{n}        the same without those of segments that are gone; the term says which counts
//	recordings/{recording}/media/{rendition}/17.{term}.m4s, init-1.{term}.mp4
//	recordings/{recording}/thumbnails/3.jpg
//
// Remote reads it, whoever has written it; a Mirror writes one recording, in the
// order media, line, so that what is named is there. The highest term is the
// recording.
//
// A segment's file gets its name when it is durable, and then its line in the
// index: the index is what there is. A Writer and a Mirror have one goroutine each,
// which Close ends; everything else is done by the caller's.
package archive
