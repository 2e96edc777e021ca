package sluice

import "net/netip"

// Offer is a caller's wish to publish or watch a stream: an SDP offer that has
// passed the size and structure checks, and who makes it.
type Offer struct {
	Stream string
	Grant  Grant
	SDP    string
	Remote netip.Addr // the caller's address, for limits
	Placed bool       // another node has sent the caller here
}
