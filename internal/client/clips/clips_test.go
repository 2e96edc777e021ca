package clips

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSynthetic(t *testing.T) {
	for _, codec := range []Codec{H264, VP8} {
		for _, simulcast := range []bool{false, true} {
			clip, err := Synthetic(codec, simulcast)
			if err != nil {
				t.Fatal(err)
			}
			want := [][2]int{{1280, 720}}
			if simulcast {
				want = [][2]int{{320, 180}, {640, 360}, {1280, 720}}
			}
			if len(clip.Layers) != len(want) {
				t.Fatalf("%s: %d layers", codec, len(clip.Layers))
			}
			for i, layer := range clip.Layers {
				if layer.Width != want[i][0] || layer.Height != want[i][1] || layer.Len() != 120 {
					t.Errorf("%s layer %d: %dx%d, %d frames", codec, i, layer.Width, layer.Height, layer.Len())
				}
				for f := range layer.Len() {
					if layer.Key(f) != (f%60 == 0) {
						t.Errorf("%s layer %d frame %d: key %v", codec, i, f, layer.Key(f))
					}
				}
				if at := layer.At(119); (at - 119*time.Second/30).Abs() > time.Microsecond {
					t.Errorf("the last frame is due at %v", at)
				}
			}
			if clip.Audio.At(199) != 199*20*time.Millisecond {
				t.Errorf("audio packet 199 is due at %v", clip.Audio.At(199))
			}
		}
	}
	if _, err := Synthetic(AV1, false); err == nil {
		t.Error("AV1 is not embedded, yet no error")
	}
}

// TestOpenMP4 reads files that ffmpeg wrote, with the embedded clip in them.
func TestOpenMP4(t *testing.T) {
	dir := t.TempDir()
	ffmpeg := func(args ...string) string {
		t.Helper()
		out := filepath.Join(dir, args[len(args)-1])
		args = append([]string{"-nostdin", "-loglevel", "error", "-y"}, append(args[:len(args)-1], out)...)
		if msg, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
			t.Fatalf("ffmpeg %v: %v\n%s", args, err, msg)
		}
		return out
	}
	good := []string{"-f", "h264", "-r", "30", "-i", "h.h264", "-i", "audio.ogg", "-map", "0:v", "-map", "1:a", "-c", "copy"}
	for name, path := range map[string]string{
		"plain":      ffmpeg(append(good, "plain.mp4")...),
		"faststart":  ffmpeg(append(good, "-movflags", "+faststart", "fast.mp4")...),
		"fragmented": ffmpeg(append(good, "-movflags", "+frag_keyframe+empty_moov+default_base_moof", "frag.mp4")...),
	} {
		t.Run(name, func(t *testing.T) {
			clip, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = clip.Close() }()
			original, err := Synthetic(H264, true)
			if err != nil {
				t.Fatal(err)
			}
			video, want := clip.Layers[0], original.Layers[1]
			if video.Len() != want.Len() || video.Width != 640 || video.Height != 360 || !strings.HasPrefix(video.Profile, "42") {
				t.Fatalf("%d frames of %dx%d, profile %s", video.Len(), video.Width, video.Height, video.Profile)
			}
			for i := range video.Len() {
				frame, err := video.Frame(i)
				if err != nil {
					t.Fatal(err)
				}
				other, _ := want.Frame(i)
				if video.Key(i) != want.Key(i) || strings.Join(units(frame), "|") != strings.Join(units(other), "|") {
					t.Fatalf("frame %d differs", i)
				}
				if (video.At(i) - want.At(i)).Abs() > 10*time.Millisecond { // ffmpeg guesses the times of a raw stream
					t.Fatalf("frame %d at %v, want %v", i, video.At(i), want.At(i))
				}
			}
			if n := clip.Audio.Len(); n < 200 || n > 201 {
				t.Errorf("%d audio packets", n)
			}
			if packet, err := clip.Audio.Frame(100); err != nil || len(packet) == 0 {
				t.Errorf("audio packet 100: %d bytes, %v", len(packet), err)
			}
			if clip.Period < 4*time.Second || clip.Period > 4100*time.Millisecond {
				t.Errorf("period %v", clip.Period)
			}
		})
	}
	source := []string{"-f", "lavfi", "-i", "testsrc=size=128x96:rate=10:duration=1", "-f", "lavfi", "-i", "sine=duration=1"}
	for name, path := range map[string]string{
		"B-frames": ffmpeg(append(source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2", "-an", "bframes.mp4")...),
		"AAC":      ffmpeg(append(source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-c:a", "aac", "aac.mp4")...),
		"MPEG-4":   ffmpeg(append(source, "-c:v", "mpeg4", "-an", "mpeg4.mp4")...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "convert it with: ffmpeg -i") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// units returns the NAL units of an access unit but for its parameter sets.
func units(frame []byte) []string {
	var all []string
	for _, u := range annexBUnits(frame) {
		if kind := frame[u.from] & 0x1f; kind != 7 && kind != 8 {
			all = append(all, string(frame[u.from:u.to]))
		}
	}
	return all
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"empty.mp4": "", "garbage.mp4": "garbage garbage garbage", "short.ivf": "DKIF", "text.h264": "no start code",
		"page.ogg": "OggS", "film.webm": "x", "none.ivf": "DKIF\x00\x00\x20\x00VP80\x10\x00\x10\x00\x1e\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if clip, err := Open(path); err == nil {
			t.Errorf("%s: got %+v", name, clip)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing.mp4")); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
}

func TestParseCodec(t *testing.T) {
	for name, want := range map[string]Codec{"h264": H264, "H.264": H264, "VP8": VP8, "av1": AV1, "vp9": VP9} {
		if got, err := ParseCodec(name); err != nil || got != want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := ParseCodec("theora"); err == nil {
		t.Error("theora is accepted")
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"q.h264", "q.ivf", "audio.ogg"} {
		raw, err := embedded.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Ext(name), raw[:4096])
	}
	f.Add(".ivf", []byte("DKIF\x00\x00\x20\x00VP80"))
	f.Add(".h265", []byte("\x00\x00\x01\x42\x01\x01\x01\x60\x00\x00\x01\x26\x01\xaf"))
	f.Fuzz(func(t *testing.T, ext string, raw []byte) {
		clip, err := parse(ext, raw)
		if err != nil {
			return
		}
		if clip.Period <= 0 {
			t.Errorf("period %v", clip.Period)
		}
	})
}

func FuzzToAnnexB(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x67}, true)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, raw []byte, key bool) {
		if out, err := toAnnexB(raw, nil, key); err == nil && len(out) > len(raw) {
			t.Errorf("%d bytes from %d", len(out), len(raw))
		}
	})
}
