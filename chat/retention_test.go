package chat_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
	"github.com/sluice-live/sluice/internal/catalog"
)

// shelf is the recordings that there are.
type shelf []sluice.Recording

func (s shelf) Recordings(context.Context) ([]sluice.Recording, error) { return s, nil }

// TestRetentionFollowsRecordings opens a node with a recording, and again when the
// recording is gone: its chat stays as long as it does.
func TestRetentionFollowsRecordings(t *testing.T) {
	store, now := openCatalog(t), time.Now()
	ago := func(d time.Duration) catalog.Message {
		at := now.Add(-d)
		return catalog.Message{Stream: "demo", ID: fmt.Sprintf("%013d-000000.00", at.UnixMilli()), At: at, UserID: "alice", Text: d.String()}
	}
	if err := store.AddMessages(t.Context(), []catalog.Message{ago(5 * time.Hour), ago(3 * time.Hour), ago(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	rec := sluice.Recording{ID: "rec1", Stream: "demo", Started: now.Add(-4 * time.Hour), Ended: now.Add(-2 * time.Hour)}
	for _, step := range []struct {
		recordings shelf
		want       []string
	}{
		{shelf{rec}, []string{"3h0m0s", "1m0s"}},
		{shelf{}, []string{"1m0s"}},
	} {
		n := &node{log: newLog(), store: store}
		hub, err := chat.New(chat.Config{Node: "a", Retention: time.Hour}, chat.Deps{
			Bus: n, Archive: store, Rules: store, Media: newStage(), Recordings: step.recordings, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprint("only ", step.want, " are kept"), func() bool {
			kept, err := store.MessagesBefore(t.Context(), "demo", "", 10)
			var texts []string
			for _, m := range kept {
				texts = append(texts, m.Text)
			}
			return err == nil && slices.Equal(texts, step.want)
		})
		if err := hub.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
