package recorder

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"go.uber.org/goleak"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a track with the encoded frames of a clip, which it repeats.
type source struct {
	track   *sluice.Track
	frames  [][][]byte // RTP payloads of each frame
	keys    []bool
	ticks   uint32 // of a frame
	skew    float64
	start   uint32 // timestamp of the first frame
	next    int
	lost    func(frame, packet int) bool // nil: nothing
	missing int
	set     func(frame int) time.Duration // of the clock of capture times; nil: never
	shown   func(frame int) int           // its place in time; nil: frames are shown as they are sent
	rests   func(frame int) time.Duration // before it, of all pauses together; nil: none
}

// studio is Media and Tap: its clock stands still until it is moved, and what was
// captured meanwhile can then be read.
type studio struct {
	mu      sync.Mutex
	start   time.Time
	now     time.Duration
	state   sluice.StreamState
	sources []*source
	asked   map[uint64]int // keyframes, by track
	reads   int            // since the last set
	step    time.Duration  // that each read lets pass
	holds   func() bool    // while true, none does; nil: never
}

func newStudio(sources ...*source) *studio {
	return &studio{start: time.Now().Round(0), state: sluice.StreamLive, sources: sources, asked: map[uint64]int{}, step: 400 * time.Millisecond}
}

// Streams implements Media.
func (s *studio) Streams() []sluice.Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []sluice.Stream{{Name: "demo", State: s.state, Publisher: &sluice.Publisher{ID: "p"}}}
}

// Tap implements Media.
func (s *studio) Tap(string) (Tap, error) { return s, nil }

// Close implements Tap.
func (s *studio) Close() {}

// AskKeyframe implements Tap.
func (s *studio) AskKeyframe(track uint64, _ bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[track]++
}

// State implements Tap.
func (s *studio) State() sluice.StreamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Now implements Tap.
func (s *studio) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start.Add(s.now)
}

// Grown implements Tap: there is always more to read.
func (s *studio) Grown() <-chan struct{} {
	grown := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { close(grown) })
	return grown
}

// Read implements Tap. Each call lets some time pass.
func (s *studio) Read(f func(*sluice.Packet)) []*sluice.Track {
	s.mu.Lock()
	holds := s.holds
	s.mu.Unlock()
	held := holds != nil && holds()
	s.mu.Lock()
	s.reads++
	if s.state == sluice.StreamLive && !held {
		s.now += s.step
	}
	now, sources := s.now, s.sources
	s.mu.Unlock()
	var tracks []*sluice.Track
	for _, src := range sources {
		tracks = append(tracks, src.track)
		src.shoot(s.start, now, f)
	}
	return tracks
}

// set changes what is published.
func (s *studio) set(state sluice.StreamState, sources ...*source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.sources, s.reads = state, sources, 0
}

// noticed reports whether the newest set has had its effect.
func (s *studio) noticed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads > 2
}

// pass lets time go by, half a second after the other, and returns what it is then.
func (s *studio) pass(t testing.TB, d time.Duration) time.Duration {
	t.Helper()
	const step = 500 * time.Millisecond
	for ; ; d -= step {
		s.mu.Lock()
		now := s.now
		if d > 0 {
			s.now, s.reads = now+step, 0
		}
		s.mu.Unlock()
		if d <= 0 {
			return now
		}
		eventually(t, "that time has passed", s.noticed)
	}
}

// at is when a frame is captured. A clock with skew runs faster than it says.
func (s *source) at(frame int) time.Duration {
	seconds := float64(frame) * float64(s.ticks) / float64(s.track.ClockRate)
	return time.Duration(seconds/(1+s.skew)*float64(time.Second)) + s.rested(frame)
}

func (s *source) rested(frame int) time.Duration {
	if s.rests == nil {
		return 0
	}
	return s.rests(frame)
}

