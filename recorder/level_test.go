package recorder

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice"
)

// TestRestartBeforeTranscoded: a process ends before AAC, which comes later than the rest, has
// anything of it. Afterwards gaps stand for it, and all renditions have the same discontinuities.
func TestRestartBeforeTranscoded(t *testing.T) {
	t.Parallel()
	silent := filepath.Join(t.TempDir(), "silent")
	if err := os.WriteFile(silent, []byte("#!/bin/sh\nexec cat >/dev/null\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	video, sound := film(t, 1, "", "H264", 160, true), tone(2)
	store, heard := memoryStore(), 0
	for run, program := range []string{"ffmpeg", silent, silent, "ffmpeg"} {
		cfg := config()
		cfg.FFmpeg = program
		id := uint64(10 * (run + 1))
		r, stop := newRecorder(t, cfg, newStudio(video.again(id, 0), sound.again(id+1, 0)), store, nil)
		known, aac := len(durable(t, r, "v")), len(durable(t, r, aacID))
		eventually(t, "two segments", func() bool {
			return len(durable(t, r, "v")) >= known+2 && (program == silent || len(durable(t, r, aacID)) >= aac+2)
		})
		stop()
		if program == silent && len(durable(t, r, aacID)) > aac {
			t.Fatalf("AAC has come in run %d", run)
		}
		if program != silent {
			heard += decodes(t, r, aacID)
		}
		if run < 3 {
			continue
		}
		want := breaks(durable(t, r, "v"))
		if len(want) != 3 || heard == 0 {
			t.Errorf("%d discontinuities, %d frames of AAC", len(want), heard)
		}
		for _, id := range []string{soundID, aacID} {
			got := breaks(durable(t, r, id))
			if len(got) != len(want) {
				t.Errorf("%s: %d discontinuities, video has %d", id, len(got), len(want))
				continue
			}
			for i, s := range got {
				if s.Breaks != uint64(i+1) {
					t.Errorf("%s: discontinuity %d has the number %d", id, i+1, s.Breaks)
				}
				if off := s.Start.Sub(want[i].Start).Abs(); off > cfg.Part {
					t.Errorf("%s: discontinuity %d is %v from that of video", id, i, off)
				}
				if gap := id == aacID && i < 2; s.Gap != gap {
					t.Errorf("%s: at discontinuity %d, gap is %v", id, i, s.Gap)
				}
			}
		}
	}
}

// breaks returns the segments with a discontinuity.
func breaks(list []sluice.Segment) (all []sluice.Segment) {
	for _, s := range list {
		if s.Discontinuity {
			all = append(all, s)
		}
	}
	return all
}
