package chat

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"

	"github.com/sluice-live/sluice/internal/catalog"
)

// levels counts what is logged at each level.
type levels map[slog.Level]int

func (l levels) Enabled(context.Context, slog.Level) bool        { return true }
func (l levels) Handle(_ context.Context, rec slog.Record) error { l[rec.Level]++; return nil }
func (l levels) WithAttrs([]slog.Attr) slog.Handler              { return l }
func (l levels) WithGroup(string) slog.Handler                   { return l }

// TestADatabaseThatStaysAway costs a room one error and a bounded memory of what
// is decided meanwhile.
func TestADatabaseThatStaysAway(t *testing.T) {
	t.Parallel()
	said := levels{}
	r := &room{log: slog.New(said), ctx: t.Context(), refs: newWindow(refWindow)}
	away := errors.New("the messages cannot be read")
	r.known.note(event{Kind: deleteEvent, Target: "before"})
	for i := range 3 {
		r.learn(past{}, away)
		for j := range refWindow {
			r.known.note(event{Kind: deleteEvent, Target: strconv.Itoa(i*refWindow + j)})
		}
	}
	if said[slog.LevelError] != 1 || said[slog.LevelDebug] != 2 {
		t.Errorf("logged %v", said)
	}
	if n := len(r.known.newer.known); n != refWindow {
		t.Errorf("%d decisions are remembered, not %d", n, refWindow)
	}
	if newest := strconv.Itoa(3*refWindow - 1); !r.known.decided(deleteEvent, newest) {
		t.Error("the newest decision is forgotten")
	}
	r.learn(past{settings: &catalog.Room{}}, nil)
	if r.known.lacking || len(r.known.newer.known) != 0 {
		t.Error("decisions are remembered though nothing lacks")
	}
	r.learn(past{}, away)
	if said[slog.LevelError] != 2 {
		t.Errorf("the next failure is not logged: %v", said)
	}
}
