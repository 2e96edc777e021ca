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
	var errs []error
	step := func(what string, f func() error) {
		if err := within(ctx, f); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", what, err))
		}
	}
	if n.cluster != nil && n.cluster.registry != nil {
		n.cluster.registry.Beat()
	}
	if n.relays != nil && n.whep != nil {
		step("relays of others", func() error { n.relays.leave(ctx); return nil })
	}
	noticed := time.Now()
	if n.whep != nil {
		step("whep", func() error {
			if n.whep.Reconnect(n.back, n.config.Drain.Back) > 0 {
				noticed = time.Now().Add(notice)
			}
			n.whep.Close()
			return nil
		})
	}
	n.neighbours.stop()
	n.forward.stop()
	if n.relays != nil {
		n.relays.close()
	}
	if n.relaying != nil {
		n.relaying.Close()
	}
	if n.whip != nil {
		step("whip", func() error { n.whip.Close(); return nil })
	}
	if n.hls != nil {
		step("hls", func() error { n.hls.Close(); return nil })
	}
	if n.chat != nil {
		step("chat", n.chat.Close)
	}
	if n.public != nil {
		step("public port", func() error {
			ctx, cancel := context.WithTimeout(ctx, n.config.Shutdown.Timeout/portShare)
			defer cancel()
			return n.public.shutdown(ctx)
		})
	}
	if n.recorder != nil {
		step("recorder", n.recorder.Close)
	}
	if n.media != nil {
		step("notice", func() error { <-time.After(time.Until(noticed)); return nil })
		step("media", n.media.Close)
	}
	if n.relays != nil {
		step("relays", func() error { n.relays.wait(); return nil })
	}
	if n.files != nil {
		step("recordings", n.files.Close)
	}
	if n.shared != nil {
		step("shared recordings", n.shared.Close)
	}
	if n.cluster != nil {
		step("cluster", func() error { return n.cluster.close(ctx) })
	}
	if n.catalog != nil {
		step("database", n.catalog.Close)
	}
	if n.ops != nil {
		step("ops port", func() error { return n.ops.shutdown(ctx) })
	}
	return errors.Join(errs...)
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
