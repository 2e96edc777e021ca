// Package red reads and writes redundant audio payloads (RFC 2198): a frame
// together with copies of the ones before it.
//
// Everything is a pure value: no goroutine, no lock. Only Append grows a slice.
package red
