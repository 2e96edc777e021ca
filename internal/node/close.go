package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// notice is how long players have media after they have been told to reconnect: what
// they are told comes by TCP, and would else be overtaken by the end of the media.
const notice = 250 * time.Millisecond

// portShare is the part of shutdown.timeout, as a divisor, that requests under way may
// have: recordings and sessions need the rest to end in order.
const portShare = 4

// hookShare is the same for events that receivers have not taken yet.
const hookShare = 4

// Close stops the node in order, within shutdown.timeout: no new sessions, a
// reconnect event to the players, no new requests, no sessions, no leases, no
// Redis, and last the ops port. It is idempotent; Run calls it.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	n.drain.undo(false)
	n.draining.Store(true)
	n.stopping.Store(true)
	if n.governor != nil {
		n.governor.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.config.Shutdown.Timeout)
	defer cancel()
	c := &closing{ctx: ctx}
	noticed := n.sendAway(c)
	n.closeRequests(c)
	n.closeMedia(c, noticed)
	n.closeStores(c)
	return errors.Join(c.errs...)
}

// closing is the order in which things end, each within what is left of the time.
type closing struct {
	ctx  context.Context
	errs []error
}

func (c *closing) step(what string, f func() error) {
	if err := within(c.ctx, f); err != nil {
		c.errs = append(c.errs, fmt.Errorf("close %s: %w", what, err))
	}
}

// sendAway tells other nodes and the players to go elsewhere. It returns until when
// they need media.
func (n *Node) sendAway(c *closing) (noticed time.Time) {
	if n.cluster != nil && n.cluster.registry != nil {
		n.cluster.registry.Beat()
	}
	if n.relays != nil && n.whep != nil {
		c.step("relays of others", func() error { n.relays.leave(c.ctx); return nil })
	}
	noticed = time.Now()
	if n.whep != nil {
		c.step("whep", func() error {
			if n.whep.Reconnect(n.back, n.config.Drain.Back) > 0 {
				noticed = time.Now().Add(notice)
			}
			n.whep.Close()
			return nil
		})
	}
	return noticed
}

// closeRequests ends what is asked of this node, and what it asks of others.
func (n *Node) closeRequests(c *closing) {
	n.neighbours.stop()
	n.forward.stop()
	if n.relays != nil {
		n.relays.close()
	}
	if n.relaying != nil {
		n.relaying.Close()
	}
	if n.whip != nil {
		c.step("whip", func() error { n.whip.Close(); return nil })
	}
	if n.hls != nil {
		c.step("hls", func() error { n.hls.Close(); return nil })
	}
	if n.chat != nil {
		c.step("chat", n.chat.Close)
	}
	if n.public != nil {
		c.step("public port", func() error {
			ctx, cancel := context.WithTimeout(c.ctx, n.config.Shutdown.Timeout/portShare)
			defer cancel()
			return n.public.shutdown(ctx)
		})
	}
}

// closeMedia ends recordings, and sessions when the players have been told.
func (n *Node) closeMedia(c *closing, noticed time.Time) {
	if n.recorder != nil {
		c.step("recorder", n.recorder.Close)
	}
	if n.media != nil {
		c.step("notice", func() error { <-time.After(time.Until(noticed)); return nil })
		c.step("media", n.media.Close)
	}
	if n.relays != nil {
		c.step("relays", func() error { n.relays.wait(); return nil })
	}
}

// closeStores ends what the others needed until now.
func (n *Node) closeStores(c *closing) {
	if n.files != nil {
		c.step("recordings", n.files.Close)
	}
	if n.shared != nil {
		c.step("shared recordings", n.shared.Close)
	}
	if n.webhooks != nil {
		c.step("webhooks", func() error { n.webhooks.close(c.ctx, n.config.Shutdown.Timeout/hookShare); return nil })
	}
	if n.cluster != nil {
		c.step("cluster", func() error { return n.cluster.close(c.ctx) })
	}
	if n.catalog != nil {
		c.step("database", n.catalog.Close)
	}
	if n.ops != nil {
		c.step("ops port", func() error { return n.ops.shutdown(c.ctx) })
	}
}

// within runs f, and gives it up when ctx ends.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("it did not end within shutdown.timeout")
	}
}
