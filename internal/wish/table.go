package wish

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"

	"golang.org/x/time/rate"

	sluice "github.com/sluice-live/sluice"
)

// Entry is one session in the table: what its URL needs to know about it.
type Entry[S Session] struct {
	Session S
	Stream  string
	URL     string // of the session, as in Location
	Shape   Shape  // of the offer

	secret string
	owner  owner
	inURL  bool // the bearer came in the URL; the session URL's secret is enough then

	turn     chan struct{} // holds one token: PATCHes take turns, and the holder owns what follows
	etag     string
	ufrag    string // the client's, of the current ICE session
	pwd      string
	remote   int // candidates in the current ICE session
	answer   iceSession
	restarts *rate.Limiter
}

// take waits for the entry's turn. The caller gives it back with give.
func (e *Entry[S]) take(ctx context.Context) error {
	select {
	case <-e.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Entry[S]) give() { e.turn <- struct{}{} }

// admits reports whether bearer may use the session.
func (e *Entry[S]) admits(bearer string) bool {
	return owns(e.owner, bearer) || e.inURL && bearer == ""
}

type tableKey [sha256.Size]byte // digest of a secret, so that a lookup's time tells nothing

// table holds the live sessions by the secret of their URL.
type table[S Session] struct {
	closed chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	entries map[tableKey]*Entry[S]
	closing bool
}

func newTable[S Session]() *table[S] {
	return &table[S]{closed: make(chan struct{}), entries: make(map[tableKey]*Entry[S])}
}

// secretBytes is 144 bits, more than the 128 that RFC 9725 section 5 leads to.
const secretBytes = 18

func newSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// add puts e under its secret and takes it out when its session is done.
// It returns CodeUnavailable once the table is closed.
func (t *table[S]) add(e *Entry[S]) error {
	key := tableKey(sha256.Sum256([]byte(e.secret)))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing {
		return sluice.Errorf(sluice.CodeUnavailable, "the server is closing")
	}
	t.entries[key] = e
	t.wg.Go(func() {
		select {
		case <-e.Session.Done():
			t.mu.Lock()
			delete(t.entries, key)
			t.mu.Unlock()
		case <-t.closed:
		}
	})
	return nil
}

// get returns the session with that secret on that stream.
func (t *table[S]) get(stream, secret string) (*Entry[S], bool) {
	key := tableKey(sha256.Sum256([]byte(secret)))
	t.mu.Lock()
	e, ok := t.entries[key]
	t.mu.Unlock()
	if !ok || e.Stream != stream {
		return nil, false
	}
	select {
	case <-e.Session.Done():
		return nil, false
	default:
		return e, true
	}
}

// remove takes e out, and reports whether it was still in.
func (t *table[S]) remove(e *Entry[S]) bool {
	key := tableKey(sha256.Sum256([]byte(e.secret)))
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.entries[key]
	delete(t.entries, key)
	return ok
}

func (t *table[S]) all() []*Entry[S] {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*Entry[S], 0, len(t.entries))
	for _, e := range t.entries {
		all = append(all, e)
	}
	return all
}

// close ends the table's goroutines. It is idempotent.
func (t *table[S]) close() {
	t.mu.Lock()
	if !t.closing {
		t.closing = true
		close(t.closed)
	}
	t.mu.Unlock()
	t.wg.Wait()
}
