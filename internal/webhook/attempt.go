package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

const (
	// firstPause is the time after the first attempt, about: each pause is twice as
	// long as the one before, up to longestPause.
	firstPause, longestPause = 500 * time.Millisecond, 30 * time.Second
	// maxAnswer is how much of an answer is read, so that its connection can be used
	// again, and maxHeader how long its header may be; bytes.
	maxAnswer, maxHeader = 16 << 10, 64 << 10
)

// contentType keeps frameworks from parsing the body before its signature is checked.
const contentType = "application/webhook+json"

// errRefused is the end of a message that the receiver will never take.
var errRefused = errors.New("refused")

// deliver tries until the receiver has taken the message, refuses it, or it is too
// old.
func (r *receiver) deliver(m queued) {
	c := &r.sender.counters
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		last := r.ending()
		err := r.attempt(m.Body)
		r.note(err)
		switch {
		case err == nil:
			c.delivered.Add(1)
			return
		case errors.Is(err, errRefused):
			c.refused.Add(1)
			return
		case last || !r.rest(pause, m.until):
			c.expired.Add(1)
			return
		}
		c.retries.Add(1)
	}
}

// rest waits before the next attempt. It returns false when there is to be none. The
// end of the Sender cuts it short, for one more.
func (r *receiver) rest(pause time.Duration, until time.Time) bool {
	pause = pause/2 + rand.N(pause) // so that many do not come back together
	if time.Now().Add(pause).After(until) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.sender.ending:
	}
	return true
}

func (r *receiver) ending() bool {
	select {
	case <-r.sender.ending:
		return true
	default:
		return false
	}
}

// attempt sends a body once. Its error does not show the URL.
func (r *receiver) attempt(body []byte) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-r.sender.ctx.Done():
		return r.sender.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(r.sender.ctx, r.sender.cfg.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	signature, err := r.sender.deps.Sign(body)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	request.Header.Set("Authorization", signature)
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "sluice")
	answer, err := r.sender.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // the status says all
	return judge(answer.StatusCode)
}

// judge returns nil for a status by which the receiver has taken a message, and
// errRefused for one after which there is no use in trying again. Redirects are not
// followed.
func judge(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return fmt.Errorf("status %d", status)
	default:
		return fmt.Errorf("status %d: %w", status, errRefused)
	}
}

func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// note logs when a receiver begins to fail, and when it no longer does.
func (r *receiver) note(err error) {
	switch {
	case err != nil && !r.failing.Swap(true):
		r.sender.deps.Log.Warn("a webhook receiver does not take events", "receiver", r.host, "err", err)
	case err == nil && r.failing.Swap(false):
		r.sender.deps.Log.Info("a webhook receiver takes events again", "receiver", r.host)
	}
}
