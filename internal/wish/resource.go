package wish

import (
	"context"
	"net/http"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
)

func sessionMethods() []string {
	return []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch}
}

// ServeSession serves a session URL.
func (e *Endpoint[S]) ServeSession(w http.ResponseWriter, r *http.Request, stream, secret string) {
	CORS(w.Header(), sessionMethods()...)
	if err := sluice.CheckStreamName(stream); err != nil {
		e.Fail(w, r, err)
		return
	}
	var err error
	switch r.Method {
	case http.MethodPatch:
		err = e.patch(w, r, stream, secret)
	case http.MethodDelete:
		err = e.delete(w, r, stream, secret)
	case http.MethodOptions:
		e.options(w, r, sessionMethods()...)
	case http.MethodGet, http.MethodHead:
		if _, err = e.Lookup(r, stream, secret); err == nil {
			Empty(w, http.StatusOK)
		}
	default:
		problem.MethodNotAllowed(w, r, sessionMethods()...)
	}
	if err != nil {
		e.Fail(w, r, err)
	}
}

// Lookup finds the session of a URL for a caller who may use it: the one with
// the bearer that made it. Anyone else gets CodeNotFound, or what the
// authorizer says of a bearer that is no good at all. It also counts the request.
func (e *Endpoint[S]) Lookup(r *http.Request, stream, secret string) (*Entry[S], error) {
	remote := Remote(r)
	if err := e.limiter.Allow(remote); err != nil {
		return nil, err
	}
	bearer, _ := Bearer(r)
	entry, ok := e.table.get(stream, secret)
	if ok && entry.admits(bearer) {
		return entry, nil
	}
	if _, err := e.authorize(r, bearer); err != nil {
		return nil, err
	}
	return nil, e.limiter.Refuse(remote, sluice.Errorf(sluice.CodeNotFound, "there is no such session"))
}

// delete ends a session (RFC 9725 section 4.2). Entity-tags do not matter here.
func (e *Endpoint[S]) delete(w http.ResponseWriter, r *http.Request, stream, secret string) error {
	entry, err := e.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	if !e.table.remove(entry) {
		return sluice.Errorf(sluice.CodeNotFound, "there is no such session")
	}
	entry.Session.Close("ended by the client")
	Empty(w, http.StatusOK)
	return nil
}

// patch adds candidates or restarts ICE (RFC 9725 section 4.3).
func (e *Endpoint[S]) patch(w http.ResponseWriter, r *http.Request, stream, secret string) error {
	entry, err := e.Lookup(r, stream, secret)
	if err != nil {
		return err
	}
	if err := CheckType(r, FragmentType); err != nil {
		return err
	}
	body, err := e.ReadBody(w, r, e.config.Limits.BodyBytes)
	if err != nil {
		return err
	}
	ice, err := ParseFragment(body, e.config.Limits)
	if err != nil {
		return err
	}
	if err := entry.take(r.Context()); err != nil {
		return err
	}
	defer entry.give()
	if err := checkIfMatch(r.Header.Values("If-Match"), entry.etag); err != nil {
		return err
	}
	if ice.Ufrag == "" || ice.Ufrag == entry.ufrag {
		return entry.trickle(r.Context(), w, ice, e.config.Limits)
	}
	return entry.restart(r.Context(), w, ice)
}

// trickle needs the entry's turn.
func (e *Entry[S]) trickle(ctx context.Context, w http.ResponseWriter, ice sluice.ICE, limits Limits) error {
	if ice.Pwd != "" && ice.Pwd != e.pwd {
		return invalid("the ice-pwd is not the one of this ice-ufrag")
	}
	if e.remote+len(ice.Candidates) > limits.Candidates {
		return invalid("the session has more than %d candidates", limits.Candidates)
	}
	ice.Ufrag, ice.Pwd = e.ufrag, e.pwd
	if err := e.Session.Trickle(ctx, ice); err != nil {
		return err
	}
	e.remote += len(ice.Candidates)
	Empty(w, http.StatusNoContent)
	return nil
}

// restart needs the entry's turn. The work is not given up when the caller
// goes away, because the next PATCH builds on its outcome.
func (e *Entry[S]) restart(ctx context.Context, w http.ResponseWriter, ice sluice.ICE) error {
	if ice.Pwd == "" {
		return invalid("a new ice-ufrag needs a new ice-pwd")
	}
	if !e.restarts.Allow() {
		return &sluice.Error{
			Code: sluice.CodeTooManyRequests, Detail: "one ICE restart a second", RetryAfter: time.Second,
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartTime)
	defer cancel()
	local, err := e.Session.Restart(ctx, ice)
	if err != nil {
		return err
	}
	e.etag, e.ufrag, e.pwd, e.remote = newETag(), ice.Ufrag, ice.Pwd, len(ice.Candidates)
	h := w.Header()
	h.Set("Content-Type", FragmentType)
	h.Set("ETag", e.etag)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(e.answer.fragment(local)))
	return nil
}

const restartTime = 10 * time.Second
