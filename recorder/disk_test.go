//go:build linux

package recorder

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// TestDiskFull fills a file system while a stream is recorded: live goes on, the
// index tells what is missing, and recording goes on by itself when there is
// room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for name, reserve := range map[string]int64{"with a reserve": 1 << 30, "to the last byte": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, store := smallDisk(t)
			ballast := filepath.Join(dir, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := config()
			cfg.Reserve = reserve
			sink := &listener{}
			media := newStudio(film(t, 1, "", "H264", 640, true), tone(2))
			r, stop := newRecorder(t, cfg, media, store, sink)
			eventually(t, "segments that are not kept", func() bool { return r.Counters().SegmentsFailed > 5 })
			written := r.Counters().SegmentsWritten
			if written == 0 {
				t.Error("nothing was written while there was room")
			}
			live := len(sink.finished("v"))
			eventually(t, "live goes on", func() bool { return len(sink.finished("v")) > live+3 })
			rec := only(t, r)
			now := sink.finished("v")
			f, err := r.Segment(t.Context(), rec.ID, "v", now[len(now)-1].Sequence)
			if err != nil {
				t.Fatalf("the newest segment, which is in memory only: %v", err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			eventually(t, "recording again", func() bool { return r.Counters().SegmentsWritten > written+6 })
			stop()
			gaps := 0
			for _, s := range durable(t, r, "v") {
				if s.Gap {
					gaps++
				}
			}
			if gaps == 0 {
				t.Error("the index does not tell what is missing")
			}
			decodes(t, r, "v")
			decodes(t, r, "opus")
			if len(sink.wrong) > 0 {
				t.Error(sink.wrong)
			}
		})
	}
}

// smallDisk mounts a file system of 8 MiB.
func smallDisk(t *testing.T) (dir string, store *blob.Disk) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatalf("mount a small file system (wants root): %v", err)
	}
	store, err := blob.OpenDisk(filepath.Join(dir, "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, store
}

// TestCrashOnFullDisk: the index does not take a line any more, and then the
// process dies. What players have seen meanwhile has numbers that are not used
// again.
func TestCrashOnFullDisk(t *testing.T) {
	t.Parallel()
	dir, store := smallDisk(t)
	cfg := config()
	cfg.Reserve = 0
	sink := &listener{}
	first := []*source{film(t, 1, "", "H264", 640, true), tone(2)}
	media := newStudio(first...)
	r, _ := newRecorder(t, cfg, media, store, sink)
	eventually(t, "a segment on the disk", func() bool { return len(durable(t, r, "v")) > 0 })
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // every page
		_, err = ballast.Write(make([]byte, 4096))
	}
	if err := ballast.Close(); err != nil {
		t.Error(err)
	}
	rec := only(t, r).ID
	lines := func(id string) int {
		b, err := os.ReadFile(filepath.Join(dir, "recordings", rec, id, "index"))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte{'\n'})
	}
	for _, id := range []string{"v", "opus"} {
		eventually(t, id+": segments that the index does not know", func() bool { return len(sink.finished(id)) > lines(id)+4 })
	}
	media.set(sluice.StreamPaused) // the writer comes to rest
	eventually(t, "the end of the last segment", media.noticed)
	eventually(t, "every segment has failed", func() bool {
		return len(durable(t, r, "v")) == len(sink.finished("v")) && len(durable(t, r, "opus")) == len(sink.finished("opus"))
	})

	// What the crash leaves, on a disk with room.
	left := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(left, os.DirFS(filepath.Join(dir, "recordings"))); err != nil {
		t.Fatal(err)
	}
	again, err := blob.OpenDisk(left)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	after := &listener{}
	r2, stop := newRecorder(t, cfg, newStudio(first[0].again(3, 0), first[1].again(4, 0)), again, after)
	eventually(t, "segments after the crash", func() bool { return len(after.finished("v")) > 2 && len(after.finished("opus")) > 2 })
	stop()
	if only(t, r2).ID != rec {
		t.Error("it is another recording")
	}
	for _, id := range []string{"v", "opus"} {
		seen, next := sink.finished(id), after.finished(id)[0]
		last := seen[len(seen)-1]
		if next.Sequence != last.Sequence+1 || !next.Discontinuity || next.Start.Before(last.Start.Add(last.Duration-time.Millisecond)) {
			t.Errorf("%s: %+v follows %+v", id, next, last)
		}
		decodes(t, r2, id)
	}
}

// memoryStore is large enough for every test.
func memoryStore() blob.Store { return blob.NewMemory(1 << 30) }
