// Package extension writes RTP header extensions (RFC 8285) into packets that
// are made for one viewer. What a publisher's packet carries is read with
// pion/rtp's Header.GetExtension.
//
// Everything is a pure value: no goroutine, no lock, no allocation.
package extension
