package recorder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// children are the transcoders of this process that a program has noted in a file.
func children(t testing.TB, file string) (pids []int) {
	t.Helper()
	noted, _ := os.ReadFile(file) // none has begun yet
	for line := range strings.Lines(string(noted)) {
		var pid, parent int
		if _, err := fmt.Sscanf(line, "%d", &pid); err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(status), "PPid:")
		if _, err := fmt.Sscanf(rest, "%d", &parent); err == nil && parent == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestTranscodersKilled: transcoders that are killed begin again with the next keyframe. What is
// missing meanwhile is a gap that is cut as all else is, and what needs no transcoder has none.
func TestTranscodersKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program, pids := filepath.Join(dir, "noted"), filepath.Join(dir, "pids")
	script := "#!/bin/sh\necho $$ >> " + pids + "\nexec ffmpeg \"$@\"\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.FFmpeg = program
	media := newStudio(filmVP8(t, 1, "", "320x180"), tone(2))
	media.step = 40 * time.Millisecond
	r, stop := newRecorder(t, cfg, media, memoryStore(), nil)
	least := func(n int) func() bool {
		return func() bool { return len(durable(t, r, pictureID)) >= n && len(durable(t, r, aacID)) >= n }
	}
	eventually(t, "two segments", least(2))
	alive := children(t, pids)
	for _, pid := range alive {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Log(err)
		}
	}
	eventually(t, "others", func() bool { return len(children(t, pids)) >= 2 && r.Counters().TranscoderStarts >= 2 })
	eventually(t, "five segments", least(5))
	stop()
	if len(alive) < 2 {
		t.Errorf("%d transcoders ran", len(alive))
	}
	for _, id := range []string{pictureID, soundID, aacID} {
		segments, gaps := durable(t, r, id), time.Duration(0)
		decodes(t, r, id)
		together(t, durable(t, r, soundID), segments, cfg.Part)
		lengths(t, id, segments, cfg.Part)
		for i, s := range segments {
			if i > 0 && s.Start.Sub(segments[i-1].Start.Add(segments[i-1].Duration)).Abs() > time.Millisecond {
				t.Errorf("%s: segment %d does not begin where the one before it ends", id, s.Sequence)
			}
			for _, p := range s.Parts {
				if p.Gap {
					gaps += p.Duration
				}
			}
		}
		t.Logf("%s: gaps of %v", id, gaps)
		if id == soundID && gaps > 0 || gaps > 4*time.Second {
			t.Errorf("%s: gaps of %v", id, gaps)
		}
	}
}
