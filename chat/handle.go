package chat

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/catalog"
)

// handle does what a member asks for, or says why not.
func (r *room) handle(m *member, q request) {
	if m.index < 0 {
		return
	}
	var fault *refusal
	switch q.Type {
	case "send":
		fault = r.say(m, q)
	case "delete":
		fault = r.delete(m, q)
	case "ban", "unban":
		fault = r.ban(m, q)
	case "slow":
		fault = r.setSlow(m, q)
	case "history":
		fault = r.page(m, q)
	case "auth": // of a connection that did not need it
	default:
		fault = &refusal{code: codeInvalid, message: "this type of frame is not known"}
	}
	if fault != nil {
		r.refuse(m, q.Ref, *fault)
	}
}

// say takes a message from a member.
func (r *room) say(m *member, q request) *refusal {
	text := cleanText(q.Text)
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		return &refusal{code: codeInvalid, message: "the message is empty"}
	case n > r.hub.config.TextRunes:
		return &refusal{code: codeLong, message: "the message is too long"}
	}
	now := time.Now()
	if q.Ref != "" {
		key := refKey(m.user.ID, q.Ref, text)
		if first, ok := r.refs.get(key); ok && now.Sub(placedAt(first)) < refTime {
			r.echo(m, first, q.Ref)
			return nil
		}
		if u := r.posts.pending[key]; u != nil && !u.failed {
			r.follow(m, key, u)
			return nil
		}
	}
	if fault := r.mayWrite(m, text, now); fault != nil {
		return fault
	}
	if q.Ref != "" {
		key := refKey(m.user.ID, q.Ref, text)
		if u := r.posts.pending[key]; u != nil {
			u.from.pending--
		}
		r.posts.pending[key] = &underWay{from: m}
		m.pending++
	}
	r.hub.counters.in.Add(1)
	r.publish(event{Kind: sayEvent, User: m.user, Guest: m.guest, Origin: m.origin, Ref: q.Ref, Text: text}, m)
	return nil
}

// follow makes a member the one who is told about a message under way.
func (r *room) follow(m *member, key string, u *underWay) {
	if u.from != m {
		u.from.pending--
		m.pending++
		u.from = m
	}
}

// mayWrite says why a member may not say a text now.
func (r *room) mayWrite(m *member, text string, now time.Time) *refusal {
	forbidden := func(why string) *refusal { return &refusal{code: codeForbidden, message: why} }
	viewer := !m.user.Role.moderates()
	if !m.write {
		return forbidden("the token does not allow writing")
	}
	if viewer {
		if left := r.banned(m.user.ID, m.origin, m.guest, now); left > 0 {
			return &refusal{codeBanned, "you are banned from this chat", left}
		}
		switch {
		case m.guest && r.settings.NoGuests:
			return forbidden("guests only read in this chat")
		case r.settings.Followers && !r.hub.deps.Judge.Follows(r.stream, m.user.ID, m.guest):
			return forbidden("only followers write in this chat")
		case r.settings.NoLinks && hasLink(text):
			return forbidden("links are not allowed in this chat")
		}
	}
	if !r.hub.deps.Judge.Allow(r.stream, text) {
		return forbidden("the message holds words that are not allowed here")
	}
	if m.pending >= maxPending {
		return &refusal{codeRate, "too many of your messages are under way", time.Second}
	}
	if wait := r.said[m.user.ID].Add(r.settings.Slow).Sub(now); viewer && r.settings.Slow > 0 && wait > 0 {
		return &refusal{codeRate, "slow mode is on", wait}
	}
	if wait, ok := m.bucket.take(now); !ok {
		return &refusal{codeRate, "you write too fast", wait}
	}
	if wait, ok := r.bucket.take(now); !ok {
		return &refusal{codeRate, "everybody writes too fast", wait}
	}
	if viewer && r.settings.Slow > 0 {
		r.said[m.user.ID] = now // until the message is placed
	}
	return nil
}

func notModerator() *refusal {
	return &refusal{code: codeForbidden, message: "only moderators may do this"}
}

