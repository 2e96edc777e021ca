package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/webhook"
	"github.com/sluice-live/sluice/signaling"
)

const (
	// keepRooms is how often this node says that its rooms go on, and looks for those
	// whose node has died.
	keepRooms = 10 * time.Second
	// roomPatience is how much longer than stream.grace a room is kept for a node that
	// does not say so.
	roomPatience = 3 * keepRooms
)

// webhooks tells receivers of what happens on this node. The media plane and the
// recorder put events into a queue; one goroutine finds the room of each and hands
// it to the sender.
//
// A room is what LiveKit calls a stream. It outlives the publisher's node: Redis says
// which of the nodes tells of its beginning and its end (signaling.Room).
type webhooks struct {
	sender   *webhook.Sender
	registry *signaling.Registry
	form     signaling.Webhook
	public   string // http.public_url
	viewers  bool
	alone    bool // rooms end with this process
	log      *slog.Logger

	events  chan sluice.Event
	dropped atomic.Uint64
	stop    chan struct{} // closed when no more events come
	done    sync.WaitGroup
	rooms   map[string]*toldRoom // of streams that are here; of run
}

// toldRoom is a room as this node knows it.
type toldRoom struct {
	signaling.Room
	mine bool // its publisher has been here: this node may have to tell of its end
}

// openWebhooks takes events for receivers, when there are any. They are told from
// start on.
func (n *Node) openWebhooks() error {
	c := n.config.Webhook
	if len(c.URLs) == 0 {
		return nil
	}
	sign, err := n.bodySigner()
	if err != nil {
		return err
	}
	urls := make([]string, len(c.URLs))
	for i, u := range c.URLs {
		urls[i] = string(u)
	}
	w := &webhooks{
		registry: n.cluster.registry, public: n.config.HTTP.PublicURL, viewers: c.Viewers, alone: n.cluster.embedded != nil, log: n.log,
		form:   signaling.Webhook{Region: n.config.Node.Region, Grace: n.config.Stream.Grace},
		events: make(chan sluice.Event, c.Queue), stop: make(chan struct{}), rooms: map[string]*toldRoom{},
	}
	w.sender, err = webhook.New(webhook.Config{URLs: urls, Queue: c.Queue, Timeout: c.Timeout, Retry: c.Retry}, webhook.Deps{Sign: sign, Log: n.log})
	if err != nil {
		return err
	}
	n.webhooks = w
	return exportWebhooks(n.metrics, w, len(urls))
}

// bodySigner signs with the API key that is configured.
func (n *Node) bodySigner() (func([]byte) (string, error), error) {
	keys, err := APIKeys(n.config)
	if err != nil {
		return nil, err
	}
	name := n.config.Webhook.Key
	if name == "" && len(keys) > 0 {
		name = slices.Sorted(maps.Keys(keys))[0]
	}
	secret, ok := keys[name]
	if !ok {
		return nil, fmt.Errorf("webhook.key: there is no API key %q", name)
	}
	return func(body []byte) (string, error) { return auth.SignBody(name, string(secret), body) }, nil
}

// teller is what tells of events; nil when nobody is told. The media plane is there
// before those who are told, but no session can be.
func (n *Node) teller() func(sluice.Event) {
	if len(n.config.Webhook.URLs) == 0 {
		return nil
	}
	return func(e sluice.Event) {
		if n.webhooks != nil {
			n.webhooks.put(e)
		}
	}
}

// minor reports whether an event is one of viewers, who may be many.
func minor(e sluice.Event) bool { return e.Session != nil && !e.Session.Publisher }

// put queues an event. It never blocks.
func (w *webhooks) put(e sluice.Event) {
	if minor(e) && !w.viewers {
		return
	}
	if !minor(e) || len(w.events) < (cap(w.events)+1)/2 {
		select {
		case w.events <- e:
			return
		default:
		}
	}
	w.dropped.Add(1)
}

// start begins to tell what has been put, once it is known where the node is reached.
func (w *webhooks) start() { w.done.Go(w.run) }

func (w *webhooks) run() {
	tick := time.NewTicker(keepRooms)
	defer tick.Stop()
	for {
		select {
		case e := <-w.events:
			w.take(e, false)
		case <-tick.C:
			w.keep()
		case <-w.stop:
			for len(w.events) > 0 {
				w.take(<-w.events, true)
			}
			return
		}
	}
}

// take tells of an event, and of what follows from it. While the node stops, streams
// may go on at other nodes.
func (w *webhooks) take(e sluice.Event, stopping bool) {
	switch {
	case e.Kind == sluice.EventStreamEnded:
		w.end(e, stopping && !w.alone)
		return
	case e.Kind == sluice.EventSessionJoined && e.Session.Publisher:
		w.open(e)
	}
	w.tell(e, w.roomOf(e))
}

