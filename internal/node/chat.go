package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/recorder"
	"github.com/sluice-live/sluice/sfu"
)

// openChat opens the rooms.
func (n *Node) openChat() (err error) {
	c := n.config.Chat
	if !c.Enabled {
		return nil
	}
	config := c.limits()
	config.Node = n.cluster.id
	if config.Secret, err = n.chatSecret(); err != nil {
		return err
	}
	n.chat, err = chat.New(config, chat.Deps{
		Bus: n.cluster.journal, Archive: n.catalog, Rules: n.catalog, Media: n.media, Recordings: recordings{n.recorder},
		Judge: chat.NewWordList(c.Words), Log: n.log,
	})
	if err != nil {
		return err
	}
	return exportChat(n.metrics, n.chat)
}

// limits are the settings as the chat has them.
func (c ChatConfig) limits() chat.Config {
	history := c.History
	if history == 0 {
		history = -1
	}
	return chat.Config{
		Tick: c.Tick, History: history, FrameBytes: c.FrameBytes, TextRunes: c.TextRunes,
		Rate: float64(c.Rate) / 60, Burst: c.Burst, RoomRate: float64(c.RoomRate), FrameRate: float64(c.FrameRate),
		Members: c.Members, Retention: c.Retention,
	}
}

// chatSecret is the same on all nodes that have the same API keys.
func (n *Node) chatSecret() ([]byte, error) {
	keys, err := APIKeys(n.config)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	first := slices.Sorted(maps.Keys(keys))[0]
	sum := sha256.Sum256([]byte("chat\x00" + string(keys[first])))
	return sum[:], nil
}

// recordings is chat.Recordings.
type recordings struct{ *recorder.Recorder }

// Recordings implements chat.Recordings.
func (r recordings) Recordings(ctx context.Context) ([]sluice.Recording, error) {
	if r.Recorder == nil {
		return nil, nil
	}
	return r.Recorder.Recordings(ctx)
}

// channel is a data channel as a chat.Conn.
type channel struct{ *sfu.Channel }

// Receive implements chat.Conn.
func (c channel) Receive() ([]byte, error) {
	frame, err := c.Channel.Receive()
	if errors.Is(err, sfu.ErrFrameTooLong) {
		err = chat.ErrFrameTooLong
	}
	return frame, err
}

// Send implements chat.Conn.
func (c channel) Send(frame []byte) error {
	err := c.Channel.Send(frame)
	if errors.Is(err, sfu.ErrSlow) {
		err = chat.ErrSlow
	}
	return err
}

// Close implements chat.Conn.
func (c channel) Close(string) { _ = c.Channel.Close() } // it is over anyway

// talk lets the holder of a data channel into the chat. The media plane is there
// before the chat, but no session can be.
func (n *Node) talk(c *sfu.Channel) {
	if n.chat == nil {
		return
	}
	owner := c.Owner()
	err := n.chat.Serve(channel{c}, chat.Who{
		Stream: owner.Stream, Grant: owner.Grant, Remote: owner.Remote,
		Publisher: owner.Publisher, Viewer: !owner.Publisher, Key: chat.GuestKey(c.Protocol()),
		MaxFrame: c.MaxFrame(),
	})
	if err != nil {
		n.log.Debug("a data channel is refused by the chat", "stream", owner.Stream, "err", err)
	}
}

// chatRoutes adds the routes of the chat.
func (n *Node) chatRoutes(engine *gin.Engine, limiter *wish.Limiter) {
	if n.chat != nil {
		chat.NewHandler(n.chat, n.auth, limiter, n.catalog).Routes(engine)
	}
}

// chatBase is the path of the chats, "" when there are none.
func (n *Node) chatBase() string {
	if n.chat == nil {
		return ""
	}
	return chat.Base
}

// chatDocument describes these routes, for the OpenAPI document.
func (n *Node) chatDocument() [][]byte {
	if n.chat == nil {
		return nil
	}
	return [][]byte{chat.OpenAPI()}
}

// exportChat registers the chat's numbers.
func exportChat(r *obs.Registry, h *chat.Hub) error {
	counter := func(name, help string, labels obs.Labels, read func(chat.Counters) uint64) error {
		return r.CounterFunc(name, help, labels, func() float64 { return float64(read(h.Counters())) })
	}
	const messages = "Messages of the chat: in are taken from members of this node, out are delivered to them, each to each member."
	errs := []error{
		counter("sluice_chat_messages_total", messages, obs.Labels{"direction": "in"}, func(c chat.Counters) uint64 { return c.In }),
		counter("sluice_chat_messages_total", messages, obs.Labels{"direction": "out"}, func(c chat.Counters) uint64 { return c.Out }),
		counter("sluice_chat_frames_total", "Frames sent to members: messages are joined.", nil, func(c chat.Counters) uint64 { return c.Frames }),
		counter("sluice_chat_records_total", "Records published to the other nodes: messages are joined.", nil, func(c chat.Counters) uint64 { return c.Records }),
		counter("sluice_chat_dropped_total", "Members that were put out because they read too slowly or sent too much.", nil, func(c chat.Counters) uint64 { return c.Dropped }),
		counter("sluice_chat_unkept_total", "Messages and decisions that the database did not take.", nil, func(c chat.Counters) uint64 { return c.Unkept }),
		r.GaugeFunc("sluice_chat_members", "Members of chat rooms on this node.", nil, func() float64 { return float64(h.Counters().Members) }),
		r.GaugeFunc("sluice_chat_rooms", "Open chat rooms on this node.", nil, func() float64 { return float64(h.Counters().RoomsOpen) }),
	}
	for code := range h.Counters().Refused {
		errs = append(errs, counter("sluice_chat_refused_total", "Requests of members that were refused, by the code of the error.",
			obs.Labels{"code": code}, func(c chat.Counters) uint64 { return c.Refused[code] }))
	}
	return errors.Join(errs...)
}