func (s *source) shoot(start time.Time, until time.Duration, f func(*sluice.Packet)) {
	for ; s.at(s.next) <= until; s.next++ {
		place := s.next
		if s.shown != nil {
			place = s.shown(s.next)
		}
		captured := start.Add(s.at(place))
		if s.set != nil {
			captured = captured.Add(s.set(s.next))
		}
		payloads := s.frames[s.next%len(s.frames)]
		for i, payload := range payloads {
			if s.lost != nil && s.lost(s.next, i) {
				s.missing++
				continue
			}
			f(&sluice.Packet{
				Track: s.track, Lost: s.missing, Timestamp: s.start + uint32(place)*s.ticks + uint32(s.rested(place).Seconds()*float64(s.track.ClockRate)),
				Captured: captured, Marker: s.track.Video && i == len(payloads)-1, Payload: payload,
			})
			s.missing = 0
		}
	}
}

// again is the same clip from a publisher that has come back at a time.
func (s *source) again(id uint64, at time.Duration) *source {
	track := *s.track
	track.ID, track.Publisher = id, "q"
	next := &source{track: &track, frames: s.frames, keys: s.keys, ticks: s.ticks, start: s.start + 12345}
	for next.at(next.next) < at {
		next.next++
	}
	return next
}

func ffmpegRun(t testing.TB, args ...string) []byte {
	t.Helper()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-nostdin", "-loglevel", "error", "-y"}, args...)...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, &complaints)
	}
	return out
}

const clipRate = 25

// film encodes four seconds of H.264 or H.265, with a keyframe each second and
// its parameter sets in band or in the format parameters. extra are arguments of
// the encoder.
func film(t testing.TB, id uint64, rid, codec string, width int, inBand bool, extra ...string) *source {
	t.Helper()
	size := fmt.Sprintf("testsrc2=size=%dx%d:rate=%d:duration=4", width, width*9/16, clipRate)
	args := []string{"-f", "lavfi", "-i", size, "-pix_fmt", "yuv420p", "-g", "25", "-bf", "0"}
	var payloader rtp.Payloader = &codecs.H264Payloader{}
	if codec == "H265" {
		payloader = &codecs.H265Payloader{}
		args = append(args, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "aud=1:bframes=0:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1:log-level=none")
		args = append(append(args, extra...), "-f", "hevc", "-")
	} else {
		args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "aud=1:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1")
		args = append(append(args, extra...), "-f", "h264", "-")
	}
	s := &source{track: &sluice.Track{ID: id, Publisher: "p", RID: rid, Codec: codec, Video: true, ClockRate: 90000}, ticks: 90000 / clipRate, start: 1 << 31}
	units := avc.ExtractNalusFromByteStream(ffmpegRun(t, args...))
	kind := func(u []byte) byte {
		if codec == "H265" {
			return u[0] >> 1 & 0x3f
		}
		return u[0] & 0x1f
	}
	sets := map[byte]string{7: "", 8: "", 32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps"}
	var picture []byte
	var sprop []string
	add := func() {
		if len(picture) > 0 {
			s.frames = append(s.frames, payloader.Payload(1100, picture))
		}
		picture = nil
	}
	for _, u := range units {
		k := kind(u)
		if codec == "H264" && k == 9 || codec == "H265" && k == 35 {
			add()
			continue
		}
		name, set := sets[k]
		if set = set && (codec == "H264") == (k < 32); set && !inBand {
			if s.track.Format == "" || len(sprop) < 3 && len(s.frames) == 0 {
				text := base64.StdEncoding.EncodeToString(u)
				if name != "" {
					text = name + "=" + text
				}
				sprop = append(sprop, text)
			}
			continue
		}
		picture = append(append(picture, 0, 0, 0, 1), u...)
	}
	add()
	switch {
	case codec == "H265":
		s.track.Format = strings.Join(sprop, ";")
	case !inBand:
		s.track.Format = "packetization-mode=1;sprop-parameter-sets=" + strings.Join(sprop, ",")
	}
	return s
}

// tone is Opus: packets of silence will do, since nobody looks into them here.
func tone(id uint64) *source {
	return &source{
		track:  &sluice.Track{ID: id, Publisher: "p", Codec: "opus", ClockRate: 48000},
		frames: [][][]byte{{{0xfc, 0xff, 0xfe}}}, ticks: 960, start: 1<<32 - 48000*3,
	}
}

