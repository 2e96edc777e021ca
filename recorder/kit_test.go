package recorder

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

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

func config() Config {
	return Config{Part: 500 * time.Millisecond, Segment: 2 * time.Second, Window: time.Hour, Keep: time.Hour, Grace: 30 * time.Second}
}

// newRecorder starts a recorder; the returned function closes it, as the test's end
// does.
func newRecorder(t testing.TB, cfg Config, media Media, store blob.Store, sink Sink) (*Recorder, func()) {
	t.Helper()
	return newTellingRecorder(t, cfg, media, store, sink, nil)
}

// newTellingRecorder is newRecorder, and tells of recordings.
func newTellingRecorder(t testing.TB, cfg Config, media Media, store blob.Store, sink Sink, tell func(sluice.Event)) (*Recorder, func()) {
	t.Helper()
	r, err := New(cfg, Deps{Media: media, Store: store, Sink: sink, Tell: tell, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
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
