package wish

import (
	"context"

	sluice "github.com/sluice-live/sluice"
)

// Session is one WHIP or WHEP media session as its HTTP resource sees it. Its
// methods may be called from several goroutines.
type Session interface {
	// ID is the public id, for logs and the API; it is not the URL's secret.
	ID() string
	// Answer is the SDP answer with all of the server's candidates in it.
	Answer() string
	// Trickle adds remote candidates. Unusable ones are dropped silently.
	Trickle(ctx context.Context, remote sluice.ICE) error
	// Restart does an ICE restart and returns the server's new parameters and
	// candidates. After an error the session goes on as before.
	Restart(ctx context.Context, remote sluice.ICE) (sluice.ICE, error)
	// Close ends the session and returns when all is freed. It is idempotent.
	Close(reason string)
	// Done is closed when the session has ended, for whatever reason.
	Done() <-chan struct{}
}

// Authorizer turns a bearer token into a grant. The bearer is raw, and "" when
// none was sent; CodeUnauthenticated means that it was not accepted.
type Authorizer interface {
	Authorize(ctx context.Context, bearer string) (sluice.Grant, error)
}
