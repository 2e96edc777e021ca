package recorder

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// told are recordings that a recorder has said to be gone.
type told struct {
	mu  sync.Mutex
	ids []string
}

func (g *told) add(rec string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ids = append(g.ids, rec)
}

func (g *told) has(rec string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range g.ids {
		if id == rec {
			return true
		}
	}
	return false
}

func TestRemove(t *testing.T) {
	t.Parallel()
	media, store, gone := newStudio(film(t, 1, "", "H264", 320, true)), memoryStore(), &told{}
	r, err := New(config(), Deps{Media: media, Store: store, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Removed: gone.add})
	if err != nil {
		t.Fatal(err)
	}
	closing := sync.OnceFunc(func() { _ = r.Close() })
	t.Cleanup(closing)
	eventually(t, "two segments", func() bool { return r.Counters().SegmentsWritten >= 2 })
	rec := only(t, r)
	if h, err := r.Holding(t.Context(), rec.ID); err != nil || h.Bytes == 0 || !h.Ended.IsZero() {
		t.Errorf("running: %+v, %v", h, err)
	}
	if err := r.Remove(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeRecordingRunning {
		t.Errorf("while it runs: %v", err)
	}
	if err := r.Remove(t.Context(), "../"+rec.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("a path: %v", err)
	}
	media.set(sluice.StreamOffline)
	eventually(t, "the end", func() bool { return r.Counters().Recordings == 0 })
	held, err := r.Holdings(t.Context())
	if err != nil || len(held) != 1 || held[0].Bytes == 0 || held[0].Ended.IsZero() {
		t.Errorf("ended: %+v, %v", held, err)
	}
	eventually(t, "it is removed", func() bool { return r.Remove(t.Context(), rec.ID) == nil })
	if err := r.Remove(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("again: %v", err)
	}
	if _, _, err := r.Timeline(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("its timeline: %v", err)
	}
	if entries, err := store.List("."); err != nil || len(entries) != 0 || !gone.has(rec.ID) {
		t.Errorf("left: %v, %v", entries, err)
	}

	// One that waits for its publisher through a restart has not ended either.
	media.set(sluice.StreamLive, film(t, 1, "", "H264", 320, true))
	eventually(t, "two segments more", func() bool { return r.Counters().Recordings == 1 && r.Counters().SegmentsWritten >= 4 })
	rec = only(t, r)
	closing()
	r2, stop := newRecorder(t, config(), offline(), store, nil)
	defer stop()
	if err := r2.Remove(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeRecordingRunning {
		t.Errorf("while it waits: %v", err)
	}
}

// TestRemoveShared removes a recording on another node than the one that made it.
func TestRemoveShared(t *testing.T) {
	t.Parallel()
	media, shared := newStudio(film(t, 1, "", "H264", 320, true)), sharedFolder(t)
	gone := &told{}
	a, _ := tellingNode(t, config(), media, memoryStore(), shared, nil, gone.add)
	b, _ := sharedNode(t, config(), offline(), memoryStore(), shared, nil)
	eventually(t, "segments", func() bool { return len(kept(a)) >= 2 })
	rec := only(t, a)
	eventually(t, "the other node sees it run", func() bool {
		h, err := b.Holding(t.Context(), rec.ID)
		return err == nil && h.Bytes > 0
	})
	if err := b.Remove(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeRecordingRunning {
		t.Errorf("while it runs elsewhere: %v", err)
	}
	media.set(sluice.StreamOffline)
	eventually(t, "the end", func() bool {
		h, err := b.Holding(t.Context(), rec.ID)
		return err == nil && !h.Ended.IsZero()
	})
	eventually(t, "the disk of the first one is free", func() bool { return !a.mine(rec.ID) })
	if err := b.Remove(t.Context(), rec.ID); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"recordings", "streams/demo"} {
		if entries, err := b.remote.Store.List(t.Context(), folder); err != nil || len(entries) != 0 {
			t.Errorf("%s: left %v, %v", folder, entries, err)
		}
	}
	if held, err := b.Holdings(t.Context()); err != nil || len(held) != 0 {
		t.Errorf("listed there: %+v, %v", held, err)
	}
	if err := b.Remove(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("again: %v", err)
	}
	if err := a.sweepOnce(t.Context(), time.Now()); err != nil || !gone.has(rec.ID) {
		t.Errorf("the first one does not notice: %v", err)
	}
	if _, err := a.Recording(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("there it is: %v", err)
	}
}
