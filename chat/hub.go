package chat

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
)

// Deps is what a Hub works with. Judge and Recordings may be nil.
type Deps struct {
	Bus        Bus
	Archive    Archive
	Rules      Rules
	Media      Media
	Judge      Judge
	Recordings Recordings
	Log        *slog.Logger
}

// Hub is the chat of one node.
type Hub struct {
	config   Config
	deps     Deps
	log      *slog.Logger
	counters counters
	keeper   *keeper
	ctx      context.Context // ends with the hub
	cancel   context.CancelFunc
	running  sync.WaitGroup // rooms and the sweeper

	mu     sync.Mutex
	rooms  map[string]*room
	closed bool
}

// New makes a Hub. Close ends what it runs.
func New(c Config, d Deps) (*Hub, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if d.Judge == nil {
		d.Judge = NewWordList(nil)
	}
	if len(c.Secret) == 0 {
		c.Secret = []byte(rand.Text())
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hub{config: c, deps: d, log: d.Log, ctx: ctx, cancel: cancel, rooms: map[string]*room{}}
	h.keeper = newKeeper(d.Archive, d.Rules, d.Log, &h.counters)
	h.running.Go(h.sweep)
	return h, nil
}

// Serve lets a connection into its room and returns when it has ended. It closes
// the connection. Errors: CodeForbidden when the grant does not cover the
// stream, CodeUnavailable when the room is full or the node is closing.
func (h *Hub) Serve(conn Conn, who Who) error {
	defer conn.Close("left the chat")
	if !mayRead(who) {
		h.counters.refuse(codeForbidden)
		_ = conn.Send(refusal{code: codeForbidden, message: "the token does not allow this chat"}.frame("")) // it is over anyway
		return sluice.Errorf(sluice.CodeForbidden, "the token does not allow the chat of the stream %q", who.Stream)
	}
	r, err := h.enter(who.Stream)
	if err != nil {
		h.counters.refuse(codeUnavailable)
		_ = conn.Send(refusal{codeUnavailable, "the chat takes nobody in right now", 5 * time.Second}.frame(""))
		return err
	}
	defer h.leave(r)
	return r.serve(conn, who)
}

func mayRead(who Who) bool {
	g := who.Grant
	return who.Publisher || g.MayWatch(who.Stream) || g.MayPublish(who.Stream) || g.Chat && (g.Stream == "" || g.Stream == who.Stream)
}

// enter returns the open room of a stream, with a use of it.
func (h *Hub) enter(stream string) (*room, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the node is closing", RetryAfter: time.Second}
	}
	r := h.rooms[stream]
	if r == nil {
		r = newRoom(h, stream)
		h.rooms[stream] = r
		h.running.Go(r.run)
	}
	if r.uses >= h.config.Members {
		return nil, &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the chat has as many members as it may", RetryAfter: 10 * time.Second}
	}
	r.uses++
	return r, nil
}

// leave gives a use of a room up. The last one closes it after a while.
func (h *Hub) leave(r *room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.uses--
	if r.uses > 0 || h.closed {
		return
	}
	r.left++
	left := r.left
	time.AfterFunc(h.config.Linger, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.uses == 0 && r.left == left && h.rooms[r.stream] == r {
			delete(h.rooms, r.stream)
			r.stop()
		}
	})
}

// Close ends all connections and rooms, and returns when everything that was
// said here is kept.
func (h *Hub) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	for _, r := range h.rooms {
		r.stop()
	}
	h.mu.Unlock()
	h.cancel()
	h.running.Wait()
	return h.keeper.close()
}

// sweep removes old messages now and then.
func (h *Hub) sweep() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(h.ctx, time.Minute)
		err := h.clean(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			h.log.Warn("old messages of the chat are not removed", "err", err)
		}
		select {
		case <-tick.C:
		case <-h.ctx.Done():
			return
		}
	}
}

// clean removes what recordings that are gone have held, and what is too old.
func (h *Hub) clean(ctx context.Context) error {
	if h.deps.Recordings != nil {
		if err := h.followRecordings(ctx); err != nil {
			return err
		}
	}
	return h.deps.Archive.Expire(ctx, time.Now().Add(-h.config.Retention))
}

func (h *Hub) followRecordings(ctx context.Context) error {
	recordings, err := h.deps.Recordings.Recordings(ctx)
	if err != nil {
		return err
	}
	known, err := h.deps.Archive.KeptChats(ctx, h.config.Node)
	if err != nil {
		return err
	}
	exist := map[string]bool{}
	for _, rec := range recordings {
		exist[rec.ID] = true
		if err := h.deps.Archive.KeepChat(ctx, h.config.Node, time.Now(), rec); err != nil {
			return err
		}
	}
	for _, id := range known {
		if !exist[id] {
			if err := h.deps.Archive.DropChat(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}
