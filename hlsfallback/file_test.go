package hlsfallback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// clip is fragmented MP4 from ffmpeg: an init section, and per fragment its bytes.
type clip struct {
	init      []byte
	fragments [][]byte
}

// encode makes a clip whose fragments are 200 ms long, with a keyframe each two seconds.
func encode(t testing.TB, seconds int, args ...string) clip {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	all := append([]string{"-nostdin", "-v", "error"}, args...)
	all = append(all, "-t", fmt.Sprint(seconds), "-movflags", "empty_moov+default_base_moof+frag_every_frame",
		"-frag_duration", "200000", "-min_frag_duration", "190000", "-f", "mp4", path)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := boxes(data)
	if err != nil {
		t.Fatal(err)
	}
	var c clip
	for _, b := range list {
		switch b.kind {
		case "ftyp", "moov":
			c.init = append(c.init, b.data...)
		case "moof":
			c.fragments = append(c.fragments, bytes.Clone(b.data))
		case "mdat":
			c.fragments[len(c.fragments)-1] = append(c.fragments[len(c.fragments)-1], b.data...)
		}
	}
	return c
}

func encodeVideo(t testing.TB, seconds int, size string) clip {
	return encode(t, seconds, "-f", "lavfi", "-i", "testsrc2=rate=30:size="+size, "-c:v", "libx264", "-preset", "ultrafast",
		"-tune", "zerolatency", "-bf", "0", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-bsf:v", "dump_extra=freq=keyframe")
}

func encodeAudio(t testing.TB, seconds int) clip {
	return encode(t, seconds, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "libopus", "-b:a", "64k", "-strict", "experimental")
}

// play gives clips of so many seconds to a feed, two seconds a segment.
func (f *feed) play(seconds int, video, audio clip) {
	for name, c := range map[string]clip{"v0": video, "opus": audio} {
		f.init(name, f.tracks[name].next.Init, c.init)
		segments, n := seconds/2, len(c.fragments)
		for i, fragment := range c.fragments {
			f.partOf(name, time.Duration(seconds)*time.Second/time.Duration(n), fragment)
			if (i+1)*segments/n > i*segments/n {
				f.finish(name)
			}
		}
	}
}

// probed is what ffprobe says about a file.
type probed struct {
	Streams []struct {
		CodecName  string `json:"codec_name"`
		ReadFrames string `json:"nb_read_frames"`
		Duration   string `json:"duration"`
	}
	Format struct{ Duration string }
}

func probe(t *testing.T, data []byte) (p probed) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recording.mp4")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ffprobe", "-v", "warning", "-of", "json", "-count_frames", "-show_streams", "-show_format", path)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("ffprobe: %v\n%s", err, &complaints)
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return p
}

func TestRecordingIsOneFile(t *testing.T) {
	f := newFeed(t, Config{})
	audio := encodeAudio(t, 4)
	f.play(4, encodeVideo(t, 4, "320x180"), audio)
	f.end()
	w := f.do(http.MethodGet, "/vod/rec1/recording.mp4")
	if w.Code != 200 || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
		t.Fatalf("%d %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
	whole := w.Body.Bytes()
	p := probe(t, whole)
	if len(p.Streams) != 2 || p.Streams[0].CodecName != "h264" || p.Streams[0].ReadFrames != "120" || p.Streams[1].CodecName != "opus" {
		t.Errorf("got %+v", p)
	}
	part := f.do(http.MethodGet, "/vod/rec1/recording.mp4", "Range", "bytes=700-99999")
	if part.Code != 206 || !bytes.Equal(part.Body.Bytes(), whole[700:min(100_000, len(whole))]) {
		t.Errorf("range: %d, %d bytes", part.Code, part.Body.Len())
	}
	if w := f.do(http.MethodHead, "/vod/rec1/recording.mp4"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := f.do(http.MethodGet, "/vod/rec1/recording.mp4", "Range", "bytes=999999999-"); w.Code != 416 {
		t.Errorf("beyond the end: %d", w.Code)
	}
}

// The publisher comes back with another picture size after ten seconds, its
// clock starting anew: one file that goes on.
func TestRecordingWithChangesIsOneFile(t *testing.T) {
	f := newFeed(t, Config{})
	audio := encodeAudio(t, 4)
	f.play(4, encodeVideo(t, 4, "320x180"), audio)
	for _, ft := range f.tracks {
		ft.next.Init, ft.next.Discontinuity, ft.next.Start = 1, true, ft.next.Start.Add(10*time.Second)
	}
	f.play(4, encodeVideo(t, 4, "480x270"), audio)
	f.end()
	w := f.do(http.MethodGet, "/vod/rec1/recording.mp4")
	if w.Code != 200 || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
		t.Fatalf("%d %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
	p := probe(t, w.Body.Bytes())
	if len(p.Streams) != 2 || p.Streams[0].ReadFrames != "240" {
		t.Errorf("got %+v", p)
	}
	if d := p.Format.Duration; len(d) < 2 || d[:2] != "18" && d[:2] != "17" {
		t.Errorf("4 s, a pause of 10 s and 4 s are %s s", d)
	}
}

func TestRecordingWithoutMedia(t *testing.T) {
	f := newFeed(t, Config{})
	f.gap("v0")
	f.end()
	f.get("/vod/rec1/recording.mp4", http.StatusNotFound)
}
