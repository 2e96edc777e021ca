package e2e

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// kept is a recording as it lies on the disk.
type kept struct {
	sluice.Recording
	Renditions []sluice.Rendition `json:"renditions"`
	Segments   map[string][]sluice.Segment
	dir        string
}

// recorded reads every recording of a data directory, the way that anybody can
// who knows the form of the files.
func recorded(t testing.TB, data string) []kept {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(data, "recordings", "*", "recording.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []kept
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k := kept{Segments: map[string][]sluice.Segment{}, dir: filepath.Dir(path)}
		if err := json.Unmarshal(raw, &k); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, r := range k.Renditions {
			k.Segments[r.ID] = readIndex(t, filepath.Join(k.dir, r.ID, "index"))
		}
		all = append(all, k)
	}
	return all
}

// readIndex reads the lines of an index and checks all that they promise: their
// checksums, and numbers that rise by one.
func readIndex(t testing.TB, path string) []sluice.Segment {
	t.Helper()
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []sluice.Segment
	lines := strings.SplitAfter(string(raw), "\n")
	for i, line := range lines {
		sum, body, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		want, err := strconv.ParseUint(sum, 16, 32)
		if err != nil || !strings.HasSuffix(line, "\n") || uint32(want) != crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)) {
			if i < len(lines)-1 {
				t.Errorf("%s: line %d is damaged: %q", path, i, line)
			}
			break
		}
		var e struct {
			Segment *sluice.Segment `json:"segment"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Errorf("%s: line %d: %v", path, i, err)
		}
		if e.Segment == nil {
			continue
		}
		if n := len(all); n > 0 && e.Segment.Sequence != all[n-1].Sequence+1 {
			t.Errorf("%s: segment %d follows %d", path, e.Segment.Sequence, all[n-1].Sequence)
		}
		all = append(all, *e.Segment)
	}
	return all
}

// decode lets FFmpeg decode every segment by itself and complains of whatever it
// complains of. It returns the pictures or packets of each.
func (k kept) decode(t testing.TB, rendition string) (frames []int) {
	t.Helper()
	for _, s := range k.Segments[rendition] {
		if s.Gap {
			frames = append(frames, 0)
			continue
		}
		dir := filepath.Join(k.dir, rendition)
		init, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("init-%d.mp4", s.Init)))
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.m4s", s.Sequence)))
		if err != nil {
			t.Errorf("%s: segment %d: %v", rendition, s.Sequence, err)
			continue
		}
		if int64(len(data)) != s.Size {
			t.Errorf("%s: segment %d has %d bytes, its index says %d", rendition, s.Sequence, len(data), s.Size)
		}
		sum := int64(0)
		var length time.Duration
		for _, p := range s.Parts {
			if p.Bytes.Offset != sum {
				t.Errorf("%s: segment %d: a part at %d, want %d", rendition, s.Sequence, p.Bytes.Offset, sum)
			}
			sum += p.Bytes.Length
			length += p.Duration
		}
		if sum != s.Size || (length-s.Duration).Abs() > time.Millisecond {
			t.Errorf("%s: segment %d: parts of %d bytes and %v, the segment has %d and %v", rendition, s.Sequence, sum, length, s.Size, s.Duration)
		}
		file := filepath.Join(t.TempDir(), "segment.mp4")
		if err := os.WriteFile(file, append(init, data...), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "warning", "-xerror", "-threads", "1", "-copyts", "-i", file, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-").CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: segment %d: %v\n%s", rendition, s.Sequence, err, out)
		}
		count, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", file).Output()
		n, convErr := strconv.Atoi(strings.TrimSpace(string(count)))
		if err != nil || convErr != nil {
			t.Errorf("%s: segment %d: ffprobe says %q: %v", rendition, s.Sequence, count, err)
		}
		frames = append(frames, n)
	}
	return frames
}
