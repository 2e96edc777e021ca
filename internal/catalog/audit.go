package catalog

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Action is one entry of the audit log: who did what to whom.
type Action struct {
	Stream string    `json:"-"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Target string    `json:"target,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

type auditRow struct {
	bun.BaseModel `bun:"table:audit_log"`
	ID            string `bun:"id,pk"`
	Stream        string `bun:"stream"`
	At            int64  `bun:"at"`
	Actor         string `bun:"actor"`
	Action        string `bun:"action"`
	Target        string `bun:"target"`
	Detail        string `bun:"detail"`
}

// Audit keeps an action.
func (c *Catalog) Audit(ctx context.Context, a Action) error {
	row := auditRow{
		ID: fmt.Sprintf("%013d-%s", a.At.UnixMilli(), rand.Text()[:10]), Stream: a.Stream, At: millis(a.At),
		Actor: a.Actor, Action: a.Action, Target: a.Target, Detail: a.Detail,
	}
	if _, err := c.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return fmt.Errorf("keep action: %w", err)
	}
	return nil
}

// Actions returns the last limit actions in a stream, newest first.
func (c *Catalog) Actions(ctx context.Context, stream string, limit int) ([]Action, error) {
	var rows []auditRow
	if err := c.db.NewSelect().Model(&rows).Where("stream = ?", stream).OrderExpr("id DESC").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("read actions: %w", err)
	}
	actions := make([]Action, len(rows))
	for i, r := range rows {
		actions[i] = Action{Stream: r.Stream, At: moment(r.At), Actor: r.Actor, Action: r.Action, Target: r.Target, Detail: r.Detail}
	}
	return actions, nil
}
