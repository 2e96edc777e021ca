package wish

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
)

// SDPType is the media type of offers and answers.
const SDPType = "application/sdp"

// Kind is what distinguishes WHIP from WHEP.
type Kind[S Session] struct {
	Base      string    // route of the endpoint: "/whip"
	Direction Direction // of the media, seen from the client
	// May reports whether a grant covers a stream.
	May func(g sluice.Grant, stream string) bool
	// Open starts a session for a checked offer.
	Open func(ctx context.Context, offer sluice.Offer, shape Shape) (S, error)
	// Links returns the extensions of a session by its URL. It may be nil.
	Links func(sessionURL string) []Link
}

// Config is how an Endpoint behaves. The zero value works.
type Config struct {
	Limits    Limits        // zero fields: DefaultLimits
	BodyTime  time.Duration // that a caller may take to send a body; 0: 5 s
	PublicURL string        // prefix of Location and Link; "": they are relative to the request
	// ICEServers returns the STUN and TURN servers that a caller is told to
	// use, with credentials made for that caller. nil: none.
	ICEServers func(g sluice.Grant) []ICEServer
	// Passes lets callers go to another node. nil: none are sent there.
	Passes Passes
	// Overload returns how far the server goes to carry what it has, for the event
	// streams of sessions, and what is closed when that changes. nil: it is none.
	Overload func() (step sluice.Step, changed <-chan struct{})
	// Node names this node at the end of each session's URL, after a dot, so that
	// others know whose it is. "": it is alone.
	Node string
}

// Step is what Overload says.
func (c Config) Step() (step sluice.Step, changed <-chan struct{}) {
	if c.Overload == nil {
		return sluice.StepNone, nil
	}
	return c.Overload()
}

// EventOverload is an event of our own: the server takes a step to carry what it
// has, or takes one back. Its data names the step, see StepData.
const EventOverload = "overload"

// StepData is the data of that event.
func StepData(step sluice.Step) []byte { return []byte(`{"step":"` + step.String() + `"}`) }

// Validate refuses a configuration that cannot work.
func (c Config) Validate() error {
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("the public URL must be like https://host/path")
		}
	}
	return c.Limits.Validate()
}

// Endpoint serves an endpoint URL and the URLs of its sessions. Callers route
// requests to it; it checks methods itself.
type Endpoint[S Session] struct {
	kind    Kind[S]
	config  Config
	auth    Authorizer
	limiter *Limiter
	log     *slog.Logger
	table   *table[S]
}

// NewEndpoint makes an Endpoint. A nil limiter stands for one with default
// rates. Close it after its sessions have been closed.
func NewEndpoint[S Session](kind Kind[S], auth Authorizer, limiter *Limiter, log *slog.Logger, c Config) (*Endpoint[S], error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Limits = c.Limits.withDefaults()
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if c.BodyTime <= 0 {
		c.BodyTime = 5 * time.Second
	}
	if limiter == nil {
		limiter = NewLimiter(Rates{})
	}
	return &Endpoint[S]{kind: kind, config: c, auth: auth, limiter: limiter, log: log, table: newTable[S]()}, nil
}

// Close ends the endpoint's goroutines and refuses new sessions. It closes no
// session. It is idempotent.
func (e *Endpoint[S]) Close() { e.table.close() }

// Sessions returns the live sessions.
func (e *Endpoint[S]) Sessions() []*Entry[S] { return e.table.all() }

func endpointMethods() []string {
	return []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost}
}

// ServeEndpoint serves the endpoint URL of a stream. An empty name stands for
// the stream that the caller's grant names.
func (e *Endpoint[S]) ServeEndpoint(w http.ResponseWriter, r *http.Request, stream string, named bool) {
	CORS(w.Header(), endpointMethods()...)
	if named {
		if err := sluice.CheckStreamName(stream); err != nil {
			e.Fail(w, r, err)
			return
		}
	}
	switch r.Method {
	case http.MethodPost:
		if err := e.post(w, r, stream, named); err != nil {
			e.Fail(w, r, err)
		}
	case http.MethodOptions:
		e.options(w, r, endpointMethods()...)
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", SDPType) // a player finds out that this is WHEP
		Empty(w, http.StatusOK)
	default:
		problem.MethodNotAllowed(w, r, endpointMethods()...)
	}
}

func (e *Endpoint[S]) options(w http.ResponseWriter, r *http.Request, methods ...string) {
	h := w.Header()
	h.Set("Allow", strings.Join(methods, ", "))
	h.Set("Accept-Post", SDPType)
	h.Set("Accept-Patch", FragmentType)
	// A preflight makes no credentials (RFC 9725 section 4.6), and nobody
	// gets any without the right to a session.
	if e.config.ICEServers != nil && !Preflight(r) && e.limiter.Allow(Remote(r)) == nil {
		bearer, _ := Bearer(r)
		g, err := e.auth.Authorize(r.Context(), bearer)
		switch {
		case err == nil:
			e.addICELinks(h, g)
		case bearer != "":
			_ = e.limiter.Refuse(Remote(r), err) // counted as a guess; the answer is the same
		}
	}
	Empty(w, http.StatusOK)
}

