package obs

import (
	"context"
	"crypto/rand"
)

// RequestIDHeader carries the request id both ways.
const RequestIDHeader = "X-Request-ID"

// MaxRequestID is the longest request id that is taken from a caller, in bytes.
const MaxRequestID = 128

// RequestID returns what the caller sent as X-Request-ID if it is 1 to
// MaxRequestID of [A-Za-z0-9._-], else a new random id.
func RequestID(sent string) string {
	if len(sent) < 1 || len(sent) > MaxRequestID {
		return rand.Text()
	}
	for i := range len(sent) {
		if !requestIDByte(sent[i]) {
			return rand.Text()
		}
	}
	return sent
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
