package chat

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/catalog"
)

// room is the chat of one stream on this node. Its fields belong to the
// goroutine of run, but for those that say otherwise.
type room struct {
	hub    *Hub
	stream string
	log    *slog.Logger
	inbox  chan func() // what members' readers and helpers want done
	feed   chan record // of the bus
	ctx    context.Context
	stop   context.CancelFunc
	uses   int // guarded by hub.mu
	left   int // how often it became empty; guarded by hub.mu

	members  []*member
	visitors int                       // of them, who are no viewers of the media plane
	names    map[string]map[string]int // skeleton of a name, to the ids that have it here, to how many
	bucket   tokens

	history  ring
	last     string               // place of the newest message
	refs     window               // of messages, to their id
	records  window               // of records that were published twice
	said     map[string]time.Time // when a viewer's last message was placed
	bans     map[string]ban
	settings catalog.Room
	known    knowledge

	due   []item // to be sent to all members at the next flush
	flush pacing
	posts posts

	media   sluice.Stream
	state   streamFrame
	viewers int
	beating bool // a beat is under way

	helpers sync.WaitGroup // goroutines that post to the inbox
}

// ban is what keeps a user, and for a guest everybody at the same address, from
// writing.
type ban struct {
	until  time.Time
	origin string
}

// pacing lets something happen about once a tick: at once when it has not for a
// tick, and up to slack early. With slack, of which it gives back a tenth each time,
// it keeps to the time of what comes once a tick.
type pacing struct {
	timer *time.Timer
	slack time.Duration
	next  time.Time // when it would happen if it happened once each tick
	armed bool
}

// due reports whether it may happen now, and else arms the timer.
func (p *pacing) due(now time.Time) bool {
	wait := p.next.Add(-p.slack).Sub(now)
	if wait <= 0 {
		return true
	}
	if !p.armed {
		p.armed = true
		p.timer.Reset(wait)
	}
	return false
}

func (p *pacing) done(now time.Time, tick time.Duration) {
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(tick - p.slack/10)
}

func newPacing(slack time.Duration) pacing {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return pacing{timer: t, slack: slack}
}

func newRoom(h *Hub, stream string) *room {
	ctx, cancel := context.WithCancel(h.ctx)
	r := &room{
		hub: h, stream: stream, log: h.log.With("stream", stream), inbox: make(chan func(), 256), feed: make(chan record, 256), ctx: ctx, stop: cancel,
		names: map[string]map[string]int{}, said: map[string]time.Time{}, bans: map[string]ban{},
		refs: newWindow(refWindow), records: newWindow(refWindow), flush: newPacing(h.config.Tick / 2),
	}
	r.posts.pace, r.posts.pending = newPacing(h.config.Tick/20), map[string]*underWay{}
	r.bucket.fill(h.config.RoomRate, int(2*h.config.RoomRate)+1, time.Now())
	return r
}