func (e *Endpoint[S]) addICELinks(h http.Header, g sluice.Grant) {
	if e.config.ICEServers == nil {
		return
	}
	for _, s := range e.config.ICEServers(g) {
		addLinks(h, s.Links())
	}
}

func addLinks(h http.Header, links []Link) {
	for _, l := range links {
		if v := l.String(); v != "" {
			h.Add("Link", v)
		}
	}
}

// post opens a session (RFC 9725 section 4.2). Checks go from cheap to dear,
// and a caller without the right learns nothing but that.
func (e *Endpoint[S]) post(w http.ResponseWriter, r *http.Request, stream string, named bool) error {
	if err := e.limiter.Allow(Remote(r)); err != nil {
		return err
	}
	bearer, inURL := Bearer(r)
	visit, placed, err := e.visit(r, stream)
	if err != nil {
		return err
	}
	if !placed {
		visit.Owner = ownerOf(bearer)
		if visit.Grant, err = e.authorize(r, bearer); err != nil {
			return err
		}
	}
	grant := visit.Grant
	if !named {
		if stream = grant.Stream; stream == "" {
			return invalid("name the stream in the URL: %s/{stream}", e.kind.Base)
		}
		if err := sluice.CheckStreamName(stream); err != nil {
			return err
		}
	}
	if !e.kind.May(grant, stream) {
		return sluice.Errorf(sluice.CodeForbidden, "the token does not allow this on the stream %q", stream)
	}
	if err := CheckType(r, SDPType); err != nil {
		return err
	}
	body, err := e.ReadBody(w, r, e.config.Limits.BodyBytes)
	if err != nil {
		return err
	}
	shape, err := CheckOffer(body, e.kind.Direction, e.config.Limits)
	if err != nil {
		return err
	}
	offer := sluice.Offer{Stream: stream, Grant: grant, SDP: body, Remote: Remote(r), Placed: placed}
	session, err := e.kind.Open(r.Context(), offer, shape)
	if err != nil {
		return e.send(err, stream, Visit{Grant: grant, Owner: visit.Owner, InURL: visit.InURL || inURL})
	}
	entry := e.enter(session, stream, shape)
	entry.owner, entry.inURL = visit.Owner, visit.InURL || inURL
	if err := e.table.add(entry); err != nil {
		session.Close("the server is closing")
		return err
	}
	e.created(w, entry, grant)
	return nil
}

func (e *Endpoint[S]) enter(session S, stream string, shape Shape) *Entry[S] {
	secret := newSecret()
	if e.config.Node != "" {
		secret += "." + e.config.Node
	}
	entry := &Entry[S]{
		Session: session, Stream: stream, Shape: shape, secret: secret,
		URL:  e.config.PublicURL + e.kind.Base + "/" + stream + "/" + secret,
		turn: make(chan struct{}, 1),
		etag: newETag(), ufrag: shape.Ufrag, pwd: shape.Pwd, remote: shape.Candidates,
		answer:   readAnswer(session.Answer()),
		restarts: rate.NewLimiter(1, 1),
	}
	entry.give()
	return entry
}

func (e *Endpoint[S]) created(w http.ResponseWriter, entry *Entry[S], grant sluice.Grant) {
	h := w.Header()
	h.Set("Content-Type", SDPType)
	h.Set("Location", entry.URL)
	h.Set("ETag", entry.etag)
	h.Set("Accept-Patch", FragmentType)
	h.Set("Cache-Control", "no-store")
	e.addICELinks(h, grant)
	if e.kind.Links != nil {
		addLinks(h, e.kind.Links(entry.URL))
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(entry.Session.Answer())) // a caller who is gone is found out by ICE
}

func (e *Endpoint[S]) authorize(r *http.Request, bearer string) (sluice.Grant, error) {
	grant, err := e.auth.Authorize(r.Context(), bearer)
	if sluice.CodeOf(err) == sluice.CodeUnauthenticated {
		err = e.limiter.Refuse(Remote(r), err)
	}
	return grant, err
}

// ReadBody reads a body of at most most bytes, within the configured time.
func (e *Endpoint[S]) ReadBody(w http.ResponseWriter, r *http.Request, most int) (string, error) {
	return readBody(w, r, most, e.config.BodyTime)
}

// Fail answers with err, and logs it when it is the server's fault. It tells a
// caller that is gone nothing.
func (e *Endpoint[S]) Fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		err = &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the request was cancelled", Err: err}
	} else if code := sluice.CodeOf(err); code == sluice.CodeInternal {
		e.log.Error("request failed", "method", r.Method, "kind", e.kind.Base, "err", err)
	}
	problem.Write(w, r, err)
}
