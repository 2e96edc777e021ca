package chat

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-live/sluice/internal/catalog"
)

// knowledge is whether a room knows what was kept of it. One that opens while the
// database does not answer asks again with each beat.
type knowledge struct {
	lacking bool
	asking  bool
	newer   map[[2]string]bool // kinds and targets of what was decided since it lacks something
}

// note remembers a decision that may not be in the database yet.
func (k *knowledge) note(e event) {
	if k.lacking && e.Kind != sayEvent {
		k.newer[[2]string{e.Kind, e.Target}] = true
	}
}

// past is what was kept of a room; nil is what could not be read.
type past struct {
	settings *catalog.Room
	bans     []catalog.Ban
	messages []catalog.Message
}

// recall reads settings, bans and the newest messages. Any goroutine may call it.
func (r *room) recall() (past, error) {
	ctx, cancel := context.WithTimeout(r.ctx, 2*callTimeout)
	defer cancel()
	var p past
	settings, err1 := r.hub.deps.Rules.Room(ctx, r.stream)
	if err1 == nil {
		p.settings = &settings
	}
	var err2, err3 error
	p.bans, err2 = r.hub.deps.Rules.Bans(ctx, r.stream, time.Now())
	p.messages, err3 = r.hub.deps.Archive.MessagesBefore(ctx, r.stream, "", memory)
	return p, errors.Join(err1, err2, err3)
}

// learn takes what was read.
func (r *room) learn(p past, err error) {
	if err != nil && r.ctx.Err() == nil {
		r.log.Error("the chat goes on without all that was kept of it", "err", err)
	}
	newer := r.known.newer
	was := r.slow()
	if p.settings != nil && !newer[[2]string{rulesEvent}] {
		r.settings = *p.settings
	}
	for _, b := range p.bans {
		if !newer[[2]string{banEvent, b.User}] {
			r.bans[b.User] = ban{until: b.Until, origin: b.Origin}
		}
	}
	for _, m := range p.messages {
		if !newer[[2]string{deleteEvent, m.ID}] {
			r.remember(m)
		}
	}
	switch {
	case err == nil:
		r.known.lacking, r.known.newer = false, nil
	case !r.known.lacking:
		r.known.lacking, r.known.newer = true, map[[2]string]bool{}
	}
	if was != r.slow() {
		r.queue(item{frame: marshal(slowFrame{"slow", r.slow()})})
	}
}

// recallAgain asks again for what could not be read.
func (r *room) recallAgain() {
	if !r.known.lacking || r.known.asking {
		return
	}
	r.known.asking = true
	r.helpers.Go(func() {
		p, err := r.recall()
		r.do(func() {
			r.known.asking = false
			r.learn(p, err)
			r.send()
		})
	})
}
