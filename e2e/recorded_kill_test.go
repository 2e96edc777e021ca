package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// killed is a node that runs as a process of its own, to be killed.
type killed struct {
	cmd *exec.Cmd
	url string
}

// serveOver starts a node over a data directory that an earlier one has left.
func serveOver(t *testing.T, binary, data string, args ...string) *killed {
	t.Helper()
	k := &killed{cmd: exec.Command(binary, append([]string{"serve", "--http.addr=127.0.0.1:0", "--ops.addr=", "--media.addr=127.0.0.1:0",
		"--log.level", logLevel(), "--data.dir", data}, args...)...)}
	k.cmd.Stderr = t.Output()
	stdout, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "Watch "); ok {
			k.url = strings.TrimSuffix(strings.TrimSpace(url), "/watch/demo")
		}
		if strings.Contains(lines.Text(), "Ctrl-C") {
			break
		}
	}
	if k.url == "" {
		t.Fatal("it did not say where it serves")
	}
	return k
}

// kill ends the process at once, as the kernel does when memory is short.
func (k *killed) kill(t *testing.T) {
	t.Helper()
	if err := k.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = k.cmd.Wait()
}

// kills is how many times TestKilled kills: KILLS, or a few.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KILLS")
	if text == "" {
		return 6
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilled kills a node that records two streams again and again at random
// moments. What was finished is all there, of the rest at most the newest part is
// missing, playlists go on by the rules, and sound and picture stay together.
func TestKilled(t *testing.T) {
	t.Parallel()
	k := &killing{data: t.TempDir(), binary: buildSluice(t), http: clientHTTP(t), shows: map[string]*killedShow{}}
	one, three := pattern(t, clips.H264, false), pattern(t, clips.H264, true)
	for range kills(t) {
		n := serveOver(t, k.binary, k.data)
		k.repaired(t, n)
		var publishers []*client.Publisher
		for stream, clip := range map[string]*clips.Clip{"one": one, "three": three} {
			p, err := client.Publish(t.Context(), client.PublisherConfig{URL: n.url + "/whip/" + stream, Clip: clip, HTTP: k.http})
			if err != nil {
				t.Fatal(err)
			}
			publishers = append(publishers, p)
		}
		within(t, patience, "recording again", func() bool { return k.recording(t) })
		<-time.After(time.Duration(rand.Int64N(int64(2500 * time.Millisecond)))) // any moment will do
		k.look(t, n)
		at := time.Now()
		n.kill(t)
		k.killed(t, at)
		for _, p := range publishers {
			_ = p.Close() // to a server that is gone
		}
	}
	n := serveOver(t, k.binary, k.data)
	k.repaired(t, n)
	n.kill(t)
	slices.Sort(k.lost)
	t.Logf("%d kills: %d listed parts were lost, at most %d at once in a rendition; from the end of a recording to the kill: median %v, at most %v",
		kills(t), k.parts, k.mostParts, k.lost[len(k.lost)/2], k.lost[len(k.lost)-1])
	for stream, clip := range map[string]*clips.Clip{"one": one, "three": three} {
		kept := k.shows[stream].kept
		breaks := map[string]int{}
		for _, r := range kept.Renditions {
			for _, s := range kept.Segments[r.ID] {
				if s.Discontinuity {
					breaks[r.ID]++
				}
			}
			kept.decode(t, r.ID)
			t.Logf("%s: %s: %d segments, %d discontinuities", stream, r.ID, len(kept.Segments[r.ID]), breaks[r.ID])
		}
		for id, n := range breaks {
			if n != breaks[soundRendition] {
				t.Errorf("%s: %s has %d discontinuities, %s has %d", stream, id, n, soundRendition, breaks[soundRendition])
			}
		}
		kept.inSync(t, clip)
	}
}

func sameSegment(a, b sluice.Segment) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// written counts the parts of the segment that was being written.
func (k kept) written(t *testing.T, rendition string) (parts int) {
	paths, _ := filepath.Glob(filepath.Join(k.dir, rendition, "*.tmp"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for len(raw) >= 8 {
			size := int(binary.BigEndian.Uint32(raw))
			if size < 8 || size > len(raw) {
				break
			}
			if string(raw[4:8]) == "mdat" {
				parts++
			}
			raw = raw[size:]
		}
	}
	return parts
}

// growing is the size of the segment that is being written.
func growing(k kept, rendition string) (size int64) {
	paths, _ := filepath.Glob(filepath.Join(k.dir, rendition, "*.tmp"))
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
		}
	}
	return size
}

