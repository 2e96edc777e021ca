// Package blob keeps files: on a disk, or in memory. Names are relative paths
// with slashes; no name leaves the store's root.
//
// A file that is being written has the suffix Unfinished until Commit has made
// it durable under its own name, so that a crash never leaves half a file under
// a name that somebody reads. Both stores pass the same contract test.
//
// Shared keeps whole objects for several nodes: in a directory that they share, or
// in a bucket of an S3 server; both pass one contract test, too. It starts no
// goroutine.
package blob
