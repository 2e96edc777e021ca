package chat

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-live/sluice/internal/catalog"
)

// knowledge is whether a room knows what was kept of it. One that opens while the
// database does not answer asks again with each beat.
type knowledge struct {
	lacking bool
	asking  bool
	newer   window // kinds and targets of what was decided since it lacks something
}

// note remembers a decision that may not be in the database yet.
func (k *knowledge) note(e event) {
	if k.lacking && e.Kind != sayEvent {
		k.newer.set(decisionKey(e.Kind, e.Target), "")
	}
}

// decided reports whether a decision is newer than what can be read.
func (k *knowledge) decided(kind, target string) bool {
	_, newer := k.newer.get(decisionKey(kind, target))
	return newer
}

func decisionKey(kind, target string) string { return kind + "\x00" + target }

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
		level := slog.LevelError
		if r.known.lacking { // said already
			level = slog.LevelDebug
		}
		r.log.Log(r.ctx, level, "the chat goes on without all that was kept of it", "err", err)
	}
	was := r.slow()
	if p.settings != nil && !r.known.decided(rulesEvent, "") {
		r.settings = *p.settings
	}
	for _, b := range p.bans {
		if !r.known.decided(banEvent, b.User) {
			r.bans[b.User] = ban{until: b.Until, origin: b.Origin}
		}
	}
	for _, m := range p.messages {
		if !r.known.decided(deleteEvent, m.ID) {
			r.remember(m)
		}
	}
	switch {
	case err == nil:
		r.known.lacking, r.known.newer = false, window{}
	case !r.known.lacking:
		r.known.lacking, r.known.newer = true, newWindow(refWindow)
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
