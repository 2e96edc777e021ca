package whip

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
)

// Base is the route of the endpoint.
const Base = "/whip"

// Media receives streams.
type Media interface {
	// Publish answers the offer. CodeStreamBusy: another publisher holds the
	// stream; CodeUnprocessable: the offer cannot be served.
	Publish(ctx context.Context, offer sluice.Offer) (wish.Session, error)
}

// Authorizer says what a bearer may do.
type Authorizer = wish.Authorizer

// Deps is what a Handler works with. All but Limiter are required.
type Deps struct {
	Media   Media
	Auth    Authorizer
	Limiter *wish.Limiter // nil: one of its own with default rates
	Log     *slog.Logger
}

// Config is how a Handler behaves. The zero value works.
type Config = wish.Config

// Handler serves the WHIP routes. Its methods are net/http handlers with the
// path's parts as arguments; Routes puts them into a gin engine.
type Handler struct {
	endpoint *wish.Endpoint[*session]
	config   Config
	closed   chan struct{}
	once     sync.Once
}

// New makes a Handler. Close it in the end.
func New(d Deps, c Config) (*Handler, error) {
	endpoint, err := wish.NewEndpoint(wish.Kind[*session]{
		Base: Base, Direction: wish.Publish,
		May: sluice.Grant.MayPublish,
		Open: func(ctx context.Context, offer sluice.Offer, _ wish.Shape) (*session, error) {
			s, err := d.Media.Publish(ctx, offer)
			if err != nil {
				return nil, err
			}
			return newSession(s), nil
		},
		Links: func(sessionURL string) []wish.Link {
			return []wish.Link{{URL: sessionURL + "/sse", Rel: RelEvents, Params: []wish.Param{{Name: "events", Value: "reconnect," + wish.EventOverload}}}}
		},
	}, d.Auth, d.Limiter, d.Log, c)
	if err != nil {
		return nil, err
	}
	return &Handler{endpoint: endpoint, config: c, closed: make(chan struct{})}, nil
}

// Close ends all event streams and the handler's goroutines, and refuses new
// sessions. It ends no session. It is idempotent.
func (h *Handler) Close() {
	h.once.Do(func() { close(h.closed) })
	h.endpoint.Close()
}

// CloseSessions ends all sessions.
func (h *Handler) CloseSessions(reason string) {
	for _, e := range h.endpoint.Sessions() {
		e.Session.Close(reason)
	}
}

// Unnamed serves the endpoint whose stream the caller's token names.
func (h *Handler) Unnamed(w http.ResponseWriter, r *http.Request) {
	h.endpoint.ServeEndpoint(w, r, "", false)
}

// Stream serves the endpoint of one stream.
func (h *Handler) Stream(w http.ResponseWriter, r *http.Request, stream string) {
	h.endpoint.ServeEndpoint(w, r, stream, true)
}

// Session serves the URL of a session.
func (h *Handler) Session(w http.ResponseWriter, r *http.Request, stream, secret string) {
	h.endpoint.ServeSession(w, r, stream, secret)
}
