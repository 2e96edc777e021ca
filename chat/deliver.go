package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/catalog"
)

// record is a record of the bus; one without a place says that the log was read.
type record struct {
	place string
	at    time.Time
	data  []byte
}

// deliver does what a record says. All nodes do the same in the same order.
func (r *room) deliver(in record) {
	var e envelope
	if err := json.Unmarshal(in.data, &e); err != nil || len(e.Events) > maxBatch {
		r.log.Warn("a record of the chat cannot be read", "err", err)
		return
	}
	if _, twice := r.records.get(e.Mark); twice {
		return
	}
	r.records.set(e.Mark, "")
	for i, ev := range e.Events {
		r.known.note(ev)
		switch ev.Kind {
		case sayEvent:
			r.deliverMessage(fmt.Sprintf("%s.%02d", in.place, i), in.at, ev)
		case deleteEvent:
			r.deliverDelete(ev, in.at)
		case banEvent:
			r.deliverBan(ev, in.at)
		case rulesEvent:
			r.deliverRules(ev)
		}
	}
	r.send()
}

func (r *room) deliverMessage(id string, at time.Time, e event) {
	key := refKey(e.User.ID, e.Ref, e.Text)
	var from *member
	if e.Ref != "" {
		if u := r.posts.pending[key]; u != nil {
			from = u.from
			from.pending--
			delete(r.posts.pending, key)
		}
	}
	if first, twice := r.refs.get(key); e.Ref != "" && twice && at.Sub(placedAt(first)) < refTime {
		if from != nil && first != id {
			r.echo(from, first, e.Ref)
		}
		if first != id || r.history.get(id) != nil {
			return
		}
	}
	if e.User.Role == RoleViewer {
		if left := r.banned(e.User.ID, e.Origin, e.Guest, at); left > 0 {
			if from != nil {
				r.refuse(from, e.Ref, refusal{codeBanned, "you are banned from this chat", left})
			}
			return
		}
	}
	if r.history.get(id) != nil {
		return
	}
	kept := r.remember(catalog.Message{
		Stream: r.stream, ID: id, At: at, UserID: e.User.ID, Name: e.User.Name, Role: string(e.User.Role),
		Origin: e.Origin, Ref: e.Ref, Text: e.Text,
	})
	r.hub.keeper.keep(change{message: &kept.Message})
	d := item{frame: kept.frame, message: true}
	if from != nil && from.index >= 0 {
		d.from, d.mine = from, marshal(kept.wire(e.Ref))
	}
	r.queue(d)
}

// echo tells a member once more that its message is in.
func (r *room) echo(m *member, id, ref string) {
	if kept := r.history.get(id); kept != nil {
		r.tell(m, marshal(kept.wire(ref)))
		return
	}
	// It is not in memory: deleted, or long ago. To its sender it is in.
	r.tell(m, marshal(deletedFrame{Type: "deleted", ID: id}))
}

func (r *room) deliverDelete(e event, at time.Time) {
	r.history.remove(e.Target)
	id := e.Target
	r.hub.keeper.keep(change{do: func(ctx context.Context) error {
		return r.hub.deps.Archive.DeleteMessage(ctx, r.stream, id, at)
	}})
	r.queue(item{frame: marshal(deletedFrame{"deleted", id})})
}

func (r *room) deliverBan(e event, at time.Time) {
	if e.Seconds == 0 {
		delete(r.bans, e.Target)
	} else {
		r.bans[e.Target] = ban{until: at.Add(time.Duration(e.Seconds) * time.Second), origin: e.Origin}
	}
	if len(r.members) > 0 { // with a database for each node, each keeps it
		r.hub.keeper.keep(change{do: func(ctx context.Context) error { return r.hub.keepBan(ctx, r.stream, e, at) }})
	}
	r.queue(item{frame: marshal(bannedFrame{"banned", e.Target, e.Seconds})})
}

func (r *room) deliverRules(e event) {
	if e.Rules == nil {
		return
	}
	was := r.slow()
	r.settings = *e.Rules
	if settings := r.settings; len(r.members) > 0 {
		r.hub.keeper.keep(change{do: func(ctx context.Context) error { return r.hub.deps.Rules.SetRoom(ctx, r.stream, settings) }})
	}
	if was != r.slow() {
		r.queue(item{frame: marshal(slowFrame{"slow", r.slow()})})
	}
}