// inSync finds the frames of the clip in the recording, and compares when those
// of sound and picture stand there with when they stand in the clip.
func (k kept) inSync(t *testing.T, clip *clips.Clip) {
	t.Helper()
	worst, compared := time.Duration(0), 0
	sound := k.offsets(t, soundRendition, clip.Audio, clip.Period)
	heard := slices.SortedFunc(maps.Keys(sound), time.Time.Compare)
	for i, layer := range clip.Layers {
		name := "v"
		if len(clip.Layers) > 1 {
			name += []string{"q", "h", "f"}[i]
		}
		for at, v := range k.offsets(t, name, layer, clip.Period) {
			first, _ := slices.BinarySearchFunc(heard, at.Add(-100*time.Millisecond), time.Time.Compare)
			for _, other := range heard[first:] {
				if other.Sub(at) > 100*time.Millisecond {
					break
				}
				off := (v - sound[other]) % clip.Period
				if off > clip.Period/2 {
					off -= clip.Period
				} else if off < -clip.Period/2 {
					off += clip.Period
				}
				compared++
				worst = max(worst, off.Abs())
			}
		}
	}
	t.Logf("sound and picture are at most %v apart, in %d places", worst, compared)
	if worst > 45*time.Millisecond || compared == 0 {
		t.Errorf("sound and picture are up to %v apart, in %d places", worst, compared)
	}
}

const soundRendition = "opus"

// offsets returns, for the start of each segment, how far the clip's frames in it
// stand from where they stand in the clip.
func (k kept) offsets(t *testing.T, rendition string, track *clips.Track, period time.Duration) map[time.Time]time.Duration {
	t.Helper()
	known := map[[32]byte]time.Duration{}
	for i := range track.Len() {
		frame, err := track.Frame(i)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(frame[max(0, bytes.LastIndex(frame, []byte{0, 0, 1})+3):])
		if rendition == soundRendition {
			sum = sha256.Sum256(frame)
		}
		if _, twice := known[sum]; twice || track.At(i) >= period {
			known[sum] = -1
			continue
		}
		known[sum] = track.At(i)
	}
	out := map[time.Time]time.Duration{}
	for _, s := range k.Segments[rendition] {
		if s.Gap {
			continue
		}
		file, err := mp4.ReadMP4File(filepath.Join(k.dir, rendition, fmt.Sprintf("%d.m4s", s.Sequence)))
		if err != nil {
			t.Fatal(err)
		}
		scale, first := time.Duration(90000), int64(-1)
		if rendition == soundRendition {
			scale = 48000
		}
		for _, fragment := range file.Segments[0].Fragments {
			samples, err := fragment.GetFullSamples(nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, sample := range samples {
				if first < 0 {
					first = int64(sample.DecodeTime)
				}
				at := s.Start.Add(time.Duration(int64(sample.DecodeTime)-first) * time.Second / scale)
				if in, ok := known[sha256.Sum256(lastUnit(sample.Data, rendition))]; ok && in >= 0 {
					out[at] = time.Duration(at.UnixNano()%int64(period)) - in
				}
			}
		}
	}
	return out
}

// lastUnit is the last NAL unit of a picture; a packet of sound is one unit.
func lastUnit(data []byte, rendition string) []byte {
	if rendition == soundRendition {
		return data
	}
	for len(data) > 4 {
		n := int(data[0])<<24 | int(data[1])<<16 | int(data[2])<<8 | int(data[3])
		if n+4 >= len(data) {
			return data[4:]
		}
		data = data[4+n:]
	}
	return data
}
