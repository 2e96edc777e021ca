package sfu

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// Deps are what an SFU needs of others. Nil observers are ignored.
type Deps struct {
	Log          *slog.Logger
	ForwardDelay Observer // from a packet's arrival to its sending, sampled
	JoinTime     Observer // from a viewer's offer to its first video packet
	// Chat takes a chat channel and returns when it is done with it, or the
	// channel has ended. nil: there is no chat, and data channels are refused.
	Chat func(*Channel)
	// Tell is told of what publishers and viewers do, and that a stream is over on
	// this node, more than once at times; relays are none of them. It is called with locks held: it
	// must neither block nor call the SFU. nil: nobody is.
	Tell func(sluice.Event)
}

// SFU is the media plane of one node. Its methods may be called from any
// goroutine.
type SFU struct {
	cfg         Config
	log         *slog.Logger
	deps        Deps
	transport   *transport
	certificate webrtc.Certificate
	start       time.Time // origin of the monotonic clock
	counters    counters
	vigil       vigil
	cap         atomic.Int32  // a Cap
	delay       uint32        // configured playout delay; 0: none
	answering   chan struct{} // has room for as many viewers' offers as are answered at a time
	tracks      atomic.Uint64 // tracks that taps have seen

	running sync.WaitGroup // sessions that are not freed yet

	mu       sync.Mutex
	sessions map[*session]struct{}
	streams  map[string]*stream
	pending  map[netip.Addr]int // sessions that are not connected yet
	closed   bool

	appeared chan struct{} // closed when a stream appears
}

// New opens the media sockets. Close frees them.
func New(cfg Config, deps Deps) (*SFU, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sfu: %w", err)
	}
	cfg = cfg.withDefaults()
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.ForwardDelay == nil {
		deps.ForwardDelay = discard{}
	}
	if deps.JoinTime == nil {
		deps.JoinTime = discard{}
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("sfu: %w", err)
	}
	t, err := listen(context.Background(), cfg, deps.Log)
	if err != nil {
		return nil, fmt.Errorf("sfu: %w", err)
	}
	return &SFU{
		cfg: cfg, log: deps.Log, deps: deps, transport: t, certificate: *certificate,
		start: time.Now(), streams: map[string]*stream{}, pending: map[netip.Addr]int{},
		appeared: make(chan struct{}), sessions: map[*session]struct{}{}, delay: playoutDelayOf(cfg),
		answering: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}, nil
}

// certificateLife outlives any process. Peers check the fingerprint that the
// answer holds, not the dates; Pion itself refuses a certificate of its own that
// has expired, and makes them for a month.
const certificateLife = 100 * 365 * 24 * time.Hour

// newCertificate makes the DTLS certificate of all sessions.
func newCertificate() (*webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	now := time.Now()
	certificate, err := webrtc.NewCertificate(key, x509.Certificate{
		SerialNumber: serial, Version: 2,
		Subject:   pkix.Name{CommonName: "sluice"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(certificateLife),
	})
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return certificate, nil
}

// now is the SFU's monotonic clock in nanoseconds.
func (s *SFU) now() int64 { return int64(time.Since(s.start)) }

// MediaPort is the UDP (and TCP) port in use.
func (s *SFU) MediaPort() int { return s.transport.port() }

// reserve takes a place among the pending sessions.
func (s *SFU) reserve(remote netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node is closing", RetryAfter: time.Second}
	case s.pending[remote] >= s.cfg.MaxPendingPerIP:
		return &sluice.Error{Code: sluice.CodeTooManyRequests, Detail: "too many of your sessions are not connected yet", RetryAfter: 5 * time.Second}
	case s.counters.pending.Load() >= int64(s.cfg.MaxPending):
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "too many sessions are not connected yet", RetryAfter: 5 * time.Second}
	}
	s.pending[remote]++
	s.counters.pending.Add(1)
	s.running.Add(1)
	return nil
}

// enter notes a session that has reserved its place.
func (s *SFU) enter(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[ses] = struct{}{}
}

// exit forgets a session that has been freed.
func (s *SFU) exit(ses *session) {
	s.mu.Lock()
	delete(s.sessions, ses)
	s.mu.Unlock()
	s.running.Done()
}

func (s *SFU) release(remote netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[remote]--; s.pending[remote] <= 0 {
		delete(s.pending, remote)
	}
	s.counters.pending.Add(-1)
}

