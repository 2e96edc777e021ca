// Package load puts load on a WHIP and WHEP server: publishers of synthetic
// video and many light viewers, and a report of what arrived and when.
//
// It owns its sockets, ICE agents, DTLS associations and HTTP resources. It
// knows nothing of the server's packages and speaks only the public protocols,
// so that it measures any WHIP or WHEP server. Run does one whole run and frees
// everything before it returns.
//
// A viewer is a real one to the server: an HTTP session, ICE, DTLS-SRTP,
// receiver reports. It is light here: packets are read many at a time by one
// goroutine, only their clear headers are copied out of the kernel and counted,
// and nothing is decrypted after the first keyframe. Probes are viewers that go
// on to decrypt, and measure delay by the stamps that the publisher puts into
// its packets.
package load
