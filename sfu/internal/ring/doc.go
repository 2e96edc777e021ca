// Package ring keeps a layer's recent packets: one writer, any number of
// readers, no lock. It is the bounded queue between a layer reader and its
// shards, the answer to NACKs, and the cache of the current GOP at once.
//
// It owns nothing but memory and runs no goroutine.
package ring
