package signaling_test

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

func wantCode(t *testing.T, err error, code sluice.Code) {
	t.Helper()
	if sluice.CodeOf(err) != code {
		t.Errorf("error %v, want code %q", err, code)
	}
}

// acquire claims a stream, however busy the machine is.
func acquire(t *testing.T, r *signaling.Registry, stream string) *signaling.Lease {
	t.Helper()
	l, err := claim(t, r, stream)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// claim tries to claim a stream until Redis answers.
func claim(t *testing.T, r *signaling.Registry, stream string) (*signaling.Lease, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := r.Acquire(ctx, stream)
		if sluice.CodeOf(err) != sluice.CodeUnavailable || ctx.Err() != nil {
			return l, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func TestLeaseIsExclusive(t *testing.T) { onBoth(t, leaseIsExclusive) }

func leaseIsExclusive(t *testing.T, url string) {
	client := connect(t, url)
	a, b := registry(t, client, "a"), registry(t, client, "b")
	_, err := a.Lookup(t.Context(), "demo")
	wantCode(t, err, sluice.CodeNotFound)

	first := acquire(t, a, "demo")
	owner, err := b.Lookup(t.Context(), "demo")
	if err != nil || owner.Node != "a" || owner.Generation != first.Generation() {
		t.Fatalf("owner %+v, %v", owner, err)
	}
	_, err = b.Acquire(t.Context(), "demo")
	wantCode(t, err, sluice.CodeStreamBusy)
	if a.Leases() != 1 || b.Leases() != 0 {
		t.Errorf("a holds %d, b %d", a.Leases(), b.Leases())
	}

	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := acquire(t, b, "demo")
	if second.Generation() <= first.Generation() {
		t.Errorf("generation %d after %d", second.Generation(), first.Generation())
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if owner, err := a.Lookup(t.Context(), "demo"); err != nil || owner.Node != "b" {
		t.Errorf("a stale release took the lease away: %+v, %v", owner, err)
	}
	if isLost(first) || isLost(second) {
		t.Error("a release counts as a loss")
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		l := acquire(t, a, "demo")
		end := time.Now().Add(3 * leaseTTL)
		eventually(t, "three lease times pass", func() bool {
			if _, err := b.Acquire(t.Context(), "demo"); err == nil {
				t.Fatal("the lease ended although its holder lives")
			}
			return time.Now().After(end)
		})
		if isLost(l) {
			t.Error("lost")
		}
	})
}

func TestLeaseOfADeadNodeExpires(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client, dying := connect(t, url), connect(t, url)
		a, b := registry(t, dying, "a"), registry(t, client, "b")
		former := acquire(t, a, "demo")
		if err := dying.Close(); err != nil { // as if the node had been killed
			t.Fatal(err)
		}
		began := time.Now()
		var next *signaling.Lease
		eventually(t, "the other node gets the stream", func() bool {
			l, err := b.Acquire(t.Context(), "demo")
			next = l
			return err == nil
		})
		if d := time.Since(began); d > 4*leaseTTL {
			t.Errorf("it took %s", d)
		}
		if next.Generation() <= former.Generation() {
			t.Errorf("generation %d after %d", next.Generation(), former.Generation())
		}
		eventually(t, "the dead node is gone from the list", func() bool {
			nodes, err := b.Nodes(t.Context())
			return err == nil && len(nodes) == 1 && nodes[0].ID == "b"
		})
	})
}

func TestSameNodeAcquiresAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		a := registry(t, connect(t, url), "a")
		first := acquire(t, a, "demo")
		second := acquire(t, a, "demo")
		if second.Generation() <= first.Generation() {
			t.Errorf("generation %d after %d", second.Generation(), first.Generation())
		}
		if !isLost(first) || isLost(second) {
			t.Errorf("lost: first %v, second %v", isLost(first), isLost(second))
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if owner, err := a.Lookup(t.Context(), "demo"); err != nil || owner.Generation != second.Generation() {
			t.Errorf("owner %+v, %v", owner, err)
		}
	})
}

