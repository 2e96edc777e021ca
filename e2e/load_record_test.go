package e2e

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRecordFile publishes a file with the command line, watches it with the
// command line and lets FFmpeg decode what was recorded.
func TestRecordFile(t *testing.T) {
	t.Parallel()
	binary := buildSluice(t)
	node := startNode(t)
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	source := filepath.Join(dir, "source.mp4")
	run("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=2", "-f", "lavfi", "-i", "sine=duration=2",
		"-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "25", "-c:a", "libopus", "-ar", "48000", "-ac", "2", source)
	startChild(t, binary, "publish", "--url", node.URL+"/whip/demo", "--file", source, "--duration", "1m")
	node.live(t, "demo", 1)
	recording := filepath.Join(dir, "recording.mp4")
	summary := run(binary, "watch", "--url", node.URL+"/whep/demo", "--duration", "6s", "--record", recording)
	for _, want := range []string{"video/H264 320x240", " 0 lost", "breaks of sequence 0, timestamp 0, picture id 0, SSRC 0"} {
		if !strings.Contains(summary, want) {
			t.Errorf("the summary misses %q:\n%s", want, summary)
		}
	}
	if complaints := run("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", recording, "-f", "null", "-"); complaints != "" {
		t.Errorf("ffmpeg: %s", complaints)
	}
	for _, stream := range []string{"v:0", "a:0"} {
		count := run("ffprobe", "-v", "error", "-count_frames", "-select_streams", stream, "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", recording)
		if frames, err := strconv.Atoi(strings.TrimSpace(count)); err != nil || frames < 80 {
			t.Errorf("%s: %q frames", stream, count)
		}
	}
	length := run("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", recording)
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(length), 64); err != nil || seconds < 3.5 || seconds > 9 {
		t.Errorf("%s of length, want about %v", strings.TrimSpace(length), 6*time.Second)
	}
}
