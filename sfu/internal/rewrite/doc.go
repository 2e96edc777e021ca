// Package rewrite makes one continuous RTP stream out of pieces of others: the
// sequence numbers, timestamps and picture ids that a viewer sees go on without
// a break when its source changes to another layer or another publisher.
//
// Everything is a pure value: no goroutine, no lock, no allocation.
package rewrite
