package sfu

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// pullFrom makes to relay a stream of from, and carries what they tell each
// other as their nodes would.
func pullFrom(t *testing.T, from, to *SFU) (*Relay, *Branch) {
	t.Helper()
	r, err := to.Relay(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close("end of test") })
	b, err := from.Feed(t.Context(), offerWith(r.Offer()))
	if err != nil {
		t.Fatal(err)
	}
	known, _, changed := b.Stream()
	if err := r.Accept(b.Answer(), known); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-changed:
			case <-tick.C:
			case <-b.Done():
				return
			}
			known, _, changed = b.Stream()
			r.Tell(known)
		}
	}()
	t.Cleanup(func() { b.Close("end of test"); <-told })
	return r, b
}

func TestRelay(t *testing.T) {
	t.Parallel()
	a, b, c := newTestSFU(t, Config{}), newTestSFU(t, Config{}), newTestSFU(t, Config{})
	cam := publish(t, a)
	live(t, a, 1)
	first, branch := pullFrom(t, a, b)
	if !first.Attach(false) {
		t.Fatal("not attached")
	}
	near := watch(t, b)
	near.more(t, 30)
	second, _ := pullFrom(t, b, c)
	if !second.Attach(false) {
		t.Fatal("not attached")
	}
	far := watch(t, c)
	far.more(t, 60)
	live(t, b, 1)
	live(t, c, 1)
	far.check(t, 0)
	near.check(t, 0)

	branch.SetViewers(2)
	if st, _ := a.Stream("demo"); st.Viewers != 2 || st.Relayed {
		t.Errorf("at the origin: %+v", st)
	}
	if st, _, _ := branch.Stream(); st.Viewers != 0 {
		t.Errorf("the node is told of %d viewers that it has itself", st.Viewers)
	}
	if st, _ := c.Stream("demo"); !st.Relayed || st.Viewers != 2 {
		t.Errorf("at the end: %+v", st)
	}
	if n := a.Counters(); n.ViewersNow != 0 || n.BranchesNow != 1 || b.Counters().RelaysNow != 1 || b.Counters().PublishersNow != 0 {
		t.Errorf("counters %+v", n)
	}
	// A publisher elsewhere: the viewers' stream goes on without a break.
	cam.pub.Close("test")
	publish(t, b)
	near.more(t, 60)
	far.more(t, 60)
	near.check(t, 0)
	far.check(t, 0)
	if first.Idle() {
		t.Error("idle with a viewer")
	}
	<-first.Done()
}

// TestRelayedLayersRest: what nobody watches is not sent between nodes, and comes
// back when somebody wants it.
func TestRelayedLayersRest(t *testing.T) {
	t.Parallel()
	a, b := newTestSFU(t, Config{}), newTestSFU(t, Config{})
	publishGroup(t, a)
	live(t, a, 3)
	r, _ := pullFrom(t, a, b)
	if !r.Attach(false) {
		t.Fatal("not attached")
	}
	c := watch(t, b)
	c.more(t, 20)
	for _, rid := range []string{"0", "2", "1"} {
		if err := c.viewer.SelectLayer(sluice.LayerChoice{RID: rid}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "layer "+rid+" alone", func() bool {
			resting, flowing := 0, ""
			for _, l := range r.layers {
				if l.rests() && r.sfu.now()-l.lastArrival.Load() > layerTimeout {
					resting++
				} else if !l.rests() {
					flowing += l.rid
				}
			}
			return resting == 2 && flowing == rid
		})
		c.more(t, 20)
		st, _ := b.Stream("demo")
		for _, l := range st.Layers {
			if !l.Active || l.Bitrate == 0 {
				t.Errorf("watching %s, layer %+v", rid, l)
			}
		}
	}
	c.check(t, 0)
}

// TestRelayIsReplacedWithoutGap puts one relay in the place of another that works.
func TestRelayIsReplacedWithoutGap(t *testing.T) {
	t.Parallel()
	a, b := newTestSFU(t, Config{}), newTestSFU(t, Config{})
	publish(t, a)
	live(t, a, 1)
	first, _ := pullFrom(t, a, b)
	if !first.Attach(false) {
		t.Fatal("not attached")
	}
	c := watch(t, b)
	c.more(t, 60)
	second, _ := pullFrom(t, a, b)
	eventually(t, "a relay that is ready", second.Ready)
	if !second.Attach(false) {
		t.Fatal("not attached")
	}
	eventually(t, "viewers of the second relay", func() bool { return !first.Watched() })
	first.Close("replaced")
	c.more(t, 60)
	c.check(t, 0)
	if n := b.Counters().RelaysNow; n != 1 {
		t.Errorf("%d relays", n)
	}
	// A publisher that comes here is not put out of its place by a relay.
	cam := publish(t, b)
	if second.Attach(false) {
		t.Error("attached over a publisher")
	}
	eventually(t, "connected publisher", cam.pub.connected.Load)
}

// TestRelaysBetweenTwoNodes: several streams go from one node to another at a time,
// and what comes of one relay is not taken for that of another.
func TestRelaysBetweenTwoNodes(t *testing.T) {
	t.Parallel()
	a, b := newTestSFU(t, Config{}), newTestSFU(t, Config{})
	publish(t, a)
	live(t, a, 1)
	var relays []*Relay
	for range 3 {
		r, _ := pullFrom(t, a, b)
		relays = append(relays, r)
	}
	for _, r := range relays {
		eventually(t, "packets of each relay", func() bool { return r.layers[0].packets.Load() > 100 })
	}
	if n := b.Counters(); n.NACKsOut*10 > n.PacketsIn[Video] {
		t.Errorf("%d packets asked for again, %d came", n.NACKsOut, n.PacketsIn[Video])
	}
}
