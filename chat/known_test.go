package chat_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sluice-live/sluice/chat"
	"github.com/sluice-live/sluice/internal/catalog"
)

// stuck is a catalog that cannot be read while it is broken.
type stuck struct {
	*catalog.Catalog
	broken atomic.Bool
}

var errStuck = errors.New("the database does not answer")

func (s *stuck) MessagesBefore(ctx context.Context, stream, before string, limit int) ([]catalog.Message, error) {
	if s.broken.Load() {
		return nil, errStuck
	}
	return s.Catalog.MessagesBefore(ctx, stream, before, limit)
}

func (s *stuck) Room(ctx context.Context, stream string) (catalog.Room, error) {
	if s.broken.Load() {
		return catalog.Room{}, errStuck
	}
	return s.Catalog.Room(ctx, stream)
}

// TestARoomThatOpensWithoutItsPast has bans, rules and history when the database
// answers again, less what was decided meanwhile.
func TestARoomThatOpensWithoutItsPast(t *testing.T) {
	t.Parallel()
	store := &stuck{Catalog: openCatalog(t)}
	first := newNode(t, newLog(), store.Catalog, newStage(), fast())
	mod := enter(t, first, who("mod", moderator))
	for _, text := range []string{"one", "two", "three"} {
		mod.send(text, text)
	}
	mod.hears("message", 3)
	second := mod.of("message")[1]["id"]
	mod.say(`{"type":"ban","user":"bob","seconds":600}`)
	mod.say(`{"type":"ban","user":"carl","seconds":600}`)
	mod.say(`{"type":"slow","seconds":9}`)
	mod.hears("banned", 2)
	mod.hears("slow", 1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	store.broken.Store(true)
	n := &node{log: newLog(), store: store.Catalog}
	hub, err := chat.New(fast(), chat.Deps{Bus: n, Archive: store, Rules: store, Media: newStage(), Recordings: n, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.Hub = hub
	t.Cleanup(func() { _ = hub.Close() })
	mod = enter(t, n, who("mod", moderator))
	if f := mod.hears("welcome", 1); f["slow"] != 0.0 || len(mod.history()) != 0 {
		t.Fatalf("without the database: %v", f)
	}
	mod.say(`{"type":"delete","id":"%s"}`, second)
	mod.hears("deleted", 1)
	mod.say(`{"type":"unban","user":"carl"}`)
	mod.hears("banned", 1)
	store.broken.Store(false)
	if f := mod.hears("slow", 1); f["seconds"] != 9.0 {
		t.Errorf("slow %v", f)
	}
	bob, carl := enter(t, n, who("bob")), enter(t, n, who("carl"))
	if got := bob.history(); !slices.Equal(got, []string{"one", "three"}) {
		t.Errorf("history %q", got)
	}
	bob.send("1", "hello")
	bob.refused(1, "banned")
	carl.send("1", "hello")
	mod.hears("message", 1)
}
