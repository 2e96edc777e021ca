//go:build linux

package recorder

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

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
			dir := t.TempDir()
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
