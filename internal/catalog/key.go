package catalog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/sluice-live/sluice"
)

// usedEvery is how exactly it is kept when a key was used last: one write in so long.
const usedEvery = time.Minute

type keyRow struct {
	bun.BaseModel `bun:"table:stream_keys"`
	ID            string `bun:"id,pk"`
	Hash          string `bun:"hash"`
	Stream        string `bun:"stream"`
	Name          string `bun:"name"`
	Created       int64  `bun:"created"`
	Used          int64  `bun:"used"`
}

func (r keyRow) key() sluice.StreamKey {
	return sluice.StreamKey{ID: r.ID, Stream: r.Stream, Name: r.Name, Created: moment(r.Created), Used: moment(r.Used)}
}

// AddKey keeps a stream key by the hash of its secret, and names it.
func (c *Catalog) AddKey(ctx context.Context, stream, name string, hash [sha256.Size]byte, now time.Time) (sluice.StreamKey, error) {
	row := keyRow{ID: keyID(now), Hash: hex.EncodeToString(hash[:]), Stream: stream, Name: name, Created: millis(now)}
	if _, err := c.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return sluice.StreamKey{}, fmt.Errorf("keep stream key: %w", err)
	}
	return row.key(), nil
}

// keyID is sortable by its time, to the millisecond.
func keyID(now time.Time) string {
	var raw [10]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	binary.BigEndian.PutUint64(raw[:], uint64(now.UnixMilli())<<16|uint64(raw[6])<<8|uint64(raw[7]))
	return strings.ToLower(base32.HexEncoding.EncodeToString(raw[:]))
}

// Keys lists up to limit keys behind the id after, of one stream or with "" of all,
// by id.
func (c *Catalog) Keys(ctx context.Context, stream, after string, limit int) ([]sluice.StreamKey, error) {
	var rows []keyRow
	q := c.db.NewSelect().Model(&rows).Where("id > ?", after).OrderExpr("id").Limit(int64(limit))
	if stream != "" {
		q = q.Where("stream = ?", stream)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read stream keys: %w", err)
	}
	keys := make([]sluice.StreamKey, len(rows))
	for i, r := range rows {
		keys[i] = r.key()
	}
	return keys, nil
}

// FindKey returns the key with a hash and notes, if it can, that it is used now; what
// it returns is from before. CodeNotFound: there is none.
func (c *Catalog) FindKey(ctx context.Context, hash [sha256.Size]byte, now time.Time) (sluice.StreamKey, error) {
	var row keyRow
	err := c.db.NewSelect().Model(&row).Where("hash = ?", hex.EncodeToString(hash[:])).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return sluice.StreamKey{}, sluice.Errorf(sluice.CodeNotFound, "there is no such stream key")
	}
	if err != nil {
		return sluice.StreamKey{}, fmt.Errorf("read stream key: %w", err)
	}
	if before := millis(now.Add(-usedEvery)); row.Used < before {
		// Best effort: a database that only reads keeps nobody from publishing.
		_, _ = c.db.NewUpdate().Model((*keyRow)(nil)).Set("used = ?", millis(now)).
			Where("id = ?", row.ID).Where("used < ?", before).Exec(ctx)
	}
	return row.key(), nil
}

// DropKey revokes a key. CodeNotFound: there is none.
func (c *Catalog) DropKey(ctx context.Context, id string) (sluice.StreamKey, error) {
	var row keyRow
	deleted, err := c.db.NewDelete().Model(&row).Where("id = ?", id).Returning("*").Exec(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return sluice.StreamKey{}, fmt.Errorf("revoke stream key: %w", err)
	}
	if err == nil {
		n, err := deleted.RowsAffected()
		if err != nil {
			return sluice.StreamKey{}, fmt.Errorf("revoke stream key: %w", err)
		}
		if n > 0 {
			return row.key(), nil
		}
	}
	return sluice.StreamKey{}, sluice.Errorf(sluice.CodeNotFound, "there is no such stream key")
}
