package auth

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluice-live/sluice"
)

const (
	// KeyLife is how long a Keyring believes what it has learned of a stream key: so
	// long one is good that another node has revoked.
	KeyLife = 2 * time.Second
	// maxKnown is of how many it remembers that.
	maxKnown = 4096
	// keyTime is how long looking one up may take.
	keyTime = 2 * time.Second
	// keyMisses is how many that do not exist are looked up in a second.
	keyMisses = 100
)

// KeyFinder keeps stream keys by their hash.
type KeyFinder interface {
	// FindKey returns a key that is good. CodeNotFound: there is none; any other
	// error: nobody knows.
	FindKey(ctx context.Context, hash KeyHash) (sluice.StreamKey, error)
}

// Keyring reads grants of publishers: from stream keys, which it looks up, and from
// all other bearers as an Authorizer does. It runs nothing in the background.
type Keyring struct {
	tokens *Authorizer
	finder KeyFinder
	barred func(context.Context) error
	misses *rate.Limiter

	mu    sync.Mutex
	known map[KeyHash]knownKey
}

type knownKey struct {
	id     string
	stream string // "": there is no such key
	until  time.Time
}

// NewKeyring makes a Keyring. barred says why a caller may not have keys looked up,
// or nil: limits of one caller belong to others.
func NewKeyring(tokens *Authorizer, finder KeyFinder, barred func(context.Context) error) *Keyring {
	return &Keyring{
		tokens: tokens, finder: finder, barred: barred,
		misses: rate.NewLimiter(keyMisses, keyMisses), known: map[KeyHash]knownKey{},
	}
}

// Authorize is that of an Authorizer, but for stream keys: they grant publishing one
// stream and nothing else. Errors beside CodeUnauthenticated are CodeUnavailable, when
// it cannot be known whether a key is good, and those of barred.
func (k *Keyring) Authorize(ctx context.Context, bearer string) (sluice.Grant, error) {
	if !isStreamKey(bearer) {
		return k.tokens.Authorize(ctx, bearer)
	}
	hash, err := HashStreamKey(bearer)
	if err != nil {
		return sluice.Grant{}, err
	}
	key, ok := k.recall(hash)
	if !ok {
		if key, err = k.find(ctx, hash); err != nil {
			return sluice.Grant{}, err
		}
	}
	if key.stream == "" {
		return sluice.Grant{}, refusal("there is no such stream key, or it has been revoked")
	}
	return sluice.Grant{Stream: key.stream, Publish: true}, nil
}

// Forget makes a key be looked up again.
func (k *Keyring) Forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, key := range k.known {
		if key.id == id {
			delete(k.known, hash)
		}
	}
}

func (k *Keyring) recall(hash KeyHash) (knownKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.known[hash]
	return key, ok && time.Now().Before(key.until)
}

func (k *Keyring) find(ctx context.Context, hash KeyHash) (knownKey, error) {
	if err := k.barred(ctx); err != nil {
		return knownKey{}, err
	}
	if k.misses.Tokens() < 1 {
		return knownKey{}, &sluice.Error{Code: sluice.CodeUnavailable, Detail: "too many stream keys are tried that do not exist", RetryAfter: time.Second}
	}
	asked := time.Now() // what is decided meanwhile counts from the start
	ctx, cancel := context.WithTimeout(ctx, keyTime)
	defer cancel()
	found, err := k.finder.FindKey(ctx, hash)
	switch sluice.CodeOf(err) {
	case "":
	case sluice.CodeNotFound:
		k.misses.Allow()
		found = sluice.StreamKey{}
	default:
		return knownKey{}, &sluice.Error{Code: sluice.CodeUnavailable, Detail: "stream keys cannot be checked now", RetryAfter: keyTime, Err: err}
	}
	key := knownKey{id: found.ID, stream: found.Stream, until: asked.Add(KeyLife)}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= maxKnown {
		clear(k.known)
	}
	k.known[hash] = key
	return key, nil
}