// delete takes a message away: a moderator any, everybody else their own.
func (r *room) delete(m *member, q request) *refusal {
	if q.ID == "" || len(q.ID) > maxID {
		return &refusal{code: codeInvalid, message: "the id of a message is needed"}
	}
	kept := r.history.get(q.ID)
	if !m.user.Role.moderates() && (kept == nil || kept.UserID != m.user.ID) {
		return notModerator()
	}
	r.publish(event{Kind: deleteEvent, User: m.user, Target: q.ID}, m)
	return nil
}

// ban keeps a user from writing, or no longer.
func (r *room) ban(m *member, q request) *refusal {
	if !m.user.Role.moderates() {
		return notModerator()
	}
	seconds, ok := q.seconds(maxBan)
	if q.User == "" || len(q.User) > maxID || !ok {
		return &refusal{code: codeInvalid, message: "a user and a number of seconds are needed"}
	}
	if seconds == 0 {
		seconds = maxBan
	}
	e := event{Kind: banEvent, User: m.user, Target: q.User, Seconds: seconds, Text: clip(cleanText(q.Reason), 200)}
	if q.Type == "unban" {
		e.Seconds = 0
	}
	for _, other := range r.members {
		if other.user.ID == q.User && other.user.Role.moderates() {
			return &refusal{code: codeForbidden, message: "moderators are not banned"}
		}
		if other.user.ID == q.User && other.guest {
			e.Origin = other.origin
		}
	}
	for _, kept := range r.history.all {
		if kept.UserID == q.User && q.User[0] == '~' && e.Origin == "" {
			e.Origin = kept.Origin
		}
	}
	r.publish(e, m)
	return nil
}

func clip(text string, runes int) string {
	for i := range text {
		if runes--; runes < 0 {
			return text[:i]
		}
	}
	return text
}

// setSlow sets the time between two messages of a viewer.
func (r *room) setSlow(m *member, q request) *refusal {
	if !m.user.Role.moderates() {
		return notModerator()
	}
	seconds, ok := q.seconds(maxSlow)
	if !ok {
		return &refusal{code: codeInvalid, message: "slow mode is 0 to 3600 seconds"}
	}
	rules := r.settings
	rules.Slow = time.Duration(seconds) * time.Second
	r.publish(event{Kind: rulesEvent, User: m.user, Rules: &rules}, m)
	return nil
}

// page sends a member older messages.
func (r *room) page(m *member, q request) *refusal {
	limit := int(min(max(q.Limit, 0), maxPage))
	if limit == 0 {
		limit = maxPage
	}
	if len(q.Before) > maxID || m.paging {
		return &refusal{code: codeInvalid, message: "one page at a time, before the id of a message"}
	}
	if kept, ok := r.history.before(q.Before, limit); ok {
		frames := make([][]byte, len(kept))
		for i, k := range kept {
			frames[i] = k.frame
		}
		r.turn(m, q.Before, frames, len(frames) == limit)
		return nil
	}
	m.paging = true
	r.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, 2*callTimeout)
		defer cancel()
		older, err := r.hub.deps.Archive.MessagesBefore(ctx, r.stream, q.Before, limit)
		r.do(func() { r.turned(m, q, older, limit, err) })
	})
	return nil
}

// turned sends a page that the database had, and what it may not have yet.
func (r *room) turned(m *member, q request, older []catalog.Message, limit int, err error) {
	m.paging = false
	if err != nil {
		r.log.Error("history of the chat", "err", err)
		r.refuse(m, q.Ref, refusal{codeUnavailable, "the history is not available right now", 2 * time.Second})
		return
	}
	var all ring
	for i := range older {
		all.add(&message{Message: older[i]})
	}
	inMemory, _ := r.history.before(q.Before, limit)
	for _, kept := range inMemory {
		all.add(kept)
	}
	var frames [][]byte
	for _, k := range all.last(limit) {
		frames = append(frames, marshal(k.wire("")))
	}
	r.turn(m, q.Before, frames, len(frames) == limit)
}

// turn sends messages as they are, and then says that this was the page.
func (r *room) turn(m *member, before string, frames [][]byte, more bool) {
	frames = append(frames[:len(frames):len(frames)], marshal(historyFrame{"history", before, len(frames), more}))
	for _, p := range pack(frames) {
		r.tell(m, p)
	}
}
