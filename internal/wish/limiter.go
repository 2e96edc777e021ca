package wish

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	sluice "github.com/sluice-live/sluice"
)

// Rates are the limits of one client address. The defaults let a thousand
// viewers behind one address join within a second.
type Rates struct {
	Requests     float64 // per second; 0: 2,000
	Burst        int     // requests at once; 0: twice Requests
	AuthFailures int     // per minute; 0: 60
	Addresses    int     // how many are remembered; 0: 16,384. The least recently seen is forgotten
}

func (r Rates) withDefaults() Rates {
	if r.Requests <= 0 {
		r.Requests = 2000
	}
	if r.Burst <= 0 {
		r.Burst = max(int(2*r.Requests), 1)
	}
	if r.AuthFailures <= 0 {
		r.AuthFailures = 60
	}
	if r.Addresses <= 0 {
		r.Addresses = 16384
	}
	return r
}

// Limiter counts requests and refused tokens by client address, an IPv6
// address by its /64. It starts no goroutine and needs no closing. One Limiter
// may serve several endpoints.
type Limiter struct {
	rates Rates

	mu     sync.Mutex
	seen   map[netip.Prefix]*list.Element // of *caller
	recent *list.List                     // front: most recently seen
}

type caller struct {
	prefix   netip.Prefix
	requests *rate.Limiter
	failures *rate.Limiter
}

// NewLimiter makes a Limiter.
func NewLimiter(r Rates) *Limiter {
	return &Limiter{rates: r.withDefaults(), seen: make(map[netip.Prefix]*list.Element), recent: list.New()}
}

// Allow counts a request. It returns CodeTooManyRequests over the limit.
func (l *Limiter) Allow(addr netip.Addr) error {
	return spend(l.caller(addr).requests, "too many requests from this address")
}

// Refuse counts a refusal of a token or of a session URL, and returns cause, or
// CodeTooManyRequests when the address has had too many of them.
func (l *Limiter) Refuse(addr netip.Addr, cause error) error {
	if err := spend(l.caller(addr).failures, "too many refused requests from this address"); err != nil {
		return err
	}
	return cause
}

// Barred returns CodeTooManyRequests while the next refusal of an address would be
// one too many. It counts nothing.
func (l *Limiter) Barred(addr netip.Addr) error {
	failures := l.caller(addr).failures
	if failures.Tokens() >= 1 {
		return nil
	}
	return tooMany(failures, "too many refused requests from this address")
}

func spend(l *rate.Limiter, detail string) error {
	if l.Allow() {
		return nil
	}
	return tooMany(l, detail)
}

func tooMany(l *rate.Limiter, detail string) error {
	wait := time.Duration(float64(time.Second) / float64(l.Limit()))
	return &sluice.Error{Code: sluice.CodeTooManyRequests, Detail: detail, RetryAfter: max(wait, time.Second)}
}

func (l *Limiter) caller(addr netip.Addr) *caller {
	prefix := prefixOf(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.seen[prefix]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*caller)
	}
	c := &caller{
		prefix:   prefix,
		requests: rate.NewLimiter(rate.Limit(l.rates.Requests), l.rates.Burst),
		failures: rate.NewLimiter(rate.Limit(float64(l.rates.AuthFailures)/60), l.rates.AuthFailures),
	}
	l.seen[prefix] = l.recent.PushFront(c)
	if l.recent.Len() > l.rates.Addresses {
		last := l.recent.Back()
		l.recent.Remove(last)
		delete(l.seen, last.Value.(*caller).prefix)
	}
	return c
}

func prefixOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all such callers share one limit
	}
	return p
}

type remoteKey struct{}

// WithRemote returns r with the client's address as the HTTP server knows it
// behind its trusted proxies. Without it the connection's address counts. A
// value that is no address changes nothing.
func WithRemote(r *http.Request, ip string) *http.Request {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), remoteKey{}, addr.Unmap()))
}

// RemoteOf returns the address that WithRemote has noted, the zero Addr when none.
func RemoteOf(ctx context.Context) netip.Addr {
	addr, _ := ctx.Value(remoteKey{}).(netip.Addr)
	return addr
}

// Remote returns the client's address, the zero Addr when it is unknown.
func Remote(r *http.Request) netip.Addr {
	if addr := RemoteOf(r.Context()); addr.IsValid() {
		return addr
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
