package sfu

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/sdp/v3"
	"golang.org/x/time/rate"
)

// addressEvery is how long a session waits before it takes one more address of its
// peer when MaxAddresses have come: a path that changes now and then goes on.
const addressEvery = 10 * time.Second

// addressLimit bounds the addresses of one peer, in candidates and of checks that
// come in: each costs memory, and checks that are sent wherever it says.
func addressLimit(most int) func(net.IP) bool {
	limit := rate.NewLimiter(rate.Every(addressEvery), most)
	return func(net.IP) bool { return limit.Allow() }
}

// inside reports whether an address means another place on each network. Checks
// that a stranger has us send there would tell what is in ours.
func inside(a netip.Addr) bool {
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	a = a.Unmap()
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	return !a.IsGlobalUnicast() || a.IsPrivate() || shared.Contains(a)
}

// checkable reports whether the candidate of a peer is sent checks. One inside is
// not, unless the peer has made its request from there; a peer that is there is
// found by its own checks, which it sends to our addresses. Neither is what needs a
// name server.
func checkable(candidate string, caller netip.Addr) bool {
	fields := strings.Fields(candidate)
	if len(fields) < 5 {
		return false
	}
	a, err := netip.ParseAddr(fields[4])
	return err == nil && (a.Unmap() == caller.Unmap() || !inside(a))
}

// restrict takes the candidates that are not checkable out of an offer.
func (o *offered) restrict(caller netip.Addr) {
	keep := func(all []sdp.Attribute) []sdp.Attribute {
		return slices.DeleteFunc(all, func(a sdp.Attribute) bool { return a.Key == sdp.AttrKeyCandidate && !checkable(a.Value, caller) })
	}
	o.desc.Attributes = keep(o.desc.Attributes)
	for _, m := range o.desc.MediaDescriptions {
		m.Attributes = keep(m.Attributes)
	}
}

// restricted returns the candidates of a peer that are checkable.
func restricted(candidates []string, caller netip.Addr) []string {
	return slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !checkable(c, caller) })
}
