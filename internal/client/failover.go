package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// relBackup is the relation of an endpoint for the same stream on another server.
const relBackup = "urn:sluice:whep:ext:backup-endpoint"

// askTime is how long a silent server may take to say that it is there.
const askTime = time.Second

// serverGone is why a session ends whose server no longer answers.
type serverGone struct{ cause error }

// Error implements error.
func (e serverGone) Error() string { return fmt.Sprintf("the server is gone: %v", e.cause) }

// Unwrap returns the cause.
func (e serverGone) Unwrap() error { return e.cause }

// silence follows whether packets come.
type silence struct {
	limit   time.Duration
	packets uint64
	since   time.Time // when the last one was seen, or the server was asked
}

// over reports whether no packet has come for the limit. It is so once for each
// limit that passes.
func (s *silence) over(stats ViewerStats, now time.Time) bool {
	n := stats.Video.Packets + stats.Audio.Packets
	if n != s.packets || s.limit == 0 {
		s.packets, s.since = n, now
		return false
	}
	if now.Sub(s.since) < s.limit {
		return false
	}
	s.since = now
	return true
}

// askServer ends the session when its server does not know it any more, or does
// not answer: a stream without a publisher is silent too.
func (v *Viewer) askServer() {
	ctx, cancel := context.WithTimeout(v.ctx, askTime)
	defer cancel()
	resp, err := v.resource.do(ctx, http.MethodGet, v.resource.url.String(), "", "", "")
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		err = statusError("GET", resp)
	}
	if v.ctx.Err() == nil {
		v.end(serverGone{err})
	}
}

// Backups are endpoints for the same stream on other servers, which the server
// has told of.
func (v *Viewer) Backups() []string {
	var all []string
	for _, l := range v.resource.links {
		if l.rel == relBackup {
			all = append(all, l.target)
		}
	}
	return all
}

// Failover watches a stream on whatever server answers: the one asked first, or
// those that it has told of. Its zero value is ready.
type Failover struct {
	mu    sync.Mutex
	known []string // the one to try next first
}

// Watch starts a session at the next endpoint. It is made for Keep.
func (f *Failover) Watch(ctx context.Context, cfg ViewerConfig) (*Viewer, error) {
	f.mu.Lock()
	if len(f.known) == 0 {
		f.known = []string{cfg.URL}
	}
	tries := slices.Clone(f.known)
	f.mu.Unlock()
	if cfg.Silence == 0 {
		cfg.Silence = time.Second
	}
	var errs []error
	for _, endpoint := range tries {
		cfg.URL = endpoint
		v, err := Watch(ctx, cfg)
		if err == nil {
			f.note(endpoint, v.Backups())
			return v, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// note puts the backups of a session before its own endpoint: when the session
// ends, they come next.
func (f *Failover) note(endpoint string, backups []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := slices.Clone(backups)
	for _, old := range append([]string{endpoint}, f.known...) {
		if !slices.Contains(next, old) && len(next) < maxKnown {
			next = append(next, old)
		}
	}
	f.known = next
}

// maxKnown bounds the endpoints that are remembered.
const maxKnown = 8
