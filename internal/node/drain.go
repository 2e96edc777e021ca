package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/placement"
	"github.com/sluice-live/sluice/signaling"
)

const (
	// drainEach is the time for each player of a node that drains, as long as all
	// together do not take drain.spread.
	drainEach = 50 * time.Millisecond
	// drainLook is how often a node that drains looks who is left.
	drainLook = 50 * time.Millisecond
	// drainPublishers is how long before the end, as a share of all the time,
	// publishers are sent away whose viewers have not all left.
	drainPublishers = .25
)

// drainer gives up what a node has. At most one attempt runs at a time.
type drainer struct {
	mu     sync.Mutex
	cancel context.CancelFunc // of the attempt; nil when there is none
	done   chan struct{}      // of the attempt
}

// beginDrain drains within that time, 0 for drain.timeout. It does not wait. While
// the node drains already, nothing changes. With stop the node ends afterwards, and
// players may stay until then to come back to it, see departure.
func (n *Node) beginDrain(over time.Duration, stop bool) (done <-chan struct{}) {
	if over <= 0 {
		over = n.config.Drain.Timeout
	}
	d := &n.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		return d.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), over)
	d.cancel, d.done = cancel, make(chan struct{})
	n.draining.Store(true)
	n.cluster.registry.Beat()
	n.log.Info("node drains", "node", n.cluster.id, "within", over.String(), "viewers", n.media.Counters().ViewersNow)
	go n.runDrain(ctx, over, stop, d.done)
	return d.done
}

// undo ends draining; with serve the node takes new sessions again. Who has been
// told to leave is not called back.
func (d *drainer) undo(serve bool, after ...func()) {
	d.mu.Lock()
	cancel, done := d.cancel, d.done
	d.cancel = nil
	d.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
	if serve {
		for _, f := range after {
			f()
		}
	}
}

// undrain makes the node take new sessions again.
func (n *Node) undrain() {
	n.drain.undo(true, func() {
		if !n.stopping.Load() && n.draining.Swap(false) {
			n.cluster.registry.Beat()
			n.log.Info("node serves again", "node", n.cluster.id)
		}
	})
}

// obey takes an operator's order from Redis.
func (n *Node) obey(o signaling.Order) {
	switch {
	case !n.built.Load():
		n.log.Warn("an order comes before the node has begun", "node", n.cluster.id)
		return
	case o.Drain:
		n.beginDrain(o.Over, false)
		return
	}
	go n.undrain() // it may wait for a beat of the caller's
}

// runDrain tells publishers and players to go, then lets go of publishers that
// cannot be told, and at the end cuts off who is left.
func (n *Node) runDrain(ctx context.Context, over time.Duration, stop bool, done chan struct{}) {
	defer close(done)
	late := time.Now().Add(time.Duration(float64(over) * (1 - drainPublishers)))
	renewed := n.renewed(ctx)
	to := n.departure(renewed, stop)
	n.whip.Move(func(stream string) string { return n.publishElsewhere(stream, renewed) })
	spread := min(n.config.Drain.Spread, drainEach*time.Duration(n.whep.Sessions()), over/2)
	left := n.whep.Leave(ctx, spread, to)
	untold, sent := false, false
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		publishers := n.media.Counters().PublishersNow
		switch players := left(); {
		case players == 0 && publishers == 0:
			return
		case !untold && (players == 0 || time.Now().After(late)):
			untold = true
			n.whip.CloseUntold("the node hands its publishers over")
		case !sent && time.Now().After(late):
			sent = true
			n.whip.CloseSessions("the node hands its publishers over")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if ctx.Err() == context.DeadlineExceeded { //nolint:errorlint // the context's own
				if !stop {
					n.whep.CloseSessions("the node has drained")
				}
				n.whip.CloseSessions("the node has drained")
			}
			return
		}
	}
}

// renewed notes that this node leaves, and tells which nodes have been restarted in
// the present rolling restart.
func (n *Node) renewed(ctx context.Context) func(sluice.Node) bool {
	roll, err := n.cluster.registry.Roll(ctx, n.config.Drain.Roll)
	if err != nil {
		n.log.Warn("it is not known which nodes have been restarted", "node", n.cluster.id, "err", err)
	}
	began, me := time.Now().Add(-roll), n.here()
	me.Started = time.Now().Add(-n.cluster.registry.Uptime())
	return func(o sluice.Node) bool { return placement.Renewed(o, me, began) }
}

// departure says where the players of a stream go: to a node that has been
// restarted in the present rolling restart, if there is one, as it will not send
// them on. Else, when the node ends, those that listen stay until then and come back
// to it (drain.back): so each of them reconnects once while all nodes are restarted
// one after the other. Otherwise they go to any node.
func (n *Node) departure(renewed func(sluice.Node) bool, stop bool) func(stream string) (url string, ok bool) {
	return func(stream string) (url string, ok bool) {
		if n.place == nil {
			return "", !stop
		}
		if to, ok := n.place.other(stream, renewed); ok {
			return to.Address() + "/whep/" + stream, true
		}
		if stop && n.config.Drain.Back > 0 {
			return "", false
		}
		if to, ok := n.place.other(stream, nil); ok {
			return to.Address() + "/whep/" + stream, true
		}
		return "", true
	}
}

// handOver drains before the node stops, when there are others to hand over to.
func (n *Node) handOver() {
	if n.place == nil || n.whep == nil || n.whip == nil {
		return
	}
	c := n.media.Counters()
	if c.ViewersNow == 0 && c.PublishersNow == 0 || !n.place.company() {
		n.renewed(context.Background()) // the others shall know, even so
		return
	}
	<-n.beginDrain(0, true)
}

// publishElsewhere is where the publisher of a stream should go from here, "" when
// there is no other node.
func (n *Node) publishElsewhere(stream string, renewed func(sluice.Node) bool) string {
	if n.place == nil {
		return ""
	}
	for _, fits := range []func(sluice.Node) bool{renewed, nil} {
		if to, ok := n.place.other(stream, fits); ok {
			return to.Address() + "/whip/" + stream
		}
	}
	return ""
}

// back is where the players of a stream come back to when the node has ended and
// begun again.
func (n *Node) back(stream string) string {
	if n.place == nil {
		return ""
	}
	return sluice.Node{URL: n.address(), Public: n.config.HTTP.PublicURL}.Address() + "/whep/" + stream
}

// roles are those that are configured, and that the node can fill.
func (n *Node) roles() []string {
	return slices.DeleteFunc(slices.Clone(n.config.Node.Roles), func(role string) bool {
		return role == sluice.RoleRecording && !n.config.Record.Enabled
	})
}

// describe fills in the node's record.
func (n *Node) describe(to *sluice.Node) {
	version, _ := Version()
	to.Version, to.CPUs, to.Roles = version, cpus(), n.roles()
	to.URL, to.Public = n.config.HTTP.PublicURL, n.config.HTTP.PublicURL
	to.Capacity = sluice.Capacity{Viewers: n.config.Node.Capacity.Viewers, Mbps: float64(n.config.Node.Capacity.Mbps)}
	to.Load, to.Step = n.governor.now()
	to.Media = n.mediaAddress()
	to.State = sluice.NodeServing
	if n.draining.Load() {
		to.State = sluice.NodeDraining
	}
}
