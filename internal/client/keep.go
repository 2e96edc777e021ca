package client

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	minBackoff   = 500 * time.Millisecond
	maxBackoff   = 8 * time.Second
	settledAfter = 10 * time.Second // a session that ran so long starts the backoff anew
)

// Session is a Publisher or a Viewer.
type Session interface {
	Connected() <-chan struct{}
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Keep starts a session again whenever it ends or the server cannot take it now,
// with backoff, or when the server says (Retry-After). run has the session until
// it returns; Keep closes it. Keep returns nil when ctx ends, and the error of a
// start that no retry will mend.
func Keep(ctx context.Context, log *slog.Logger, start func(context.Context) (Session, error), run func(Session)) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	backoff := minBackoff
	for {
		began := time.Now()
		s, err := start(ctx)
		if err == nil {
			run(s)
			err = s.Err()
			if closeErr := s.Close(); closeErr != nil {
				log.Debug("ending the session", "err", closeErr)
			}
		} else {
			var status *StatusError
			if errors.As(err, &status) && !status.Temporary() {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > settledAfter {
			backoff = minBackoff
		}
		wait := retryAfter(err, backoff)
		if _, gone := errors.AsType[serverGone](err); gone {
			wait = 0 // another server may be there
		}
		backoff = min(2*backoff, maxBackoff)
		log.Warn("session ended, trying again", "err", err, "in", wait.Round(time.Millisecond))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// retryAfter takes the server's word, else half to all of backoff.
func retryAfter(err error, backoff time.Duration) time.Duration {
	var status *StatusError
	if errors.As(err, &status) && status.RetryAfter > 0 {
		return status.RetryAfter
	}
	return backoff/2 + rand.N(backoff/2)
}
