package signaling_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// failsFast checks that Redis being away is noticed within a second, and later
// calls do not even wait that long.
func failsFast(t *testing.T, r *signaling.Registry) {
	t.Helper()
	for _, name := range []string{"first", "second", "third"} {
		began := time.Now()
		_, err := r.Acquire(t.Context(), name)
		if d := time.Since(began); d > time.Second {
			t.Errorf("the %s call took %s", name, d)
		}
		wantCode(t, err, sluice.CodeUnavailable)
	}
	began := time.Now()
	if _, err := r.Lookup(t.Context(), "demo"); err == nil || time.Since(began) > 300*time.Millisecond {
		t.Errorf("with Redis known to be away: %v after %s", err, time.Since(began))
	}
}

func TestFrozenRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a, b := registry(t, connect(t, server.url()), "a"), registry(t, connect(t, server.url()), "b")
	l := acquire(t, a, "demo")

	server.signal(t, syscall.SIGSTOP)
	failsFast(t, a)
	if a.Err() == nil {
		t.Error("Redis is frozen and Err is nil")
	}
	end := time.Now().Add(3 * leaseTTL)
	eventually(t, "the lease would have expired", func() bool { return time.Now().After(end) })
	if isLost(l) {
		t.Error("the lease was lost while Redis was away")
	}

	server.signal(t, syscall.SIGCONT)
	eventually(t, "Redis is back for both", func() bool { return a.Err() == nil && b.Err() == nil })
	eventually(t, "the lease stands again", func() bool {
		owner, err := b.Lookup(t.Context(), "demo")
		return err == nil && owner == signaling.Owner{Node: "a", Generation: l.Generation()}
	})
	if isLost(l) {
		t.Error("the lease was lost")
	}
}

func TestKilledRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a, b := registry(t, connect(t, server.url()), "a"), registry(t, connect(t, server.url()), "b")
	l := acquire(t, a, "demo")

	server.kill()
	failsFast(t, a)
	if isLost(l) {
		t.Error("the lease was lost with Redis")
	}

	server.start(t) // with empty data
	eventually(t, "the lease is asserted again under its generation", func() bool {
		owner, err := b.Lookup(t.Context(), "demo")
		return err == nil && owner == signaling.Owner{Node: "a", Generation: l.Generation()}
	})
	eventually(t, "both nodes are known again", func() bool {
		nodes, err := a.Nodes(t.Context())
		return err == nil && len(nodes) == 2
	})
	_, err := b.Acquire(t.Context(), "demo")
	wantCode(t, err, sluice.CodeStreamBusy)
	if isLost(l) {
		t.Error("the lease was lost")
	}
	// The counter survives with the lease: later generations stay higher.
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next := acquire(t, b, "demo"); next.Generation() <= l.Generation() {
		t.Errorf("generation %d after %d", next.Generation(), l.Generation())
	}
}

func TestFlushedRedisWithANewOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a := registry(t, client, "a")
		l := acquire(t, a, "demo")
		kept := acquire(t, a, "kept")
		// In one transaction, so that no renewal comes between.
		_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.FlushDB(t.Context())
			p.HSet(t.Context(), "sluice:{demo}:lease", "owner", "b", "gen", "7")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the lease is lost to the new owner", func() bool { return isLost(l) })
		eventually(t, "the other lease is asserted again", func() bool {
			owner, err := a.Lookup(t.Context(), "kept")
			return err == nil && owner.Generation == kept.Generation()
		})
		if isLost(kept) || a.LeaseLosses() != 1 {
			t.Errorf("kept lost %v, losses %d", isLost(kept), a.LeaseLosses())
		}
	})
}

// A lease that someone else had in the meantime does not come back.
func TestSupersededLease(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a := registry(t, client, "a")
		l := acquire(t, a, "demo")
		_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Del(t.Context(), "sluice:{demo}:lease")
			p.Incr(t.Context(), "sluice:{demo}:gen")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the lease is lost", func() bool { return isLost(l) })
	})
}

// One key of the wrong type must not take the registry down.
func TestSpoiledKey(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a := registry(t, client, "a")
		l, good := acquire(t, a, "spoiled"), acquire(t, a, "good")
		_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Del(t.Context(), "sluice:{spoiled}:lease")
			p.Set(t.Context(), "sluice:{spoiled}:lease", "x", 0)
			p.HSet(t.Context(), "sluice:nodes:{default}", "x", "\xff", "y", "99999999999999999999 {}")
			p.SAdd(t.Context(), "sluice:regions", "spoiled", "{}")
			p.Set(t.Context(), "sluice:nodes:{spoiled}", "x", 0)
			p.Del(t.Context(), "sluice:order:{a}")
			p.HSet(t.Context(), "sluice:order:{a}", "x", "y")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Acquire(t.Context(), "spoiled")
		wantCode(t, err, sluice.CodeUnavailable)
		end := time.Now().Add(2 * leaseTTL)
		eventually(t, "two lease times pass", func() bool { return time.Now().After(end) })
		if a.Err() != nil || isLost(l) || isLost(good) {
			t.Errorf("err %v, lost %v %v", a.Err(), isLost(l), isLost(good))
		}
		if owner, err := a.Lookup(t.Context(), "good"); err != nil || owner.Node != "a" {
			t.Errorf("owner %+v, %v", owner, err)
		}
		nodes, err := a.Nodes(t.Context())
		if err != nil || len(nodes) != 1 {
			t.Errorf("nodes %+v, %v", nodes, err)
		}
	})
}

func TestCallerWhoGivesUp(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		a := registry(t, connect(t, url), "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Acquire(ctx, "demo"); err == nil {
			t.Error("no error")
		}
		if a.Err() != nil {
			t.Errorf("a caller who gave up counts as an outage: %v", a.Err())
		}
	})
}

func TestEmbeddedExpires(t *testing.T) {
	t.Parallel()
	e, err := signaling.NewEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	client := connect(t, e.URL())
	if err := client.Set(t.Context(), "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, "the key expires", func() bool { return client.Exists(t.Context(), "k").Val() == 0 })
	if d := time.Since(began); d < 800*time.Millisecond {
		t.Errorf("it lived %s", d)
	}
	// Whoever else is on this machine needs the password.
	_, rest, _ := strings.Cut(e.URL(), "@")
	if _, err := signaling.Connect(t.Context(), "redis://"+rest); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: %v", err)
	}
}

func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, url, want string }{
		{"no URL", "", "scheme"},
		{"other scheme", "http://:hunter2@127.0.0.1:1", "scheme"},
		{"unknown form", "redis+ring://:hunter2@127.0.0.1:1", "unknown form"},
		{"control characters", "redis://:hunter2@127.0.0.1:1/\x00", "not a URL"},
		{"sentinel without a master", "redis+sentinel://:hunter2@127.0.0.1:1", "master_name"},
		{"bad database", "redis://:hunter2@127.0.0.1:1/x", "database"},
		{"bad option", "redis+cluster://:hunter2@127.0.0.1:1?nonsense=1", "nonsense"},
		{"nobody there", "redis://:hunter2@127.0.0.1:1", "does not answer"},
		{"no sentinel there", "redis+sentinel://:hunter2@127.0.0.1:1?master_name=m", "does not answer"},
		{"no cluster there", "redis+cluster://:hunter2@127.0.0.1:1", "does not answer"},
		{"no TLS there", "rediss://:hunter2@127.0.0.1:1", "does not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			_, err := signaling.Connect(t.Context(), tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password shows: %v", err)
			}
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}