// Two processes that were given the same node id: the younger one wins.
func TestTwinNode(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		older, younger := registry(t, client, "a"), registry(t, client, "a")
		first := acquire(t, older, "demo")
		second := acquire(t, younger, "demo")
		eventually(t, "the older twin loses the lease", func() bool { return isLost(first) })
		if isLost(second) || older.LeaseLosses() != 1 || older.Leases() != 0 {
			t.Errorf("second lost %v, losses %d, leases %d", isLost(second), older.LeaseLosses(), older.Leases())
		}
	})
}

func TestManyAcquireAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		nodes := []*signaling.Registry{registry(t, client, "a"), registry(t, client, "b"), registry(t, client, "c")}
		var wg sync.WaitGroup
		got := make([]*signaling.Lease, 30)
		for i := range got {
			wg.Go(func() { got[i], _ = claim(t, nodes[i%3], "demo") })
		}
		wg.Wait()
		var owner signaling.Owner
		eventually(t, "Redis answers", func() bool {
			var err error
			owner, err = nodes[0].Lookup(t.Context(), "demo")
			return err == nil
		})
		live := 0
		seen := map[uint64]bool{}
		for i, l := range got {
			switch {
			case l == nil:
				continue
			case nodes[i%3] != nodes[strings.Index("abc", owner.Node)]:
				t.Errorf("node %d got the stream beside %s", i%3, owner.Node)
			case seen[l.Generation()]:
				t.Errorf("generation %d twice", l.Generation())
			case !isLost(l):
				live++
			}
			seen[l.Generation()] = true
		}
		if live != 1 {
			t.Errorf("%d live leases", live)
		}
	})
}

func TestManyLeasesAreRenewed(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a := registry(t, client, "a")
		const many = 250 // more than two batches
		for i := range many {
			acquire(t, a, "s"+strings.Repeat("x", i%60)+string(rune('a'+i%26))+string(rune('a'+i/26)))
		}
		end := time.Now().Add(2 * leaseTTL)
		eventually(t, "two lease times pass", func() bool { return time.Now().After(end) })
		if n := a.Leases(); n != many {
			t.Errorf("%d leases", n)
		}
		// On a busy machine some may be renewed late, and are then written anew.
		eventually(t, "all leases are in Redis", func() bool {
			keys, err := client.Keys(t.Context(), "sluice:*:lease").Result()
			return err == nil && len(keys) == many && a.Err() == nil
		})
	})
}

func TestClose(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		acquire(t, a, "one")
		acquire(t, a, "two")
		eventually(t, "both nodes are known", func() bool {
			nodes, err := b.Nodes(t.Context())
			return err == nil && len(nodes) == 2
		})
		for range 2 {
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		acquire(t, b, "one")
		acquire(t, b, "two")
		nodes, err := b.Nodes(t.Context())
		if err != nil || len(nodes) != 1 || nodes[0].ID != "b" {
			t.Errorf("nodes %+v, %v", nodes, err)
		}
		_, err = a.Acquire(t.Context(), "three")
		wantCode(t, err, sluice.CodeUnavailable)
	})
}

func TestNodeRecord(t *testing.T) { onBoth(t, nodeRecord) }

