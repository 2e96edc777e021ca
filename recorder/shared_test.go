package recorder

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/blob/s3test"
)

// sharedNode starts a recorder with a disk of its own and a store that it shares.
func sharedNode(t *testing.T, cfg Config, media Media, disk blob.Store, shared string, sink Sink) (*Recorder, func()) {
	t.Helper()
	return tellingNode(t, cfg, media, disk, shared, sink, nil)
}

// tellingNode is a sharedNode that says which recordings are gone.
func tellingNode(t *testing.T, cfg Config, media Media, disk blob.Store, shared string, sink Sink, removed func(string)) (*Recorder, func()) {
	t.Helper()
	store, err := blob.OpenShared(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if cfg.Spool == 0 {
		cfg.Spool = 1 << 30
	}
	r, err := New(cfg, Deps{Media: media, Store: disk, Shared: store, Sink: sink, Removed: removed, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	closing := sync.OnceFunc(func() { _ = r.Close() })
	t.Cleanup(closing)
	return r, closing
}

func offline() *studio {
	s := newStudio()
	s.state = sluice.StreamOffline
	return s
}

func sharedFolder(t *testing.T) string {
	t.Helper()
	return "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "shared"))
}

// stored is what other nodes find of the only recording.
func stored(t *testing.T, r *Recorder, rec, rendition string) []sluice.Segment {
	t.Helper()
	_, segments, err := r.Timeline(t.Context(), rec)
	if err != nil && sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Fatal(err)
	}
	return segments[rendition]
}

// growing is what a node has on its disk of the video that it records.
func growing(r *Recorder) (id string, list []sluice.Segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.running {
		meta, segments := c.snapshot()
		return meta.ID, segments["v"]
	}
	return "", nil
}

func kept(r *Recorder) []sluice.Segment {
	_, list := growing(r)
	return list
}

// TestOtherNode goes on with the recording of a node that has stopped: its number,
// its sequence and its times. A third one has the whole show.
func TestOtherNode(t *testing.T) {
	t.Parallel()
	first := []*source{film(t, 1, "", "H264", 320, true), tone(2)}
	shared := sharedFolder(t)
	a, stop := sharedNode(t, config(), newStudio(first...), memoryStore(), shared, nil)
	eventually(t, "three segments", func() bool { return len(durable(t, a, "v")) >= 3 })
	stop()
	id, before := only(t, a).ID, durable(t, a, "v")

	media, sink := newStudio(first[0].again(3, 0), first[1].again(4, 0)), &listener{}
	b, stop := sharedNode(t, config(), media, memoryStore(), shared, sink)
	eventually(t, "three more", func() bool { return len(durable(t, b, "v")) >= len(before)+3 })
	if rec := only(t, b); rec.ID != id {
		t.Errorf("recording %s, want %s", rec.ID, id)
	}
	decodes(t, b, "v") // its first half is in the shared store only
	after := durable(t, b, "v")[len(before):]
	last := before[len(before)-1]
	if s := after[0]; s.Gap || !s.Discontinuity || s.Sequence != last.Sequence+1 || s.Init <= last.Init || s.Start.Before(last.Start.Add(last.Duration)) {
		t.Errorf("it goes on with %+v after %+v", s, last)
	}
	media.set(sluice.StreamOffline)
	c, stopC := sharedNode(t, config(), offline(), memoryStore(), shared, nil)
	eventually(t, "the end", func() bool { rec, err := c.Recording(t.Context(), id); return err == nil && !rec.Ended.IsZero() })
	eventually(t, "the disk is free", func() bool { entries, err := b.archive.Store.List("."); return err == nil && len(entries) == 0 })
	stop()
	whole := stored(t, c, id, "v")
	if len(whole) < len(before)+3 || whole[0].Sequence != 0 {
		t.Errorf("%d segments", len(whole))
	}
	_, all, err := c.Timeline(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	continuous(t, c, map[string][]sluice.Segment{"v": all["v"][:len(before)]})
	decodes(t, c, "v")
	decodes(t, c, "a")
	if c.Counters().Recordings != 0 || len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
	stopC()
}

// TestLateNode lets a node go on writing while another has taken over: what it
// writes then counts nowhere, it ends by itself, and no number is used twice.
func TestLateNode(t *testing.T) {
	t.Parallel()
	first := []*source{film(t, 1, "", "H264", 320, true), tone(2)}
	shared := sharedFolder(t)
	late := &listener{}
	a, stopA := sharedNode(t, config(), newStudio(first...), memoryStore(), shared, late)
	var id string
	eventually(t, "three segments", func() bool {
		all, err := a.Recordings(t.Context())
		if err != nil || len(all) == 0 {
			return false
		}
		id = all[0].ID
		view, err := a.remote.View(t.Context(), id)
		return err == nil && len(view.Segments()["v"]) >= 3
	})
	b, stopB := sharedNode(t, config(), newStudio(first[0].again(3, 0), first[1].again(4, 0)), memoryStore(), shared, nil)
	eventually(t, "the late one ends", func() bool { return a.Counters().Mirrored.Refused == 1 && a.Counters().Recordings == 0 })
	stopA()
	eventually(t, "the other goes on", func() bool {
		list := durable(t, b, "v")
		return len(list) > 0 && !list[len(list)-1].Gap && list[len(list)-1].Init > 1
	})
	stopB()
	c, _ := sharedNode(t, config(), offline(), memoryStore(), shared, nil)
	if only(t, c).ID != id {
		t.Errorf("recording %s, want %s", only(t, c).ID, id)
	}
	seen := late.finished("v")
	gaps := 0
	for _, s := range stored(t, c, id, "v") {
		if s.Gap {
			gaps++
		}
		if int(s.Sequence) >= len(seen) || s.Gap {
			continue
		}
		if own := seen[s.Sequence]; !own.Start.Equal(s.Start) || own.Size != s.Size {
			t.Errorf("number %d is used twice: %+v and %+v", s.Sequence, own, s)
		}
	}
	if gaps == 0 {
		t.Error("no numbers stand for what the late one may have shown")
	}
	decodes(t, c, "v")
}

// TestOutage kills the shared store while a recording runs, and starts it again:
// nothing is lost.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	media := newStudio(film(t, 1, "", "H264", 320, true), tone(2))
	r, stop := sharedNode(t, config(), media, memoryStore(), server.URL("outage"), nil)
	eventually(t, "segments are stored", func() bool { return r.Counters().Mirrored.Stored >= 4 })
	server.Kill(t)
	n := len(kept(r))
	eventually(t, "half a minute more", func() bool { return len(kept(r)) >= n+15 })
	if c := r.Counters().Mirrored; c.Waiting == 0 || c.Failed == 0 || c.Refusing != 1 {
		t.Errorf("while the store is away: %+v", c)
	}
	server.Up(t)
	eventually(t, "nothing waits", func() bool { return r.Counters().Mirrored.Waiting == 0 })
	id, _ := growing(r)
	media.set(sluice.StreamOffline)
	c, _ := sharedNode(t, config(), offline(), memoryStore(), server.URL("outage"), nil)
	eventually(t, "the end", func() bool { rec, err := c.Recording(t.Context(), id); return err == nil && !rec.Ended.IsZero() })
	stop()
	list := stored(t, c, id, "v")
	for _, s := range list {
		if s.Gap {
			t.Errorf("segment %d is lost", s.Sequence)
		}
	}
	if len(list) < n+15 {
		t.Errorf("%d segments", len(list))
	}
	decodes(t, c, "v")
}

// TestFullSpool records gaps while too much waits for the shared store, and goes on
// by itself.
func TestFullSpool(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	server.Kill(t)
	cfg := config()
	cfg.Spool = 200_000
	r, _ := sharedNode(t, cfg, newStudio(film(t, 1, "", "H264", 320, true)), memoryStore(), server.URL("full"), nil)
	gap := func() bool { list := kept(r); return len(list) > 0 && list[len(list)-1].Gap }
	eventually(t, "a gap", gap)
	server.Up(t)
	eventually(t, "media again", func() bool { return !gap() })
}

// TestSharedRestart goes on with what a process has left on its disk, although the
// store was away when it ended.
func TestSharedRestart(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	first := []*source{film(t, 1, "", "H264", 320, true)}
	disk := memoryStore()
	r, stop := sharedNode(t, config(), newStudio(first...), disk, server.URL("restart"), nil)
	eventually(t, "segments are stored", func() bool { return r.Counters().Mirrored.Stored >= 2 })
	server.Kill(t)
	n := len(kept(r))
	eventually(t, "three more", func() bool { return len(kept(r)) >= n+3 })
	id, _ := growing(r)
	stop()
	n = len(r.waiting["demo"].segments["v"])
	server.Up(t)
	media := newStudio(first[0].again(3, 0))
	r, stop = sharedNode(t, config(), media, disk, server.URL("restart"), nil)
	eventually(t, "three more", func() bool { return len(kept(r)) >= n+3 })
	media.set(sluice.StreamOffline)
	c, _ := sharedNode(t, config(), offline(), memoryStore(), server.URL("restart"), nil)
	eventually(t, "the end", func() bool { rec, err := c.Recording(t.Context(), id); return err == nil && !rec.Ended.IsZero() })
	stop()
	for i, s := range stored(t, c, id, "v") {
		if s.Gap || s.Sequence != uint64(i) {
			t.Errorf("%d: %+v", i, s)
		}
	}
	decodes(t, c, "v")
}

// TestSweep takes recordings out of the shared store that are too old or too much.
func TestSweep(t *testing.T) {
	t.Parallel()
	media, shared := newStudio(film(t, 1, "", "H264", 320, true)), sharedFolder(t)
	r, _ := sharedNode(t, config(), media, memoryStore(), shared, nil)
	eventually(t, "segments", func() bool { return len(kept(r)) >= 2 })
	rec := only(t, r)
	media.set(sluice.StreamOffline)
	eventually(t, "the end", func() bool {
		all, err := r.remote.List(t.Context(), 0)
		return err == nil && len(all) == 1 && !all[0].Ended.IsZero() && all[0].Bytes > 0
	})
	left := func() int {
		all, err := r.remote.List(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if err := r.sweepOnce(t.Context(), time.Now()); err != nil || left() != 1 {
		t.Errorf("too early: %v", err)
	}
	if err := r.sweepOnce(t.Context(), time.Now().Add(2*time.Hour)); err != nil || left() != 0 {
		t.Errorf("it is kept: %v", err)
	}
	if _, err := r.Recording(t.Context(), rec.ID); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Error(err)
	}
}

// TestSharedWindow: what leaves the window of a running recording leaves the shared
// store too.
func TestSharedWindow(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Segment, cfg.Window = time.Second, 10*time.Second
	media := newStudio(film(t, 1, "", "H264", 320, true))
	r, _ := sharedNode(t, cfg, media, memoryStore(), sharedFolder(t), nil)
	eventually(t, "forty segments", func() bool { return len(kept(r)) >= 40 })
	media.set(sluice.StreamPaused)
	r.clean(media.Now())
	id, list := growing(r)
	eventually(t, "the oldest are gone", func() bool {
		view, err := r.remote.View(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		left := view.Segments()["v"]
		return len(left) > 0 && left[0].Sequence == list[0].Sequence && left[0].Sequence > 0
	})
	eventually(t, "with their media", func() bool {
		entries, err := r.remote.Store.List(t.Context(), "recordings/"+id+"/media/v")
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(entries, func(e blob.Entry) bool { return strings.HasPrefix(e.Name, "0.") })
	})
}
