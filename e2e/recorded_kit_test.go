package e2e

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/hlscheck"
)

// strictly returns what the rules of playlists do not excuse. While the machine stands
// still there is no picture, and the segment that is open then may be longer than the
// target duration was.
func strictly(t testing.TB) func(r *hlscheck.Result) []hlscheck.Violation {
	t.Helper()
	stood := stalls(t)
	return func(r *hlscheck.Result) []hlscheck.Violation {
		const changed = "4.4.3.1" // of EXT-X-TARGETDURATION
		return slices.DeleteFunc(slices.Clone(r.Violations), func(v hlscheck.Violation) bool {
			return v.Rule == changed && stood() > 0
		})
	}
}

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

// decode lets FFmpeg decode every segment by itself, each as a file of its own, and
// complains of whatever it complains of. It returns the pictures or packets of each.
func (k kept) decode(t testing.TB, rendition string) (frames []int) {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for _, s := range k.Segments[rendition] {
		if s.Gap {
			frames = append(frames, 0)
			continue
		}
		from := filepath.Join(k.dir, rendition)
		init, err := os.ReadFile(filepath.Join(from, fmt.Sprintf("init-%d.mp4", s.Init)))
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(from, fmt.Sprintf("%d.m4s", s.Sequence)))
		if err != nil {
			t.Errorf("%s: segment %d: %v", rendition, s.Sequence, err)
			continue
		}
		checkParts(t, rendition, s, len(data))
		file := filepath.Join(dir, fmt.Sprintf("%d.mp4", s.Sequence))
		if err := os.WriteFile(file, append(init, data...), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		frames = append(frames, samples(t, file))
	}
	for batch := range slices.Chunk(files, 50) {
		args := []string{"-nostdin", "-v", "warning", "-xerror"}
		var maps []string
		for i, file := range batch {
			args = append(args, "-threads", "1", "-i", file)
			maps = append(maps, "-map", strconv.Itoa(i))
		}
		args = append(append(args, "-copyts"), maps...)
		args = append(args, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")
		if out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %v\n%s", rendition, batch, err, out)
		}
	}
	return frames
}

// checkParts compares a segment's parts with the segment.
func checkParts(t testing.TB, rendition string, s sluice.Segment, size int) {
	t.Helper()
	sum, length := int64(0), time.Duration(0)
	for _, p := range s.Parts {
		if p.Bytes.Offset != sum {
			t.Errorf("%s: segment %d: a part at %d, want %d", rendition, s.Sequence, p.Bytes.Offset, sum)
		}
		sum += p.Bytes.Length
		length += p.Duration
	}
	if sum != s.Size || int64(size) != s.Size || (length-s.Duration).Abs() > time.Millisecond {
		t.Errorf("%s: segment %d: %d bytes, parts of %d bytes and %v, its index says %d and %v", rendition, s.Sequence, size, sum, length, s.Size, s.Duration)
	}
}

// samples counts the samples of a fragmented file.
func samples(t testing.TB, path string) (n int) {
	t.Helper()
	file, err := mp4.ReadMP4File(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			for _, run := range fragment.Moof.Traf.Truns {
				n += int(run.SampleCount())
			}
		}
	}
	return n
}
