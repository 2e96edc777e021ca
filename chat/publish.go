package chat

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/catalog"
)

// Kinds of events.
const (
	sayEvent    = "m"
	deleteEvent = "d"
	banEvent    = "b"
	rulesEvent  = "s"
)

// event is one thing that happens in a room, as nodes tell each other.
type event struct {
	Kind    string        `json:"k"`
	User    User          `json:"u,omitzero"` // who does it
	Guest   bool          `json:"g,omitempty"`
	Origin  string        `json:"o,omitempty"` // of who does it; of a ban: of whom it is about
	Ref     string        `json:"r,omitempty"`
	Text    string        `json:"t,omitempty"` // of a message; of a ban: the reason
	Target  string        `json:"x,omitempty"`
	Seconds int           `json:"s,omitempty"` // of a ban; 0 lifts it
	Rules   *catalog.Room `json:"c,omitempty"`
}

// envelope is a record: events in their order. The mark is the record's own, and
// tells when Redis has taken it twice.
type envelope struct {
	Mark   string  `json:"n"`
	Events []event `json:"e"`
}

// posting is an event on its way out, and who wants to know.
type posting struct {
	event
	from *member
	size int
}

// underWay is a message that has been taken from a member and not come back.
type underWay struct {
	from   *member
	failed bool // it was told that the message is not in; it may be all the same
}

// posts is what goes out.
type posts struct {
	pace    pacing
	waiting []posting
	busy    bool                 // a record is being published
	pending map[string]*underWay // by user and ref
}

// publish puts an event on its way.
func (r *room) publish(e event, from *member) {
	r.posts.waiting = append(r.posts.waiting, posting{event: e, from: from, size: len(e.Text) + len(e.Target) + 256})
	r.post()
}

// post publishes what is waiting, at most one record at a time and a tick.
func (r *room) post() {
	now := time.Now()
	if r.posts.busy || len(r.posts.waiting) == 0 || !r.posts.pace.due(now) {
		return
	}
	r.posts.pace.done(now, r.hub.config.Tick)
	n, size := 0, 0
	for n < len(r.posts.waiting) && n < maxBatch && (n == 0 || size+r.posts.waiting[n].size <= maxBatchBytes) {
		size += r.posts.waiting[n].size
		n++
	}
	batch := r.posts.waiting[:n:n]
	r.posts.waiting = append([]posting(nil), r.posts.waiting[n:]...)
	r.posts.busy = true
	r.helpers.Go(func() {
		err := r.hub.publish(r.ctx, r.stream, batch)
		r.do(func() { r.published(batch, err) })
	})
}

// publish keeps what moderators have decided, and then tells all nodes.
func (h *Hub) publish(ctx context.Context, stream string, batch []posting) error {
	e := envelope{Mark: rand.Text()[:12]}
	for _, p := range batch {
		if err := h.decide(ctx, stream, p.event); err != nil {
			return err
		}
		e.Events = append(e.Events, p.event)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("chat: encode record: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	if err := h.deps.Bus.Publish(ctx, stream, data); err != nil {
		return fmt.Errorf("chat: publish: %w", err)
	}
	h.counters.records.Add(1)
	return nil
}

// decide keeps what a moderator's event decides, and who decided it.
func (h *Hub) decide(ctx context.Context, stream string, e event) error {
	if e.Kind == sayEvent {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	now := time.Now()
	action := catalog.Action{Stream: stream, At: now, Actor: e.User.ID, Target: e.Target}
	var err error
	switch e.Kind {
	case deleteEvent:
		action.Action = "delete"
	case banEvent:
		action.Action, action.Detail = "ban", fmt.Sprintf("%d s: %s", e.Seconds, e.Text)
		if e.Seconds == 0 {
			action.Action, action.Detail = "unban", ""
		}
		err = h.keepBan(ctx, stream, e, now)
	case rulesEvent:
		action.Action, action.Detail = "rules", string(marshal(*e.Rules))
		err = h.deps.Rules.SetRoom(ctx, stream, *e.Rules)
	}
	if err == nil {
		err = h.deps.Rules.Audit(ctx, action)
	}
	if err != nil {
		h.log.Error("a moderator's decision is not kept", "stream", stream, "err", err)
		return fmt.Errorf("chat: %w", err)
	}
	return nil
}

func (h *Hub) keepBan(ctx context.Context, stream string, e event, at time.Time) error {
	if e.Seconds == 0 {
		return h.deps.Rules.LiftBan(ctx, stream, e.Target)
	}
	return h.deps.Rules.SetBan(ctx, catalog.Ban{
		Stream: stream, User: e.Target, Origin: e.Origin, Until: at.Add(time.Duration(e.Seconds) * time.Second),
		Reason: e.Text, Actor: e.User.ID, At: at,
	})
}

// published takes note of how publishing went. What went well shows when the
// record comes back.
func (r *room) published(batch []posting, err error) {
	r.posts.busy = false
	if err != nil {
		r.log.Debug("the chat cannot publish", "err", err)
		for _, p := range batch {
			if p.Ref != "" {
				if u := r.posts.pending[refKey(p.User.ID, p.Ref, p.Text)]; u != nil {
					u.failed = true
				}
			}
			if p.from != nil {
				r.refuse(p.from, p.Ref, refusal{codeUnavailable, "the chat cannot take messages right now", 2 * time.Second})
			}
		}
	}
	r.post()
}
