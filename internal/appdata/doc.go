// Package appdata carries the application data of a DTLS 1.2 connection (RFC 6347)
// that somebody else has shaken hands for: AES-128-GCM records (RFC 5288), and a
// net.Conn over them for SCTP (RFC 8261).
//
// Pion's own way costs five goroutines for each datagram that comes and three for
// each that goes, most of what a message on a data channel costs.
//
// It owns the numbers of the records it seals, which are apart from those of the
// handshake's owner, and the window against replayed ones. It knows nothing of
// handshakes, sockets and what is carried. It starts no goroutines; who makes a
// Conn closes it.
package appdata