// do has f run by the room. It reports whether the room still runs.
func (r *room) do(f func()) bool {
	select {
	case r.inbox <- f:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// run is the room until it is stopped.
func (r *room) run() {
	r.hub.counters.rooms.Add(1)
	defer r.hub.counters.rooms.Add(-1)
	unfollow := r.open()
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	changed := r.look()
	r.beat()
	for {
		select {
		case f := <-r.inbox:
			f()
		case in := <-r.feed:
			if in.place != "" {
				r.deliver(in)
			}
		case <-r.flush.timer.C:
			r.flush.armed = false
			r.send()
		case <-r.posts.pace.timer.C:
			r.posts.pace.armed = false
			r.post()
		case <-beat.C:
			r.forget(time.Now())
			r.recallAgain()
			r.beat()
		case <-changed:
			changed = r.look()
		case <-r.ctx.Done():
			unfollow()
			r.close()
			return
		}
	}
}

// close ends everything of a room that is stopped.
func (r *room) close() {
	for _, m := range r.members {
		m.conn.Close("the chat is closing")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), callTimeout)
	defer cancel()
	if _, err := r.hub.deps.Bus.Beat(ctx, r.stream, nil); err != nil {
		r.log.Debug("the others are not told that this node has left", "err", err)
	}
	r.helpers.Wait()
	for { // helpers and readers that were waiting have given up; what they left is void
		select {
		case <-r.inbox:
		default:
			return
		}
	}
}

// open fills the room with what the database and the log know. When one of them
// does not answer, the room opens without.
func (r *room) open() (unfollow func()) {
	r.learn(r.recall())
	take := func(in record) {
		select {
		case r.feed <- in:
		case <-r.ctx.Done():
		}
	}
	stop := r.hub.deps.Bus.Follow(r.stream, func(place string, at time.Time, data []byte) {
		take(record{place: place, at: at, data: data})
	}, func() { take(record{}) })
	timeout := time.NewTimer(2 * callTimeout)
	defer timeout.Stop()
	for {
		select {
		case in := <-r.feed:
			if in.place != "" {
				r.deliver(in)
				continue
			}
		case <-timeout.C:
			r.log.Warn("the chat opens without the log of the other nodes")
		case <-r.ctx.Done():
		}
		r.due = nil // members get it with their welcome
		return stop
	}
}

// remember puts a message into the history.
func (r *room) remember(m catalog.Message) *message {
	kept := &message{Message: m, skeleton: skeleton(m.Name)}
	kept.frame = marshal(kept.wire(""))
	r.history.add(kept)
	r.last = max(r.last, m.ID)
	if m.Ref != "" {
		r.refs.set(refKey(m.UserID, m.Ref, m.Text), m.ID)
	}
	if at := r.said[m.UserID]; m.At.After(at) {
		r.said[m.UserID] = m.At
	}
	return kept
}

// message is a message in memory.
type message struct {
	catalog.Message
	frame    []byte // as it is sent to all but its sender
	skeleton string // of the sender's name
}

func (m *message) wire(ref string) messageFrame {
	return messageFrame{
		Type: "message", ID: m.ID, Ref: ref, Text: m.Text, At: stamp(m.At),
		User: User{ID: m.UserID, Name: m.Name, Role: Role(m.Role)},
	}
}

// refKey names a message by its sender: the same ref with another text is
// another message.
func refKey(user, ref, text string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash takes everything
	return user + "\x00" + ref + "\x00" + strconv.FormatUint(h.Sum64(), 36)
}

// placedAt is when a message got its place, which begins with Unix milliseconds.
func placedAt(id string) time.Time {
	digits, _, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// forget drops what is out of date.
func (r *room) forget(now time.Time) {
	for user, b := range r.bans {
		if !now.Before(b.until) {
			delete(r.bans, user)
		}
	}
	for user, at := range r.said {
		if now.Sub(at) > maxSlow*time.Second {
			delete(r.said, user)
		}
	}
}

// banned returns how long a user may not write yet.
func (r *room) banned(user, origin string, guest bool, now time.Time) time.Duration {
	var left time.Duration
	if b, ok := r.bans[user]; ok {
		left = b.until.Sub(now)
	}
	if guest && origin != "" {
		for _, b := range r.bans {
			if b.origin == origin {
				left = max(left, b.until.Sub(now))
			}
		}
	}
	return max(left, 0)
}

// welcome is a member's first frame.
func (r *room) welcome(m *member) []byte {
	frame := welcomeFrame{
		Type: "welcome", User: m.user, Role: m.user.Role, Write: m.write && !(m.guest && r.settings.NoGuests),
		Slow: r.slow(), History: []json.RawMessage{},
	}
	size := len(marshal(frame))
	newest := r.history.last(r.hub.config.History)
	from := len(newest)
	for from > 0 && size+1+len(newest[from-1].frame) <= m.most {
		from--
		size += 1 + len(newest[from].frame)
	}
	for _, kept := range newest[from:] {
		frame.History = append(frame.History, kept.frame)
	}
	return marshal(frame)
}

func (r *room) slow() int { return int(r.settings.Slow / time.Second) }
