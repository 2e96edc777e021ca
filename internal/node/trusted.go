package node

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// trusted are the proxies whose word on a caller's address counts.
type trusted []netip.Prefix

// parseTrusted reads addresses and prefixes.
func parseTrusted(list []string) (trusted, error) {
	var t trusted
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, bad := netip.ParseAddr(text)
			if bad != nil {
				return nil, fmt.Errorf("%q is neither an IP address nor a prefix such as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		t = append(t, prefix.Masked())
	}
	return t, nil
}

func (t trusted) has(addr netip.Addr) bool {
	for _, prefix := range t {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// handler gives requests the address of who has sent them to the first proxy:
// the last of X-Forwarded-For that is none of these.
func (t trusted) handler(next http.Handler) http.Handler {
	if len(t) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && t.has(peer.Addr().Unmap()) {
			if caller := t.caller(r.Header.Values("X-Forwarded-For")); caller.IsValid() {
				r.RemoteAddr = netip.AddrPortFrom(caller, 0).String()
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (t trusted) caller(lists []string) (caller netip.Addr) {
	named := strings.Split(strings.Join(lists, ","), ",")
	for i := len(named) - 1; i >= 0; i-- {
		addr, err := netip.ParseAddr(strings.TrimSpace(named[i]))
		if err != nil {
			return caller
		}
		if caller = addr.Unmap(); !t.has(caller) {
			return caller
		}
	}
	return caller
}
