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
// A segment's file gets its name when it is durable, and then its line in the
// index: the index is what there is. A Writer has one goroutine, which its Close
// ends; everything else is done by the caller's.
package archive
