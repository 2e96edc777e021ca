package sfu

import (
	"errors"
	"io"
	"net/netip"
	"sync"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

const (
	// ChatLabel is the label of the only data channels that are taken.
	ChatLabel = "chat"
	// maxChannels is how many data channels a session may open at the same time,
	// maxOpened how many it may open at all: what comes after ends the session.
	maxChannels = 4
	maxOpened   = 64
	// channelFrame is the longest frame that is read; longer ones are skipped.
	channelFrame = 4096
	// channelQueue is how much may wait to be sent on a channel, in bytes.
	channelQueue = 256 << 10
	// sctpWindow bounds what a peer may send ahead, and so the longest frame that
	// there can be; sctpMessage is the longest that it is told to send.
	sctpWindow  = 64 << 10
	sctpMessage = 16 << 10
)

// ChannelError is an error of a Channel.
type ChannelError string

// Error implements error.
func (e ChannelError) Error() string { return string(e) }

// Errors of a Channel.
const (
	ErrFrameTooLong ChannelError = "the frame is too long"
	ErrSlow         ChannelError = "the peer does not keep up"
)

// ChannelOwner is whose session a channel belongs to.
type ChannelOwner struct {
	Stream    string
	Grant     sluice.Grant
	Remote    netip.Addr
	Publisher bool
}

// Channel is an open chat channel: ordered, reliable, in a publisher's or
// viewer's peer connection.
type Channel struct {
	owner  ChannelOwner
	raw    *datachannel.DataChannel
	most   int
	buffer []byte
	once   sync.Once
}

// Owner says whose channel it is.
func (c *Channel) Owner() ChannelOwner { return c.owner }

// Protocol is the subprotocol that the peer has named.
func (c *Channel) Protocol() string { return c.raw.Config.Protocol }

// MaxFrame is the longest frame that the peer takes, in bytes: what its SDP says
// (RFC 8841 section 6).
func (c *Channel) MaxFrame() int { return c.most }

// Receive waits for the next frame, which is valid until the next call. After
// ErrFrameTooLong, for a frame that was skipped, it goes on; other errors are the
// end of the channel.
func (c *Channel) Receive() ([]byte, error) {
	n, err := c.raw.Read(c.buffer)
	if errors.Is(err, io.ErrShortBuffer) { // it is still there
		if _, err := c.raw.Read(make([]byte, sctpWindow)); err != nil {
			return nil, err
		}
		return nil, ErrFrameTooLong
	}
	if err != nil {
		return nil, err
	}
	return c.buffer[:n], nil
}

// Send sends a text frame without waiting. ErrSlow: too much is waiting already;
// other errors: the channel has ended, or the frame is longer than MaxFrame.
func (c *Channel) Send(frame []byte) error {
	if c.raw.BufferedAmount()+uint64(len(frame)) > channelQueue {
		return ErrSlow
	}
	_, err := c.raw.WriteDataChannel(frame, true)
	return err
}

// Close ends the channel and makes Receive return. The session goes on.
func (c *Channel) Close() error {
	var err error
	c.once.Do(func() { err = c.raw.Close() })
	return err
}

// channels are the data channels of a session.
type channels struct {
	mu     sync.Mutex
	opened int // ever
	open   map[*Channel]struct{}
	closed bool
}

// takeChannels lets the session's peer open chat channels.
func (ses *session) takeChannels(owner ChannelOwner) {
	ses.pc.OnDataChannel(func(d *webrtc.DataChannel) {
		if fault := ses.judge(d.Label(), d.Ordered() && d.MaxRetransmits() == nil && d.MaxPacketLifeTime() == nil); fault != "" {
			ses.log.Debug("refuse data channel", "err", fault)
			if err := d.Close(); err != nil {
				ses.log.Debug("close data channel", "err", err)
			}
			return
		}
		d.OnOpen(func() {
			detached, err := d.Detach()
			raw, ok := detached.(*datachannel.DataChannel)
			if err != nil || !ok {
				ses.log.Debug("detach data channel", "err", err)
				return
			}
			ses.openChannel(raw, int(d.Transport().GetCapabilities().MaxMessageSize), owner)
		})
	})
}

// judge says why a data channel is refused, "" when it is not. A peer that goes
// on opening them loses its session.
func (ses *session) judge(label string, reliable bool) string {
	chans := &ses.channels
	chans.mu.Lock()
	chans.opened++
	opened, open := chans.opened, len(chans.open)
	chans.mu.Unlock()
	switch {
	case opened > maxOpened:
		if opened == maxOpened+1 {
			go ses.Close("too many data channels")
		}
		return "too many data channels"
	case ses.sfu.deps.Chat == nil:
		return "there is no chat"
	case label != ChatLabel:
		return "no such label"
	case !reliable: // and ordered
		return "the chat is ordered and reliable"
	case open >= maxChannels:
		return "too many open data channels"
	}
	return ""
}

// openChannel hands an open channel over.
func (ses *session) openChannel(raw *datachannel.DataChannel, most int, owner ChannelOwner) {
	c := &Channel{owner: owner, raw: raw, most: most, buffer: make([]byte, channelFrame)}
	chans := &ses.channels
	chans.mu.Lock()
	defer chans.mu.Unlock()
	if chans.closed {
		return // with the peer connection
	}
	if chans.open == nil {
		chans.open = map[*Channel]struct{}{}
	}
	chans.open[c] = struct{}{}
	ses.readers.Go(func() {
		ses.sfu.deps.Chat(c)
		if err := c.Close(); err != nil {
			ses.log.Debug("close data channel", "err", err)
		}
		chans.mu.Lock()
		defer chans.mu.Unlock()
		delete(chans.open, c)
	})
}

// endChannels makes the readers of all channels return.
func (ses *session) endChannels() {
	chans := &ses.channels
	chans.mu.Lock()
	defer chans.mu.Unlock()
	chans.closed = true
	for c := range chans.open {
		if err := c.Close(); err != nil {
			ses.log.Debug("close data channel", "err", err)
		}
	}
}
