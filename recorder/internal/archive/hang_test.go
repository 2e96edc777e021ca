package archive

import (
	"context"
	"hash/crc32"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// hanging is a store that takes requests and does not answer them.
type hanging struct {
	blob.Shared
	hangs atomic.Bool
	asked atomic.Int64
}

func (h *hanging) wait(ctx context.Context) error {
	if !h.hangs.Load() {
		return nil
	}
	h.asked.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

func (h *hanging) Put(ctx context.Context, name string, data []byte) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	return h.Shared.Put(ctx, name, data)
}

func (h *hanging) List(ctx context.Context, folder string) ([]blob.Entry, error) {
	if err := h.wait(ctx); err != nil {
		return nil, err
	}
	return h.Shared.List(ctx, folder)
}

// TestStoreHangs: a store that does not answer is asked again and again, nobody waits
// for it, and what has come meanwhile is there when it answers.
func TestStoreHangs(t *testing.T) {
	store, err := blob.OpenShared("file://" + filepath.ToSlash(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{Shared: store}
		h.hangs.Store(true)
		local, spool := &Archive{Store: blob.NewMemory(1 << 20)}, &Spool{Limit: 1 << 20}
		term := aTerm(1)
		term.Before = nil
		m := NewMirror(NewRemote(h), local, spool, term, nil, false, slog.New(slog.DiscardHandler))
		data := []byte("media")
		if err := local.Store.WriteFile(initName("rec", "v", 1), data); err != nil {
			t.Fatal(err)
		}
		const segments = 20
		for n := range uint64(segments) {
			if err := local.Store.WriteFile(segmentName("rec", "v", n), data); err != nil {
				t.Fatal(err)
			}
			m.Segment(Outcome{Rendition: "v", CRC: crc32.Checksum(data, castagnoli()), Segment: sluice.Segment{
				Sequence: n, Init: 1, Start: time.Unix(int64(2*n), 0).UTC(), Duration: 2 * time.Second, Size: int64(len(data)),
			}})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		<-ctx.Done()
		cancel()
		c := spool.Counters()
		if c.Failed < 10 || c.Refusing != 1 || c.Waiting != int64(segments*len(data)) || h.asked.Load() > 100 {
			t.Errorf("after ten minutes: %+v, asked %d times", c, h.asked.Load())
		}
		h.hangs.Store(false)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !m.Close(ctx) {
			t.Error("not everything is stored")
		}
		if c := spool.Counters(); c.Waiting != 0 || c.Refusing != 0 || c.Stored != segments {
			t.Errorf("at the end: %+v", c)
		}
		view, err := NewRemote(h).View(t.Context(), "rec")
		if err != nil {
			t.Fatal(err)
		}
		list := view.Segments()["v"]
		for n, s := range list {
			if s.Gap || s.Sequence != uint64(n) {
				t.Errorf("%+v", s)
			}
		}
		if len(list) != segments {
			t.Errorf("%d segments", len(list))
		}
	})
}
