package hlsfallback

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
)

// A player sends its token with each of ten requests a second: what it grants is
// remembered for a moment, of so many tokens.
const (
	grantLife = 5 * time.Second
	maxGrants = 8192
)

type grants struct {
	mu   sync.RWMutex
	held map[string]granted // by token
}

type granted struct {
	grant sluice.Grant
	until time.Time
}

func (g *grants) find(token string, now time.Time) (sluice.Grant, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	held, ok := g.held[token]
	return held.grant, ok && now.Before(held.until)
}

func (g *grants) keep(token string, grant sluice.Grant, now time.Time) {
	until := now.Add(grantLife)
	if !grant.Expires.IsZero() && grant.Expires.Before(until) {
		until = grant.Expires
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil || len(g.held) >= maxGrants {
		g.held = map[string]granted{}
	}
	g.held[token] = granted{grant, until}
}

// authorize returns what the caller may do. Refusals are counted against its address.
func (h *Handler) authorize(r *http.Request, token string, now time.Time) (sluice.Grant, error) {
	if grant, ok := h.grants.find(token, now); ok {
		return grant, nil
	}
	grant, err := h.deps.Auth.Authorize(r.Context(), token)
	if err != nil {
		return grant, h.deps.Limiter.Refuse(wish.Remote(r), err)
	}
	h.grants.keep(token, grant, now)
	return grant, nil
}

// bearer is the token of a request: in its header, its path or its query.
func bearer(r *http.Request, inPath, inQuery string) string {
	if list := r.Header["Authorization"]; len(list) > 0 {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(list[0]), " ")
		if rest = strings.TrimSpace(rest); strings.EqualFold(scheme, "bearer") && rest != "" {
			return rest
		}
	}
	if inPath != "" {
		return inPath
	}
	return inQuery
}

// mayWatch refuses a grant that is not for watching the stream.
func mayWatch(grant sluice.Grant, stream string) error {
	if !grant.MayWatch(stream) {
		return sluice.Errorf(sluice.CodeForbidden, "the token does not allow watching this stream")
	}
	return nil
}
