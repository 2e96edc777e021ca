package signaling_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

func TestEdges(t *testing.T) { onBoth(t, edges) }

func edges(t *testing.T, url string) {
	client := connect(t, url)
	a, b := registry(t, client, "a"), registry(t, client, "b")
	list := func(most int) []signaling.Edge {
		t.Helper()
		var all []signaling.Edge
		eventually(t, "Redis answers", func() bool {
			var err error
			all, err = a.Edges(t.Context(), "demo", most)
			return err == nil
		})
		return all
	}
	if all := list(10); len(all) != 0 {
		t.Errorf("before any: %+v", all)
	}
	b.SetURL("http://b")
	for _, r := range []*signaling.Registry{a, b, b} {
		if err := r.Announce(t.Context(), "demo", signaling.Edge{Depth: 1, Free: 3, Viewers: 7, Lease: 42}); err != nil {
			t.Fatal(err)
		}
	}
	all := list(10)
	if len(all) != 2 || len(list(1)) != 1 {
		t.Errorf("edges %+v", all)
	}
	for _, e := range all {
		if e.Depth != 1 || e.Free != 3 || e.Viewers != 7 || e.Lease != 42 || e.Node == "b" && e.URL != "http://b" {
			t.Errorf("edge %+v", e)
		}
	}
	if err := b.Withdraw(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	// What others have written is left out, and what is old.
	for i, value := range []string{"", "1 {}", "99999999999999 {", `99999999999999 {"node":"../x"}`, `1 {"node":"old"}`} {
		if err := client.HSet(t.Context(), "sluice:{demo}:edges", fmt.Sprint("bad", i), value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if all := list(10); len(all) != 1 || all[0].Node != "a" {
		t.Errorf("edges %+v", all)
	}
	if ttl := client.PTTL(t.Context(), "sluice:{demo}:edges").Val(); ttl <= 0 || ttl > signaling.EdgeTTL {
		t.Errorf("the key lasts %v", ttl)
	}
	_, err := a.Edges(t.Context(), "a/b", 1)
	wantCode(t, err, sluice.CodeInvalid)
}

func TestSecret(t *testing.T) { onBoth(t, secret) }

func secret(t *testing.T, url string) {
	client := connect(t, url)
	a, b := registry(t, client, "a"), registry(t, client, "b")
	mine, yours := strings.Repeat("a", 32), strings.Repeat("b", 32)
	for _, c := range []struct {
		registry *signaling.Registry
		offered  string
	}{{a, mine}, {b, yours}, {a, yours}} {
		if got, err := c.registry.Secret(t.Context(), c.offered); err != nil || got != mine {
			t.Errorf("secret %q, %v", got, err)
		}
	}
	// Redis has lost it: who knows it brings it back.
	if err := client.Del(t.Context(), "sluice:secret").Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Secret(t.Context(), mine); err != nil || got != mine {
		t.Errorf("secret %q, %v", got, err)
	}
}
