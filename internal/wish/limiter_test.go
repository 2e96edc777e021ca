package wish

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	sluice "github.com/sluice-live/sluice"
)

func TestLimiterCountsRequestsByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Rates{Requests: 2, Burst: 4})
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		for i := range 4 {
			if err := l.Allow(a); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		err := l.Allow(a)
		var e *sluice.Error
		if !errors.As(err, &e) || e.Code != sluice.CodeTooManyRequests || e.RetryAfter <= 0 {
			t.Errorf("fifth request: %v", err)
		}
		if err := l.Allow(b); err != nil {
			t.Errorf("another address: %v", err)
		}
		<-time.After(time.Second) // of the bubble's clock
		if err := l.Allow(a); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}

func TestLimiterDefaultsLetAThousandJoin(t *testing.T) {
	l := NewLimiter(Rates{})
	for i := range 4000 { // POST, PATCH, events, layer of each
		if err := l.Allow(netip.MustParseAddr("127.0.0.1")); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}

func TestLimiterRefusesAfterFailures(t *testing.T) {
	l := NewLimiter(Rates{AuthFailures: 3})
	cause := sluice.Errorf(sluice.CodeUnauthenticated, "no")
	addr := netip.MustParseAddr("192.0.2.1")
	for range 3 {
		if err := l.Barred(addr); err != nil {
			t.Fatal(err)
		}
		if err := l.Refuse(addr, cause); sluice.CodeOf(err) != sluice.CodeUnauthenticated {
			t.Fatal(err)
		}
	}
	if err := l.Barred(addr); sluice.CodeOf(err) != sluice.CodeTooManyRequests {
		t.Error(err)
	}
	if err := l.Refuse(addr, cause); sluice.CodeOf(err) != sluice.CodeTooManyRequests {
		t.Error(err)
	}
	if err := l.Allow(addr); err != nil {
		t.Errorf("a request as such: %v", err)
	}
}

func TestLimiterTableIsBounded(t *testing.T) {
	l := NewLimiter(Rates{Addresses: 8})
	addr := netip.MustParseAddr("10.0.0.1")
	for range 100 {
		l.caller(addr)
		addr = addr.Next()
	}
	if len(l.seen) != 8 || l.recent.Len() != 8 {
		t.Errorf("%d and %d remembered", len(l.seen), l.recent.Len())
	}
}

func TestLimiterTakesNetworksOfIPv6(t *testing.T) {
	same := [...]string{"2001:db8::1", "2001:db8::ffff:1", "2001:db8::1%eth0"}
	for _, s := range same {
		if got := prefixOf(netip.MustParseAddr(s)).String(); got != "2001:db8::/64" {
			t.Errorf("%s: %s", s, got)
		}
	}
	if got := prefixOf(netip.MustParseAddr("::ffff:192.0.2.1")).String(); got != "192.0.2.1/32" {
		t.Error(got)
	}
	if prefixOf(netip.Addr{}).IsValid() {
		t.Error("a prefix of nothing")
	}
}
