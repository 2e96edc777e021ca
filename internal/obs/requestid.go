package obs

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync/atomic"
)

// RequestIDHeader carries the request id both ways.
const RequestIDHeader = "X-Request-ID"

// MaxRequestID is the longest request id that is taken from a caller, in bytes.
const MaxRequestID = 128

// RequestID returns what the caller sent as X-Request-ID if it is 1 to
// MaxRequestID of [A-Za-z0-9._-], else a new random id.
func RequestID(sent string) string {
	if taken(sent) {
		return sent
	}
	return rand.Text()
}

func taken(sent string) bool {
	if len(sent) < 1 || len(sent) > MaxRequestID {
		return false
	}
	for i := range len(sent) {
		if !requestIDByte(sent[i]) {
			return false
		}
	}
	return true
}

// RequestIDs makes ids for routes with so many requests that a random number for
// each would show: a random beginning, and a count.
type RequestIDs struct {
	prefix string
	count  atomic.Uint64
}

// NewRequestIDs returns a source of ids. Any goroutine may use it.
func NewRequestIDs() *RequestIDs { return &RequestIDs{prefix: rand.Text()[:16] + "-"} }

// ID is RequestID with an id from the source.
func (s *RequestIDs) ID(sent string) string {
	if taken(sent) {
		return sent
	}
	var b [40]byte
	return string(strconv.AppendUint(append(b[:0], s.prefix...), s.count.Add(1), 36))
}

func requestIDByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

type requestIDKey struct{}

// WithRequestID returns a context that carries id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestIDFrom returns the id that ctx carries, or "".
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