func config() Config {
	return Config{Part: 500 * time.Millisecond, Segment: 2 * time.Second, Window: time.Hour, Keep: time.Hour, Grace: 30 * time.Second}
}

// newRecorder starts a recorder; the returned function closes it, as the test's end
// does.
func newRecorder(t testing.TB, cfg Config, media Media, store blob.Store, sink Sink) (*Recorder, func()) {
	t.Helper()
	r, err := New(cfg, Deps{Media: media, Store: store, Sink: sink, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	closing := sync.OnceFunc(func() { _ = r.Close() })
	t.Cleanup(closing)
	return r, closing
}

// eventually polls until done.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// only returns the one recording of a recorder.
func only(t testing.TB, r *Recorder) sluice.Recording {
	t.Helper()
	all, err := r.Recordings(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("recordings: %+v, %v", all, err)
	}
	return all[0]
}

// durable returns what is on disk of a rendition.
func durable(t testing.TB, r *Recorder, rendition string) []sluice.Segment {
	t.Helper()
	all, err := r.Recordings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		return nil
	}
	_, segments, err := r.Timeline(t.Context(), all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return segments[rendition]
}

// decodes lets ffmpeg decode every segment by itself, each as a file of its own,
// and returns how many pictures or packets there are in all.
func decodes(t testing.TB, r *Recorder, rendition string) (frames int) {
	t.Helper()
	rec, dir := only(t, r), t.TempDir()
	args := []string{"-nostdin", "-v", "warning", "-xerror"}
	var maps []string
	number := uint64(0)
	for i, s := range durable(t, r, rendition) {
		if i > 0 && s.Sequence != number+1 {
			t.Errorf("%s: segment %d follows %d", rendition, s.Sequence, number)
		}
		if number = s.Sequence; s.Gap {
			continue
		}
		file, err := r.Segment(t.Context(), rec.ID, rendition, s.Sequence)
		if err != nil {
			t.Fatalf("%s: segment %d: %v", rendition, s.Sequence, err)
		}
		data, err := io.ReadAll(file)
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		init, err := r.InitSection(t.Context(), rec.ID, rendition, s.Init)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.mp4", s.Sequence))
		if err := os.WriteFile(path, append(init, data...), 0o600); err != nil {
			t.Fatal(err)
		}
		maps = append(maps, "-map", strconv.Itoa(len(maps)/2))
		args = append(args, "-threads", "1", "-i", path)
		for _, f := range fmp4.Walk(data) {
			frames += f.Samples
		}
	}
	if len(maps) == 0 {
		return 0
	}
	args = append(append(args, "-copyts"), maps...)
	args = append(args, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", rendition, err, out)
	}
	return frames
}

// continuous checks S-17: each part is one whole fragment, and each begins where
// the one before it ended.
func continuous(t testing.TB, r *Recorder, segments map[string][]sluice.Segment) {
	t.Helper()
	rec := only(t, r)
	for id, list := range segments {
		end := uint64(0)
		for _, s := range list {
			file, err := r.Segment(t.Context(), rec.ID, id, s.Sequence)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(file)
			if err = errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
			found := fmp4.Walk(data)
			if len(found) != len(s.Parts) {
				t.Fatalf("%s: segment %d: %d fragments, %d parts", id, s.Sequence, len(found), len(s.Parts))
			}
			for i, f := range found {
				if p := s.Parts[i]; f.Offset != p.Bytes.Offset || f.Size != p.Bytes.Length || f.Key != p.Independent {
					t.Errorf("%s: segment %d: fragment %+v is no part %+v", id, s.Sequence, f, p)
				}
				if end > 0 && f.Start != end {
					t.Errorf("%s: segment %d: a fragment begins at %d, the one before it ends at %d", id, s.Sequence, f.Start, end)
				}
				end = f.Start + f.Ticks
			}
		}
	}
}
