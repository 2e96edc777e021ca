package relay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

// Base is the route of the protocol.
const Base = "/relay/v1"

// ticketHeader carries the ticket of an answer.
const ticketHeader = "Sluice-Ticket"

const (
	maxBody  = 256 << 10 // bytes of a request or an answer
	bodyTime = 5 * time.Second
	// newsInterval is the most time between two lines of news, and newsGap the
	// least.
	newsInterval = 500 * time.Millisecond
	newsGap      = 100 * time.Millisecond
	// newsTimeout is how long a write of news may take.
	newsTimeout = 5 * time.Second
	// orphanTime is how long a branch lasts whose news nobody takes.
	orphanTime = 500 * time.Millisecond
)

// Pull is another node's request for a stream.
type Pull struct {
	Node   string // that asks
	Region string
	Offer  sluice.Offer
}

// Branch is a stream on its way to another node.
type Branch interface {
	Answer() sluice.RelayAnswer
	// News is what the other node should know now. changed is closed when there
	// is more.
	News() (news sluice.RelayNews, changed <-chan struct{})
	// SetViewers notes how many viewers are behind the other node.
	SetViewers(n int)
	Close(reason string)
	Done() <-chan struct{}
}

// Source gives streams to other nodes. CodeStreamOffline: there is none.
// CodeUnavailable: this node takes no more. CodeForbidden: the other node is
// where the stream comes from.
type Source interface {
	Feed(ctx context.Context, p Pull) (Branch, error)
}

// Tickets signs and checks what nodes send each other.
type Tickets interface {
	// Sign returns the ticket of a message to another node, and the ticket's id.
	Sign(to, about string, body []byte) (ticket, id string, err error)
	// Check returns who sent a message to this node, and the ticket's id.
	Check(ticket, about string, body []byte) (from, id string, err error)
}

// Server answers other nodes.
type Server struct {
	source  Source
	tickets Tickets
	limiter *wish.Limiter
	log     *slog.Logger
	closed  chan struct{}
	once    sync.Once

	mu       sync.Mutex
	branches map[string]*entry // by the secret id of their URL
}

type entry struct {
	Branch
	stream, node string

	mu      sync.Mutex
	readers int
	orphan  *time.Timer // closes the branch; runs while nobody takes its news
}

func newEntry(b Branch, stream, node string) *entry {
	e := &entry{Branch: b, stream: stream, node: node}
	e.orphan = time.AfterFunc(askTimeout, e.abandon)
	return e
}

func (e *entry) abandon() { e.Close("the other node takes no news") }

// read notes that somebody takes the news, until the function that it returns is
// called.
func (e *entry) read() (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readers++
	e.orphan.Stop()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.readers--; e.readers == 0 {
			e.orphan.Reset(orphanTime)
		}
	}
}

// NewServer makes a Server. The limiter counts refused tickets.
func NewServer(source Source, tickets Tickets, limiter *wish.Limiter, log *slog.Logger) *Server {
	return &Server{source: source, tickets: tickets, limiter: limiter, log: log, closed: make(chan struct{}), branches: map[string]*entry{}}
}

// Close ends all streams of news. It ends no branch. It is idempotent.
func (s *Server) Close() {
	s.once.Do(func() { close(s.closed) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.branches {
		e.orphan.Stop()
	}
}

// Routes adds the routes to r.
func (s *Server) Routes(r gin.IRouter) {
	handle := func(f func(w http.ResponseWriter, r *http.Request, stream, id string) error) gin.HandlerFunc {
		return func(c *gin.Context) {
			stream := c.Param("stream")
			err := sluice.CheckStreamName(stream)
			if err == nil {
				err = f(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), stream, c.Param("id"))
			}
			if err != nil {
				problem.Write(c.Writer, c.Request, err)
			}
		}
	}
	r.POST(Base+"/:stream", handle(s.open))
	r.GET(Base+"/:stream/:id", handle(s.news))
	r.POST(Base+"/:stream/:id", handle(s.viewers))
	r.DELETE(Base+"/:stream/:id", handle(s.end))
}

// ask is the body of the first request.
type ask struct {
	SDP    string `json:"sdp"`
	Region string `json:"region"`
}

// Answer is what it is answered with.
type Answer struct {
	sluice.RelayAnswer
	News sluice.RelayNews `json:"news"`
}

// check reads a request's body and finds out which node it is from.
func (s *Server) check(w http.ResponseWriter, r *http.Request) (from, ticket string, body []byte, err error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // a recorder in a test has none
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{}) // it would end the news
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return "", "", nil, sluice.Errorf(sluice.CodeTooLarge, "a request has at most %d bytes", maxBody)
		}
		return "", "", nil, sluice.Errorf(sluice.CodeInvalid, "the request's body does not come")
	}
	bearer, _ := wish.Bearer(r)
	from, ticket, err = s.tickets.Check(bearer, about(r.Method, r.URL.Path), body)
	if sluice.CodeOf(err) == sluice.CodeUnauthenticated {
		err = s.limiter.Refuse(wish.Remote(r), err)
	}
	return from, ticket, body, err
}

