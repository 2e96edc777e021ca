package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/wish"
)

// keyRetry is when to ask again while the database does not answer.
const keyRetry = 2 * time.Second

// streamKeys are the keys of the catalog, for publishers and for the control API.
type streamKeys struct {
	catalog *catalog.Catalog
	ring    *auth.Keyring
	log     *slog.Logger
	away    atomic.Bool // the database did not answer when it was asked last
}

// openCatalog opens the database, and with it the stream keys.
func (n *Node) openCatalog() (err error) {
	if n.catalog, err = catalog.Open(context.Background(), string(n.config.Database.URL), n.config.Data.Dir); err != nil {
		return fmt.Errorf("database.url: %w", err)
	}
	n.keys = &streamKeys{catalog: n.catalog, log: n.log}
	n.keys.ring = auth.NewKeyring(n.auth, n.keys, func(ctx context.Context) error {
		return n.limiter.Barred(wish.RemoteOf(ctx))
	})
	return nil
}

// FindKey implements auth.KeyFinder.
func (s *streamKeys) FindKey(ctx context.Context, hash auth.KeyHash) (sluice.StreamKey, error) {
	key, err := s.catalog.FindKey(ctx, hash, time.Now())
	return key, s.answered(err)
}

// MakeKey implements signaling.Keys.
func (s *streamKeys) MakeKey(ctx context.Context, stream, name string) (sluice.StreamKey, string, error) {
	secret := auth.NewStreamKey()
	hash, err := auth.HashStreamKey(secret)
	if err != nil {
		return sluice.StreamKey{}, "", fmt.Errorf("make stream key: %w", err)
	}
	key, err := s.catalog.AddKey(ctx, stream, name, hash, time.Now())
	if err := s.answered(err); err != nil {
		return sluice.StreamKey{}, "", err
	}
	s.log.Info("stream key made", "stream", stream, "key", key.ID)
	return key, secret, nil
}

// ListKeys implements signaling.Keys.
func (s *streamKeys) ListKeys(ctx context.Context, stream, after string, limit int) ([]sluice.StreamKey, error) {
	keys, err := s.catalog.Keys(ctx, stream, after, limit)
	return keys, s.answered(err)
}

// RevokeKey implements signaling.Keys.
func (s *streamKeys) RevokeKey(ctx context.Context, id string) error {
	key, err := s.catalog.DropKey(ctx, id)
	if err := s.answered(err); err != nil {
		return err
	}
	s.ring.Forget(id)
	s.log.Info("stream key revoked", "stream", key.Stream, "key", id)
	return nil
}

// answered makes an error of the database one for callers, and logs when it stops
// answering and when it does again.
func (s *streamKeys) answered(err error) error {
	code := sluice.CodeOf(err)
	switch {
	case code != sluice.CodeInternal:
		if s.away.Swap(false) {
			s.log.Info("the database answers again")
		}
		return err
	case errors.Is(err, context.Canceled): // the caller went away
	case !s.away.Swap(true):
		s.log.Error("the database does not answer: nobody can begin to publish with a stream key", "err", err)
	}
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the database does not answer", RetryAfter: keyRetry, Err: err}
}
