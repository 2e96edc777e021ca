// Package flexfec makes and uses repair packets of FlexFEC
// (draft-ietf-payload-flexible-fec-scheme-03, which browsers call flexfec-03)
// for one RTP stream: the parity of some packets, from which one that is missing
// is made again.
//
// Header extensions that change on their way, such as the transport-wide
// sequence number, count as zero: the caller clears them before it adds a packet.
//
// Everything is a pure value: no goroutine, no lock, and no allocation after the
// first packets.
package flexfec