// about is what a ticket says of a request: a proxy may have put something before
// the route.
func about(method, path string) string {
	return method + " " + path[max(strings.Index(path, Base), 0):]
}

func (s *Server) open(w http.ResponseWriter, r *http.Request, stream, _ string) error {
	from, ticket, body, err := s.check(w, r)
	if err != nil {
		return err
	}
	var a ask
	if err := json.Unmarshal(body, &a); err != nil {
		return sluice.Errorf(sluice.CodeInvalid, "the request is not JSON as it should be")
	}
	b, err := s.source.Feed(r.Context(), Pull{
		Node: from, Region: a.Region,
		Offer: sluice.Offer{Stream: stream, SDP: a.SDP, Remote: wish.Remote(r), Grant: sluice.Grant{Identity: from, Watch: true}},
	})
	if err != nil {
		return err
	}
	id := rand.Text()
	news, _ := b.News()
	out, err := json.Marshal(Answer{RelayAnswer: b.Answer(), News: news})
	if err == nil {
		var signed string
		if signed, _, err = s.tickets.Sign(from, ticket, out); err == nil {
			w.Header().Set(ticketHeader, signed)
		}
	}
	if err != nil {
		b.Close("the answer cannot be made")
		return err
	}
	s.keep(id, newEntry(b, stream, from))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", Base+"/"+stream+"/"+id)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(out)
	return nil
}

// keep remembers a branch until it is done or the server is closed.
func (s *Server) keep(id string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, e := range s.branches { // those that ended by themselves
		select {
		case <-e.Done():
			e.orphan.Stop()
			delete(s.branches, old)
		default:
		}
	}
	s.branches[id] = e
}

// find returns the branch of a URL to the node that made it.
func (s *Server) find(w http.ResponseWriter, r *http.Request, stream, id string) (*entry, []byte, error) {
	from, _, body, err := s.check(w, r)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	e, ok := s.branches[id]
	s.mu.Unlock()
	if !ok || e.stream != stream || e.node != from {
		return nil, nil, sluice.Errorf(sluice.CodeNotFound, "there is no such relay")
	}
	return e, body, nil
}

func (s *Server) end(w http.ResponseWriter, r *http.Request, stream, id string) error {
	e, _, err := s.find(w, r, stream, id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.branches, id)
	s.mu.Unlock()
	e.Close("ended by the other node")
	wish.Empty(w, http.StatusOK)
	return nil
}

// count is the body that tells of viewers.
type count struct {
	Viewers int `json:"viewers"`
}

func (s *Server) viewers(w http.ResponseWriter, r *http.Request, stream, id string) error {
	e, body, err := s.find(w, r, stream, id)
	if err != nil {
		return err
	}
	var c count
	if err := json.Unmarshal(body, &c); err != nil || c.Viewers < 0 {
		return sluice.Errorf(sluice.CodeInvalid, "the request is not JSON as it should be")
	}
	e.SetViewers(c.Viewers)
	wish.Empty(w, http.StatusNoContent)
	return nil
}

// news writes what changes, and something at least each newsInterval.
func (s *Server) news(w http.ResponseWriter, r *http.Request, stream, id string) error {
	e, _, err := s.find(w, r, stream, id)
	if err != nil {
		return err
	}
	defer e.read()()
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	gap := time.NewTicker(newsGap)
	defer gap.Stop()
	for {
		news, changed := e.News()
		if err := write(w, rc, news); err != nil {
			s.log.Debug("news to another node", "stream", stream, "node", e.node, "err", err)
			return nil // the answer has begun
		}
		idle := time.NewTimer(newsInterval)
		select {
		case <-changed:
		case <-idle.C:
		case <-e.Done():
			idle.Stop()
			news, _ := e.News()
			_ = write(w, rc, news)
			return nil
		case <-s.closed:
			idle.Stop()
			return nil
		case <-r.Context().Done():
			idle.Stop()
			return nil
		}
		idle.Stop()
		select {
		case <-gap.C:
		case <-e.Done():
		case <-s.closed:
			return nil
		}
	}
}

func write(w io.Writer, rc *http.ResponseController, news sluice.RelayNews) error {
	line, err := json.Marshal(news)
	if err != nil {
		return err
	}
	_ = rc.SetWriteDeadline(time.Now().Add(newsTimeout))
	if _, err := w.Write([]byte("data: " + string(line) + "\n\n")); err != nil {
		return err
	}
	return rc.Flush()
}
