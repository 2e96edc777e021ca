// Package timeline puts the RTP timestamps of one track on the clock that all
// tracks share. It is a value without goroutines.
package timeline
