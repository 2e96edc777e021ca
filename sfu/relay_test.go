package sfu

import (
	"testing"

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
		for {
			select {
			case <-changed:
				known, _, changed = b.Stream()
				r.Tell(known)
			case <-b.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { b.Close("end of test"); <-told })
	return r, b
}

func isLive(s *SFU) func() bool {
	return func() bool {
		st, _ := s.Stream("demo")
		return st.State == sluice.StreamLive && len(st.Layers) == 1 && st.Layers[0].Width == 320
	}
}

func TestRelay(t *testing.T) {
	a, b, c := newTestSFU(t, Config{}), newTestSFU(t, Config{}), newTestSFU(t, Config{})
	cam := publish(t, a)
	eventually(t, "live stream", isLive(a))
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
	eventually(t, "live copies", func() bool { return isLive(b)() && isLive(c)() })
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
