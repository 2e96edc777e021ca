package ffmpeg

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(t *testing.T, died *int) Config {
	t.Helper()
	encoder, err := Probe(t.Context(), "ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Program: "ffmpeg", Encoder: encoder, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Died: func() { *died++ }}
}

// ivf encodes two seconds of VP8 with a keyframe in 25 pictures.
func ivf(t *testing.T, size string) (frames [][]byte) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size="+size+":rate=25:duration=2",
		"-c:v", "libvpx", "-g", "25", "-keyint_min", "25", "-deadline", "realtime", "-f", "ivf", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for at := 32; at+12 <= len(out); {
		n := int(binary.LittleEndian.Uint32(out[at:]))
		frames = append(frames, out[at+12:at+12+n])
		at += 12 + n
	}
	return frames
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// TestPicture: each picture that goes in comes out with its tick, keyframes where
// they were; a child that is killed is replaced at the next keyframe.
func TestPicture(t *testing.T) {
	died := 0
	p := NewPicture(settings(t, &died), "VP8")
	defer p.Close()
	frames := ivf(t, "320x180")
	tick := func(i int) int64 { return 900_000 + int64(i)*3600 + int64(i*i%7)*400 + int64(i%3) } // as uneven as from a browser
	var out []Unit
	fetch := func() { p.Fetch(func(u Unit) { out = append(out, u) }) }
	push := func(from, to int) {
		for i := from; i < to; i++ {
			f := frames[i%len(frames)]
			p.Push(time.Now(), tick(i), f[0]&1 == 0, f, 320, 180)
		}
	}
	push(0, 30)
	until(t, "thirty pictures", func() bool { fetch(); return len(out) == 30 })
	for i, u := range out {
		if u.Tick != tick(i) || u.Key != (i%25 == 0) || u.Key && len(u.Sets) != 2 || len(u.Data) == 0 {
			t.Fatalf("picture %d: tick %d, want %d; key %v; %d sets", i, u.Tick, tick(i), u.Key, len(u.Sets))
		}
	}
	bits := 0
	for _, u := range out {
		bits += 8 * len(u.Data)
	}
	if want := bitrate(320, 180); bits < want*30/25/2 {
		t.Errorf("%d bits for 30 pictures, want about %d", bits, want*30/25)
	}
	p.child.kill() // as by the kernel
	push(30, 50)   // no keyframe among them
	fetch()
	if len(out) != 30 || died != 1 {
		t.Fatalf("%d pictures, %d deaths", len(out), died)
	}
	push(50, 80)
	until(t, "thirty more", func() bool { fetch(); return len(out) == 60 })
	if out[30].Tick != tick(50) || !out[30].Key {
		t.Errorf("it goes on with %+v", out[30])
	}
}

// TestFirstPictures: each comes out before the next goes in, from the beginning. Of a
// screen that is sent five times a second, the first would come late else.
func TestFirstPictures(t *testing.T) {
	died := 0
	p := NewPicture(settings(t, &died), "VP8")
	defer p.Close()
	n := 0
	for i, f := range ivf(t, "320x180")[:3] {
		p.Push(time.Now(), int64(i)*18000, i == 0, f, 320, 180)
		until(t, "the picture", func() bool { p.Fetch(func(Unit) { n++ }); return n > i })
	}
}

// TestPictureOfOddSize: the smallest layer of a browser may be 239 by 135.
func TestPictureOfOddSize(t *testing.T) {
	died := 0
	p := NewPicture(settings(t, &died), "VP8")
	defer p.Close()
	var out []Unit
	for i, f := range ivf(t, "239x135")[:30] {
		p.Push(time.Now(), int64(i)*3600, i == 0, f, 239, 135)
	}
	until(t, "all pictures", func() bool { p.Fetch(func(u Unit) { out = append(out, u) }); return len(out) == 30 || died > 0 })
	if died > 0 {
		t.Error("the encoder refused the size")
	}
}

// TestSound: AAC stands where its Opus stood, also after a break and a death.
func TestSound(t *testing.T) {
	died := 0
	s := NewSound(settings(t, &died))
	defer s.Close()
	silence := []byte{0xfc, 0xff, 0xfe}
	var out []Unit
	fetch := func() { s.Fetch(func(u Unit) { out = append(out, u) }) }
	at := int64(480_000)
	push := func(n int) {
		for range n {
			s.Push(time.Now(), at, silence, 960)
			at += 961 // the clock is steered a little
		}
	}
	push(100)
	until(t, "a second and a half of sound", func() bool { fetch(); return len(out) > 70 })
	for i, u := range out {
		want := int64(480_000) + int64(i)*1024*961/960
		if off := u.Tick - want; off < -2 || off > 2 || len(u.Data) == 0 {
			t.Fatalf("frame %d: tick %d, want %d", i, u.Tick, want)
		}
	}
	s.child.kill()
	at += 48_000
	begin, n := at, len(out)
	push(100)
	until(t, "sound again", func() bool { fetch(); return len(out) > n+70 })
	if out[n].Tick != begin || died != 1 {
		t.Errorf("it goes on at %d, want %d; %d deaths", out[n].Tick, begin, died)
	}
	s.Close()
	at += 480_000
	begin, n = at, len(out)
	push(100)
	until(t, "sound after a break", func() bool { fetch(); return len(out) > n+70 })
	if out[n].Tick != begin || died != 1 {
		t.Errorf("it goes on at %d, want %d; %d deaths", out[n].Tick, begin, died)
	}
}

// TestMissingProgram: nothing starts, and nothing breaks.
func TestMissingProgram(t *testing.T) {
	cfg := Config{Program: "/nowhere/ffmpeg", Log: slog.New(slog.DiscardHandler), Died: func() {}}
	s := NewSound(cfg)
	defer s.Close()
	s.Push(time.Now(), 0, []byte{0xfc}, 960)
	s.Fetch(func(Unit) { t.Error("something came out") })
	if _, err := Probe(t.Context(), cfg.Program); err == nil {
		t.Error("Probe found an encoder")
	}
	if _, err := Still(t.Context(), "ffmpeg", []byte("no file")); err == nil {
		t.Error("Still made a picture of nothing")
	}
}

func FuzzFLV(f *testing.F) {
	tag := func(kind byte, body ...byte) []byte {
		head := []byte{kind, 0, 0, byte(len(body)), 0, 0, 1, 0, 0, 0, 0}
		return append(append(head, body...), 0, 0, 0, 0)
	}
	head := []byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00")
	f.Add(append(bytes.Clone(head), tag(9, 0x17, 0, 0, 0, 0, 1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 1, 0x68)...))
	f.Add(append(bytes.Clone(head), tag(9, 0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := &pictures{ready: make(chan Unit, 1<<16)}
		if e.read(t.Context(), bytes.NewReader(b)) == nil {
			t.Error("it read on past the end")
		}
		s := &sounds{ready: make(chan []byte, 1<<16)}
		if s.read(t.Context(), bytes.NewReader(b)) == nil {
			t.Error("it read on past the end")
		}
	})
}

// TestLimit: a child that holds more than it may, or that gives nothing, is replaced.
func TestLimit(t *testing.T) {
	died := 0
	cfg := settings(t, &died)
	cfg.Memory = 1 << 30
	s := NewSound(cfg)
	defer s.Close()
	began := time.Now()
	push := func(now time.Time) {
		for i := range int64(10) {
			s.Push(now, i*960, []byte{0xfc, 0xff, 0xfe}, 960)
		}
	}
	push(began)
	s.Limit(began, time.Second)
	s.Limit(began.Add(time.Minute), time.Second)
	if s.child == nil || died != 0 {
		t.Fatalf("a child that does well is gone, %d died", died)
	}
	s.Limit(began.Add(time.Minute), 100*time.Millisecond) // it owes 200 ms at least
	if s.child != nil || died != 1 {
		t.Errorf("a child that is late runs on, %d died", died)
	}
	push(began.Add(2 * time.Minute))
	s.cfg.Memory = 1
	s.Limit(began.Add(2*time.Minute), time.Second)
	if s.child != nil || died != 2 {
		t.Errorf("a child that is large runs on, %d died", died)
	}
}

// TestArguments: no encoder divides a bit rate by the rate of the clock.
func TestArguments(t *testing.T) {
	for encoder, want := range map[string]string{
		"libx264":    "-x264-params fps=30 -b:v 2764800 -maxrate 4147200 -bufsize 5529600",
		"h264_nvenc": "-rc constqp -qp 28",
	} {
		args := strings.Join(pictureArgs(encoder, 1280, 720), " ")
		if !strings.Contains(args, "-c:v "+encoder+" ") || !strings.Contains(args, want) || strings.Contains(args, "-b:v") != (encoder == "libx264") {
			t.Errorf("%s: %s", encoder, args)
		}
	}
}
