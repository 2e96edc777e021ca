package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/sluice-live/sluice"
)

type recordingRow struct {
	bun.BaseModel `bun:"table:chat_recordings"`
	Recording     string `bun:"recording,pk"`
	Stream        string `bun:"stream"`
	Started       int64  `bun:"started"`
	Ended         int64  `bun:"ended"`
	Node          string `bun:"node"`
	Seen          int64  `bun:"seen"`
}

// KeepChat notes a recording that a node has at this time: the messages of its
// time stay as long as it does. A node does so again and again.
func (c *Catalog) KeepChat(ctx context.Context, node string, now time.Time, rec sluice.Recording) error {
	row := recordingRow{Recording: rec.ID, Stream: rec.Stream, Started: millis(rec.Started), Ended: millis(rec.Ended), Node: node, Seen: millis(now)}
	_, err := c.db.NewInsert().Model(&row).On("CONFLICT (recording) DO UPDATE").
		Set("started = EXCLUDED.started").Set("ended = EXCLUDED.ended").Set("node = EXCLUDED.node").Set("seen = EXCLUDED.seen").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keep chat of recording: %w", err)
	}
	return nil
}

// KeptChats lists the recordings that a node has noted.
func (c *Catalog) KeptChats(ctx context.Context, node string) ([]string, error) {
	var ids []string
	if err := c.db.NewSelect().Model((*recordingRow)(nil)).Column("recording").Where("node = ?", node).OrderExpr("recording").Scan(ctx, &ids); err != nil {
		return nil, fmt.Errorf("read recordings of the chat: %w", err)
	}
	return ids, nil
}

// DropChat forgets a recording that has been removed, and the messages of its
// time that no other recording holds.
func (c *Catalog) DropChat(ctx context.Context, recording string) error {
	err := c.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var row recordingRow
		deleted, err := tx.NewDelete().Model(&row).Where("recording = ?", recording).Returning("*").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := deleted.RowsAffected(); err != nil || n == 0 {
			return err
		}
		q := tx.NewDelete().Model((*messageRow)(nil)).ModelTableExpr("chat_messages AS m").Where("m.stream = ?", row.Stream).
			Where("m.at >= ?", row.Started).Where(unrecorded)
		if row.Ended != 0 {
			q = q.Where("m.at < ?", row.Ended)
		}
		_, err = q.Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop chat of recording: %w", err)
	}
	return nil
}

// unrecorded is true of a message m that no recording holds.
const unrecorded = `NOT EXISTS (SELECT 1 FROM chat_recordings AS r
	WHERE r.stream = m.stream AND m.at >= r.started AND (r.ended = 0 OR m.at < r.ended))`

// Expire removes what is older than a moment: recordings that no node has noted
// since, messages that no recording holds, and bans that had ended by then.
func (c *Catalog) Expire(ctx context.Context, before time.Time) error {
	if _, err := c.db.NewDelete().Model((*recordingRow)(nil)).Where("seen < ?", millis(before)).Exec(ctx); err != nil {
		return fmt.Errorf("expire recordings: %w", err)
	}
	_, err := c.db.NewDelete().Model((*messageRow)(nil)).ModelTableExpr("chat_messages AS m").
		Where("m.at < ?", millis(before)).Where(unrecorded).Exec(ctx)
	if err != nil {
		return fmt.Errorf("expire messages: %w", err)
	}
	if _, err := c.db.NewDelete().Model((*banRow)(nil)).Where("until < ?", millis(before)).Exec(ctx); err != nil {
		return fmt.Errorf("expire bans: %w", err)
	}
	return nil
}
