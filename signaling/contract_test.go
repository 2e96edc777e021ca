package signaling_test

import (
	"context"
	"strings"
	"sync"
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
func acquire(t *testing.T, r *signaling.Registry, stream string) (l *signaling.Lease) {
	t.Helper()
	eventually(t, "Redis answers", func() bool {
		var err error
		if l, err = r.Acquire(t.Context(), stream); err != nil && sluice.CodeOf(err) != sluice.CodeUnavailable {
			t.Fatal(err)
		}
		return err == nil
	})
	return l
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
			wg.Go(func() { got[i], _ = nodes[i%3].Acquire(t.Context(), "demo") })
		}
		wg.Wait()
		owner, err := nodes[0].Lookup(t.Context(), "demo")
		if err != nil {
			t.Fatal(err)
		}
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
		if n := a.Leases(); n != many || a.Err() != nil {
			t.Errorf("%d leases, %v", n, a.Err())
		}
		keys, err := client.Keys(t.Context(), "sluice:*:lease").Result()
		if err != nil || len(keys) != many {
			t.Errorf("%d keys, %v", len(keys), err)
		}
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

func TestNodeRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		load := signaling.Load{Streams: 3, Viewers: 50}
		r, err := signaling.NewRegistry(client, signaling.Config{
			NodeID: "n-1", Region: "eu", URL: "https://n1.example:8443", LeaseTTL: leaseTTL,
			Load: func() signaling.Load { return load },
		}, discard())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := r.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		var n signaling.Node
		record := func() bool {
			nodes, err := r.Nodes(t.Context())
			if err != nil || len(nodes) != 1 {
				return false
			}
			n = nodes[0]
			return true
		}
		eventually(t, "the record is there", record)
		if n.ID != "n-1" || n.Region != "eu" || n.URL != "https://n1.example:8443" || n.Load != load || n.Draining || n.CPUs < 1 {
			t.Errorf("record %+v", n)
		}
		r.SetDraining(true)
		eventually(t, "the record says draining", func() bool { return record() && n.Draining })
		r.SetDraining(false)
		eventually(t, "and takes it back", func() bool { return record() && !n.Draining })
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