// stream returns the stream of that name, making it when create is set. The
// caller holds a use of it until it calls unuse.
func (s *SFU) stream(name string, create bool) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if st == nil && create && !s.closed {
		st = newStream(s, name)
		s.streams[name] = st
		close(s.appeared)
		s.appeared = make(chan struct{})
	}
	if st != nil {
		st.uses++
	}
	return st
}

// use takes another use of a stream that is in use.
func (s *SFU) use(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.uses++
}

// unuse gives a use of a stream up. The last one ends the stream.
func (s *SFU) unuse(st *stream) {
	s.mu.Lock()
	st.uses--
	last := st.uses == 0
	if last {
		delete(s.streams, st.name)
		st.tellEnded() // before another of its name begins
	}
	s.mu.Unlock()
	if last {
		st.close()
	}
}

func (s *SFU) streamCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// Publish answers a publisher's offer. Errors carry a sluice.Code: the stream
// has a live publisher (CodeStreamBusy), the offer cannot be accepted, or a
// limit is reached.
func (s *SFU) Publish(ctx context.Context, o sluice.Offer) (*Publisher, error) {
	st := s.stream(o.Stream, true)
	if st == nil {
		return nil, errClosing()
	}
	defer s.unuse(st)
	return st.publish(ctx, o)
}

// Watch answers a viewer's offer. CodeStreamOffline means that nobody
// publishes the stream, and waiting is not configured.
func (s *SFU) Watch(ctx context.Context, o sluice.Offer) (*Viewer, error) {
	st := s.stream(o.Stream, s.cfg.Wait)
	if st == nil {
		return nil, errOffline()
	}
	defer s.unuse(st)
	return st.watch(ctx, o)
}

func errClosing() error {
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node is closing", RetryAfter: time.Second}
}

func errOffline() error {
	return &sluice.Error{Code: sluice.CodeStreamOffline, Detail: "nobody publishes this stream", RetryAfter: 2 * time.Second}
}

// ViewersHere is how many viewers of a stream have their session on this node.
// Those of nodes that pull it from here are not among them.
func (s *SFU) ViewersHere(name string) int {
	st := s.stream(name, false)
	if st == nil {
		return 0
	}
	defer s.unuse(st)
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.viewers)
}

// Stream returns a snapshot of a stream and a channel that is closed when a
// newer one exists. For a stream that this node does not have the
// channel is closed when any stream appears.
func (s *SFU) Stream(name string) (sluice.Stream, <-chan struct{}) {
	s.mu.Lock()
	appeared := s.appeared
	s.mu.Unlock()
	st := s.stream(name, false)
	if st == nil {
		return sluice.Stream{Name: name, State: sluice.StreamOffline, Layers: []sluice.Layer{}}, appeared
	}
	defer s.unuse(st)
	return st.snapshot()
}

// Streams returns a snapshot of every stream that has a publisher or viewers,
// ordered by name.
func (s *SFU) Streams() []sluice.Stream {
	s.mu.Lock()
	names := make([]string, 0, len(s.streams))
	for name := range s.streams {
		names = append(names, name)
	}
	s.mu.Unlock()
	slices.Sort(names)
	var all []sluice.Stream
	for _, name := range names {
		st := s.stream(name, false)
		if st == nil {
			continue
		}
		snapshot, _ := st.snapshot()
		s.unuse(st)
		all = append(all, snapshot)
	}
	return all
}

// Viewers returns a snapshot of a stream's viewers, the oldest first.
func (s *SFU) Viewers(name string) []sluice.Viewer {
	st := s.stream(name, false)
	if st == nil {
		return nil
	}
	defer s.unuse(st)
	viewers := st.viewerSnapshots()
	slices.SortFunc(viewers, func(a, b sluice.Viewer) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return viewers
}

// Close ends every session, viewers before publishers, and closes the sockets.
// It returns when all goroutines have ended.
func (s *SFU) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.endSessions(viewing)
	s.endSessions(publishing)
	s.running.Wait()
	s.mu.Lock()
	streams := slices.Collect(maps.Values(s.streams))
	s.mu.Unlock()
	for _, st := range streams {
		st.endGrace()
	}
	return s.transport.close()
}

// endSessions closes every session of a role.
func (s *SFU) endSessions(r role) {
	s.mu.Lock()
	sessions := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	var ending sync.WaitGroup
	for _, ses := range sessions {
		if ses.role == r {
			ending.Go(func() { ses.Close("the node is closing") })
		}
	}
	ending.Wait()
}
