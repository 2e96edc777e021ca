package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// Message is a chat message as it is kept. ID is unique in its stream, and
// sorts as the messages were placed.
type Message struct {
	Stream string
	ID     string
	At     time.Time
	UserID string
	Name   string
	Role   string
	Origin string // tag of the sender's address, "" when there is none
	Ref    string
	Text   string
}

type messageRow struct {
	bun.BaseModel `bun:"table:chat_messages"`
	Stream        string `bun:"stream,pk"`
	ID            string `bun:"id,pk"`
	At            int64  `bun:"at"`
	UserID        string `bun:"user_id"`
	UserName      string `bun:"user_name"`
	Role          string `bun:"role"`
	Origin        string `bun:"origin"`
	Ref           string `bun:"ref"`
	Text          string `bun:"text"`
	Deleted       int64  `bun:"deleted"`
}

func (r messageRow) message() Message {
	return Message{
		Stream: r.Stream, ID: r.ID, At: moment(r.At), UserID: r.UserID, Name: r.UserName,
		Role: r.Role, Origin: r.Origin, Ref: r.Ref, Text: r.Text,
	}
}

// AddMessages keeps messages. One that is there already stays as it is, so that
// every node of a cluster may keep what it has seen.
func (c *Catalog) AddMessages(ctx context.Context, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	rows := make([]messageRow, len(messages))
	for i, m := range messages {
		rows[i] = messageRow{
			Stream: m.Stream, ID: m.ID, At: millis(m.At), UserID: m.UserID, UserName: m.Name,
			Role: m.Role, Origin: m.Origin, Ref: m.Ref, Text: m.Text,
		}
	}
	if _, err := c.db.NewInsert().Model(&rows).On("CONFLICT (stream, id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("keep messages: %w", err)
	}
	return nil
}

// DeleteMessage hides a message for good. One that is not there is no error.
func (c *Catalog) DeleteMessage(ctx context.Context, stream, id string, at time.Time) error {
	_, err := c.db.NewUpdate().Model((*messageRow)(nil)).
		Set("deleted = ?", millis(at)).Set("text = ''").
		Where("stream = ?", stream).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	return nil
}

// MessagesBefore returns the last limit messages that were placed before an id,
// oldest first; before "" means the end.
func (c *Catalog) MessagesBefore(ctx context.Context, stream, before string, limit int) ([]Message, error) {
	var rows []messageRow
	q := c.db.NewSelect().Model(&rows).Where("stream = ?", stream).Where("deleted = 0").OrderExpr("id DESC").Limit(int64(limit))
	if before != "" {
		q = q.Where("id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	slices.Reverse(rows)
	return messagesOf(rows), nil
}

// MessagesBetween returns up to limit messages from a moment on and before
// another, oldest first; a zero end means until now.
func (c *Catalog) MessagesBetween(ctx context.Context, stream string, from, to time.Time, limit int) ([]Message, error) {
	var rows []messageRow
	q := c.db.NewSelect().Model(&rows).Where("stream = ?", stream).Where("deleted = 0").
		Where("at >= ?", millis(from)).OrderExpr("id").Limit(int64(limit))
	if !to.IsZero() {
		q = q.Where("at < ?", millis(to))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return messagesOf(rows), nil
}

func messagesOf(rows []messageRow) []Message {
	messages := make([]Message, len(rows))
	for i, r := range rows {
		messages[i] = r.message()
	}
	return messages
}

// Ban keeps a user from writing in a stream's chat until a moment.
type Ban struct {
	Stream string    `json:"-"`
	User   string    `json:"user"`
	Origin string    `json:"-"` // tag of the address that the ban covers too, "" for none
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
	Actor  string    `json:"by"`
	At     time.Time `json:"at"`
}

type banRow struct {
	bun.BaseModel `bun:"table:chat_bans"`
	Stream        string `bun:"stream,pk"`
	UserID        string `bun:"user_id,pk"`
	Origin        string `bun:"origin"`
	Until         int64  `bun:"until"`
	Reason        string `bun:"reason"`
	Actor         string `bun:"actor"`
	At            int64  `bun:"at"`
}

// SetBan bans a user, or changes the ban.
func (c *Catalog) SetBan(ctx context.Context, b Ban) error {
	row := banRow{Stream: b.Stream, UserID: b.User, Origin: b.Origin, Until: millis(b.Until), Reason: b.Reason, Actor: b.Actor, At: millis(b.At)}
	_, err := c.db.NewInsert().Model(&row).On("CONFLICT (stream, user_id) DO UPDATE").
		Set("origin = EXCLUDED.origin").Set("until = EXCLUDED.until").Set("reason = EXCLUDED.reason").
		Set("actor = EXCLUDED.actor").Set("at = EXCLUDED.at").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keep ban: %w", err)
	}
	return nil
}

// LiftBan ends a ban. One that is not there is no error.
func (c *Catalog) LiftBan(ctx context.Context, stream, user string) error {
	_, err := c.db.NewDelete().Model((*banRow)(nil)).Where("stream = ?", stream).Where("user_id = ?", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("lift ban: %w", err)
	}
	return nil
}

// Bans returns the bans of a stream that last beyond now, by user.
func (c *Catalog) Bans(ctx context.Context, stream string, now time.Time) ([]Ban, error) {
	var rows []banRow
	err := c.db.NewSelect().Model(&rows).Where("stream = ?", stream).Where("until > ?", millis(now)).OrderExpr("user_id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read bans: %w", err)
	}
	bans := make([]Ban, len(rows))
	for i, r := range rows {
		bans[i] = Ban{
			Stream: r.Stream, User: r.UserID, Origin: r.Origin, Until: moment(r.Until),
			Reason: r.Reason, Actor: r.Actor, At: moment(r.At),
		}
	}
	return bans, nil
}

// Room is what moderators have set for a stream's chat. The zero value is an
// open room.
type Room struct {
	Slow      time.Duration // between two messages of a viewer
	NoLinks   bool
	Followers bool // only followers write
	NoGuests  bool // those without a name of their own only read
}

type roomRow struct {
	bun.BaseModel `bun:"table:chat_rooms"`
	Stream        string `bun:"stream,pk"`
	Slow          int64  `bun:"slow"` // seconds
	NoLinks       int64  `bun:"no_links"`
	Followers     int64  `bun:"followers"`
	NoGuests      int64  `bun:"no_guests"`
}

// Room returns the settings of a stream's chat.
func (c *Catalog) Room(ctx context.Context, stream string) (Room, error) {
	var row roomRow
	err := c.db.NewSelect().Model(&row).Where("stream = ?", stream).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Room{}, nil
	}
	if err != nil {
		return Room{}, fmt.Errorf("read room: %w", err)
	}
	return Room{
		Slow: time.Duration(row.Slow) * time.Second, NoLinks: row.NoLinks != 0,
		Followers: row.Followers != 0, NoGuests: row.NoGuests != 0,
	}, nil
}

// SetRoom keeps the settings of a stream's chat.
func (c *Catalog) SetRoom(ctx context.Context, stream string, r Room) error {
	row := roomRow{
		Stream: stream, Slow: int64(r.Slow / time.Second), NoLinks: number(r.NoLinks),
		Followers: number(r.Followers), NoGuests: number(r.NoGuests),
	}
	_, err := c.db.NewInsert().Model(&row).On("CONFLICT (stream) DO UPDATE").
		Set("slow = EXCLUDED.slow").Set("no_links = EXCLUDED.no_links").
		Set("followers = EXCLUDED.followers").Set("no_guests = EXCLUDED.no_guests").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keep room: %w", err)
	}
	return nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