// open finds or makes the room of a stream whose publisher is here.
func (w *webhooks) open(e sluice.Event) {
	known := w.rooms[e.Stream]
	if known != nil && known.mine {
		return
	}
	room, began, err := w.registry.OpenRoom(context.Background(), signaling.NewRoom(e.Stream, e.At), w.lasts())
	if err != nil {
		w.log.Warn("it is not known whether a room has begun before", "stream", e.Stream, "err", err)
		began = known == nil
	}
	w.rooms[e.Stream] = &toldRoom{room, true}
	if began {
		w.tell(sluice.Event{Kind: sluice.EventStreamStarted, Stream: e.Stream, At: e.At}, room)
	}
}

// end tells that a room is over, if it is for all nodes. With left, others may go on
// with it.
func (w *webhooks) end(e sluice.Event, left bool) {
	known := w.rooms[e.Stream]
	delete(w.rooms, e.Stream)
	if known == nil || !known.mine || left {
		return
	}
	ended, err := w.registry.EndRoom(context.Background(), known.Room)
	if err != nil {
		w.log.Warn("it is not known whether a room has ended", "stream", e.Stream, "err", err)
		ended = true // better twice than never
	}
	if ended {
		w.tell(e, known.Room)
	}
}

// roomOf returns the room that an event happens in.
func (w *webhooks) roomOf(e sluice.Event) signaling.Room {
	if known := w.rooms[e.Stream]; known != nil {
		return known.Room
	}
	room, err := w.registry.LookupRoom(context.Background(), e.Stream)
	if err != nil {
		w.log.Debug("the room of an event is not known", "stream", e.Stream, "err", err)
	}
	if room.SID != "" && e.Session != nil { // the stream is here, and its end will be told of
		w.rooms[e.Stream] = &toldRoom{Room: room}
	}
	return room
}

// keep says which rooms go on here, and ends those whose node has died.
func (w *webhooks) keep() {
	var mine []signaling.Room
	for _, room := range w.rooms {
		if room.mine {
			mine = append(mine, room.Room)
		}
	}
	over, err := w.registry.KeepRooms(context.Background(), mine, w.lasts())
	for _, room := range over {
		delete(w.rooms, room.Stream)
	}
	left, failed := w.registry.EndLeftRooms(context.Background())
	for _, room := range left {
		w.tell(sluice.Event{Kind: sluice.EventStreamEnded, Stream: room.Stream, At: time.Now()}, room)
	}
	if err := errors.Join(err, failed); err != nil {
		w.log.Debug("rooms are not kept", "err", err)
	}
}

func (w *webhooks) lasts() time.Duration { return w.form.Grace + roomPatience }

// tell sends an event to all receivers.
func (w *webhooks) tell(e sluice.Event, room signaling.Room) {
	form := w.form
	form.Base = orElse(w.public, w.registry.URL())
	body, err := form.Body(e, room)
	if err != nil {
		w.log.Error("an event cannot be told", "stream", e.Stream, "err", err)
		return
	}
	w.sender.Send(webhook.Message{Line: e.Stream, Body: body, Minor: minor(e)})
}

// close delivers what is queued, within that time.
func (w *webhooks) close(ctx context.Context, limit time.Duration) {
	close(w.stop)
	w.done.Wait()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w.sender.Close(ctx)
}

// exportWebhooks registers the numbers of webhooks.
func exportWebhooks(r *obs.Registry, w *webhooks, receivers int) error {
	const help = "Webhook events, one for each URL, by what became of them: delivered, refused (by the receiver), expired (tried for webhook.retry) or dropped (the queue was full)."
	var errs []error
	for result, read := range map[string]func(webhook.Counters) uint64{
		"delivered": func(c webhook.Counters) uint64 { return c.Delivered },
		"refused":   func(c webhook.Counters) uint64 { return c.Refused },
		"expired":   func(c webhook.Counters) uint64 { return c.Expired },
		"dropped":   func(c webhook.Counters) uint64 { return c.Dropped + w.dropped.Load()*uint64(receivers) },
	} {
		errs = append(errs, r.CounterFunc("sluice_webhook_events_total", help, obs.Labels{"result": result},
			func() float64 { return float64(read(w.sender.Counters())) }))
	}
	return errors.Join(append(errs,
		r.CounterFunc("sluice_webhook_retries_total", "Attempts to deliver a webhook event after the first.", nil,
			func() float64 { return float64(w.sender.Counters().Retries) }),
		r.GaugeFunc("sluice_webhook_queued", "Webhook events that wait for their receivers.", nil,
			func() float64 { return float64(w.sender.Counters().Queued) }),
	)...)
}
