package whep

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
)

// Base is the route of the endpoint.
const Base = "/whep"

// Relations of the links to a session's extensions.
const (
	RelEvents = "urn:ietf:params:whep:ext:core:server-sent-events"
	RelLayer  = "urn:ietf:params:whep:ext:core:layer"
	// RelBackup is of our own: an endpoint for the same stream, for when this
	// server no longer answers.
	RelBackup = "urn:sluice:whep:ext:backup-endpoint"
	// RelChat is of our own: the stream's chat as a WebSocket. The parameter
	// label names the data channel that carries it in the session.
	RelChat = "urn:sluice:whep:ext:chat"
)

// Viewer is a session that receives a stream.
type Viewer interface {
	wish.Session
	// SelectLayer chooses the video layer; the zero choice is automatic. A
	// rid that the stream does not have is CodeUnprocessable and changes nothing.
	SelectLayer(choice sluice.LayerChoice) error
}

// Media sends streams.
type Media interface {
	// Watch answers the offer. CodeStreamOffline: nobody publishes.
	Watch(ctx context.Context, offer sluice.Offer) (Viewer, error)
	// Stream returns a snapshot, and a channel that is closed when there is a
	// newer one.
	Stream(name string) (snapshot sluice.Stream, changed <-chan struct{})
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
type Config struct {
	wish.Config
	KeepAlive     time.Duration   // between comments on an idle event stream; 0: 15 s
	Periodic      time.Duration   // least time between viewercount events, and between layers events when only bitrates changed; 0: 5 s
	Coalesce      time.Duration   // least time between looks at a changing stream; 0: 200 ms
	EventStreams  int             // of one session, where a further one ends the oldest; 0: 4
	Chat          string          // path below which the streams' chats are; "": there are none
	Backups       func() []string // origins of other servers that have the same streams, for one session; nil: none
	ReconnectWait time.Duration   // that a player is told to wait before it asks for an event stream again; 0: 2 s
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&c.KeepAlive, 15*time.Second)
	set(&c.Periodic, 5*time.Second)
	set(&c.Coalesce, 200*time.Millisecond)
	set(&c.ReconnectWait, 2*time.Second)
	if c.EventStreams <= 0 {
		c.EventStreams = 4
	}
	return c
}

// Handler serves the WHEP routes. Its methods are net/http handlers with the
// path's parts as arguments; Routes puts them into a gin engine.
type Handler struct {
	endpoint *wish.Endpoint[*session]
	media    Media
	config   Config
	closed   chan struct{}
	once     sync.Once
}

// New makes a Handler. Close it in the end.
func New(d Deps, c Config) (*Handler, error) {
	c = c.withDefaults()
	h := &Handler{media: d.Media, config: c, closed: make(chan struct{})}
	endpoint, err := wish.NewEndpoint(wish.Kind[*session]{
		Base: Base, Direction: wish.Watch,
		May:   sluice.Grant.MayWatch,
		Open:  h.open,
		Links: h.links,
	}, d.Auth, d.Limiter, d.Log, c.Config)
	if err != nil {
		return nil, err
	}
	h.endpoint = endpoint
	return h, nil
}

func (h *Handler) open(ctx context.Context, offer sluice.Offer, shape wish.Shape) (*session, error) {
	viewer, err := h.media.Watch(ctx, offer)
	if err != nil {
		return nil, err
	}
	return newSession(viewer, shape.Video), nil
}

// links advertises the extensions (section 2.1 and 2.2 of the extensions draft).
func (h *Handler) links(sessionURL string) []wish.Link {
	links := []wish.Link{
		{URL: sessionURL + "/sse", Rel: RelEvents, Params: []wish.Param{{Name: "events", Value: strings.Join(advertised(), ",")}}},
		{URL: sessionURL + "/layer", Rel: RelLayer},
	}
	stream := path.Base(path.Dir(sessionURL))
	if h.config.Chat != "" {
		root := sessionURL[:strings.LastIndex(sessionURL, Base+"/"+stream)]
		links = append(links, wish.Link{URL: root + h.config.Chat + "/" + stream, Rel: RelChat, Params: []wish.Param{{Name: "label", Value: "chat"}}})
	}
	if h.config.Backups == nil {
		return links
	}
	for _, origin := range h.config.Backups() {
		links = append(links, wish.Link{URL: strings.TrimSuffix(origin, "/") + Base + "/" + stream, Rel: RelBackup})
	}
	return links
}

// Close ends all event streams and the handler's goroutines, and refuses new
// sessions. It ends no session. It is idempotent.
func (h *Handler) Close() {
	h.once.Do(func() { close(h.closed) })
	h.endpoint.Close()
}

// Reconnect tells the players of all sessions that they should come back, to the
// URL that to gives for a stream or, when it is "", to where they are, where
// nothing may answer for as long as wait. It reaches those that listen to reconnect
// events, returns at once, and says how many they are.
func (h *Handler) Reconnect(to func(stream string) string, wait time.Duration) (told int) {
	for _, e := range h.endpoint.Sessions() {
		if e.Session.listens() {
			told++
		}
		e.Session.reconnect(to(e.Stream), wait)
	}
	return told
}

// Leave tells the players of all sessions, one after the other over that time,
// that they should go to the URL that to gives for a stream, "" for where they
// are; those for whom it gives none stay. A session whose player does not listen
// to reconnect events is closed instead. It returns when all have been told, or
// when ctx ends; left counts those that have not gone since.
func (h *Handler) Leave(ctx context.Context, over time.Duration, to func(stream string) (url string, ok bool)) (left func() int) {
	sessions := h.endpoint.Sessions()
	rand.Shuffle(len(sessions), func(i, j int) { sessions[i], sessions[j] = sessions[j], sessions[i] })
	var told []*session
	left = func() int {
		told = slices.DeleteFunc(told, func(s *session) bool {
			select {
			case <-s.Done():
				return true
			default:
				return false
			}
		})
		return len(told)
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for _, e := range sessions {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return left
		}
		pause.Reset(over / time.Duration(len(sessions)))
		url, ok := to(e.Stream)
		if !ok {
			continue
		}
		told = append(told, e.Session)
		if e.Session.listens() {
			e.Session.reconnect(url, 0)
		} else {
			e.Session.Close("the node hands its viewers over")
		}
	}
	return left
}

// Sessions returns how many there are.
func (h *Handler) Sessions() int { return len(h.endpoint.Sessions()) }

// CloseSessions ends all sessions.
func (h *Handler) CloseSessions(reason string) {
	for _, e := range h.endpoint.Sessions() {
		e.Session.Close(reason)
	}
}

// Stream serves the endpoint of one stream.
func (h *Handler) Stream(w http.ResponseWriter, r *http.Request, stream string) {
	h.endpoint.ServeEndpoint(w, r, stream, true)
}

// Session serves the URL of a session.
func (h *Handler) Session(w http.ResponseWriter, r *http.Request, stream, secret string) {
	h.endpoint.ServeSession(w, r, stream, secret)
}
