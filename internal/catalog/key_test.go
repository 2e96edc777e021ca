package catalog_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/catalog"
)

func TestStreamKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *catalog.Catalog) {
		c, ctx := open(), t.Context()
		one, list := must[sluice.StreamKey](t), must[[]sluice.StreamKey](t)
		hash := func(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
		at := func(minutes int) time.Time { return start().Add(time.Duration(minutes) * time.Minute) }
		first := one(c.AddKey(ctx, "demo", "OBS Ünü", hash("a"), at(0)))
		second := one(c.AddKey(ctx, "demo", "", hash("b"), at(1)))
		other := one(c.AddKey(ctx, "other", "", hash("c"), at(2)))
		if _, err := c.AddKey(ctx, "demo", "", hash("a"), at(3)); err == nil {
			t.Error("a secret is there twice")
		}
		if first.ID >= second.ID || second.ID >= other.ID || !first.Created.Equal(at(0)) || !first.Used.IsZero() {
			t.Errorf("keys %+v %+v %+v", first, second, other)
		}
		if got := list(c.Keys(ctx, "demo", "", 10)); len(got) != 2 || got[0] != first || got[1] != second {
			t.Errorf("of demo: %+v", got)
		}
		if got := list(c.Keys(ctx, "", first.ID, 1)); len(got) != 1 || got[0] != second {
			t.Errorf("the page behind the first: %+v", got)
		}

		if got := one(c.FindKey(ctx, hash("a"), at(10))); got != first {
			t.Errorf("found %+v", got)
		}
		one(c.FindKey(ctx, hash("a"), at(10).Add(59*time.Second))) // too soon to write
		if got := list(c.Keys(ctx, "demo", "", 1)); !got[0].Used.Equal(at(10)) {
			t.Errorf("used %v", got[0].Used)
		}
		one(c.FindKey(ctx, hash("a"), at(12)))
		if got := list(c.Keys(ctx, "demo", "", 1)); !got[0].Used.Equal(at(12)) {
			t.Errorf("used again %v", got[0].Used)
		}
		if _, err := c.FindKey(ctx, hash("x"), at(0)); sluice.CodeOf(err) != sluice.CodeNotFound {
			t.Errorf("an unknown one: %v", err)
		}

		if got := one(c.DropKey(ctx, second.ID)); got != second {
			t.Errorf("revoked %+v", got)
		}
		if _, err := c.DropKey(ctx, second.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
			t.Errorf("revoked twice: %v", err)
		}
		if _, err := c.FindKey(ctx, hash("b"), at(0)); sluice.CodeOf(err) != sluice.CodeNotFound {
			t.Errorf("a revoked one: %v", err)
		}
		ok(t, c.Close())

		c = open() // a restart forgets nothing
		if got := list(c.Keys(ctx, "", "", 10)); len(got) != 2 || got[1] != other {
			t.Errorf("after a restart: %+v", got)
		}
		ok(t, c.Close())
		if _, err := c.FindKey(ctx, hash("a"), at(0)); err == nil || sluice.CodeOf(err) == sluice.CodeNotFound {
			t.Errorf("without a database: %v", err)
		}
	})
}