func nodeRecord(t *testing.T, url string) {
	var state atomic.Pointer[sluice.NodeState]
	set := func(s sluice.NodeState) { state.Store(&s) }
	set(sluice.NodeServing)
	want := sluice.Node{
		ID: "n-1", Region: "eu", URL: "https://n1.example:8443", Media: "192.0.2.1:8189", Roles: []string{"all"}, Version: "v1",
		State: sluice.NodeServing, Step: sluice.StepCapLow, CPUs: 4,
		Load:     sluice.NodeLoad{CPU: .25, Mbps: 80, Streams: 3, Publishers: 2, Viewers: 50, Relays: 1},
		Capacity: sluice.Capacity{Viewers: 100, Mbps: 1000},
	}
	r, err := signaling.NewRegistry(connect(t, url), signaling.Config{
		NodeID: "n-1", Region: "eu", URL: "https://n1.example:8443", LeaseTTL: leaseTTL,
		Describe: func(n *sluice.Node) {
			*n = want
			n.State = *state.Load()
		},
	}, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	other := registry(t, connect(t, url), "n-2")
	var n sluice.Node
	record := func() bool {
		nodes, err := other.Nodes(t.Context())
		if err != nil || len(nodes) != 2 {
			return false
		}
		n = nodes[0]
		return true
	}
	eventually(t, "the record is there", record)
	if n.Uptime < 0 || n.Started.IsZero() || n.Age < 0 || n.Age > leaseTTL.Seconds() {
		t.Errorf("clocks of %+v", n)
	}
	n.Uptime, n.Started, n.Age = 0, time.Time{}, 0
	if !reflect.DeepEqual(n, want) {
		t.Errorf("record %+v, want %+v", n, want)
	}
	set(sluice.NodeDraining)
	r.Beat()
	eventually(t, "the record says draining", func() bool { return record() && n.State == sluice.NodeDraining })
	if one, err := other.FindNode(t.Context(), "n-1"); err != nil || one.Region != "eu" || one.State != sluice.NodeDraining {
		t.Errorf("one node: %+v, %v", one, err)
	}
	if here, err := other.NodesIn(t.Context(), "eu"); err != nil || len(here) != 1 {
		t.Errorf("nodes of the region: %+v, %v", here, err)
	}
	if some, err := other.SomeNodesIn(t.Context(), "eu", 5); err != nil || len(some) != 1 {
		t.Errorf("some nodes of the region: %+v, %v", some, err)
	}
	_, err = other.FindNode(t.Context(), "n-3")
	wantCode(t, err, sluice.CodeNotFound)
	_, err = other.FindNode(t.Context(), "{a b}")
	wantCode(t, err, sluice.CodeNotFound)
	eventually(t, "the regions are counted", func() bool {
		all := other.Census()
		return all["eu"].Nodes == 1 && all["eu"].Load.Viewers == 50 && all["eu"].Capacity.Mbps == 1000 && all["default"].Nodes == 1
	})
}

func TestOrders(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		orders := make(chan signaling.Order, 4)
		a, err := signaling.NewRegistry(connect(t, url), signaling.Config{
			NodeID: "a", LeaseTTL: leaseTTL, Order: func(o signaling.Order) { orders <- o },
		}, discard())
		if err != nil {
			t.Fatal(err)
		}
		b := registry(t, connect(t, url), "b")
		for _, o := range []signaling.Order{{Drain: true, Over: 5 * time.Second}, {}, {Drain: true}} {
			if err := b.Give(t.Context(), "a", o); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-orders:
				if got != o {
					t.Errorf("order %+v, want %+v", got, o)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("the order %+v did not arrive", o)
			}
		}
		if err := a.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(orders) != 0 {
			t.Error("an order came twice")
		}
	})
}

// A stream is taken from the node that hands it over, and from no other.
func TestTakeover(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		former := acquire(t, a, "demo")
		_, err := b.AcquireFrom(t.Context(), "demo", "c")
		wantCode(t, err, sluice.CodeStreamBusy)
		next, err := b.AcquireFrom(t.Context(), "demo", "a")
		if err != nil {
			t.Fatal(err)
		}
		if next.Generation() <= former.Generation() {
			t.Errorf("generation %d after %d", next.Generation(), former.Generation())
		}
		eventually(t, "the former owner has lost it", func() bool { return isLost(former) })
		if isLost(next) {
			t.Error("the new owner has lost it too")
		}
	})
}

func TestBadNames(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		a := registry(t, connect(t, url), "a")
		for _, name := range []string{"", "a:b*\r\nFLUSHALL", "{x}", strings.Repeat("a", 65), "ä"} {
			_, err := a.Acquire(t.Context(), name)
			wantCode(t, err, sluice.CodeInvalid)
			_, err = a.Lookup(t.Context(), name)
			wantCode(t, err, sluice.CodeInvalid)
		}
	})
}
