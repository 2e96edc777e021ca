package record

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/sluice-live/sluice/internal/client/clips"
)

// feed packetizes a clip into the recorder, the sound 100 ms of RTP time after
// the picture, and returns how many frames it sent.
func feed(t *testing.T, r *Recorder, clip *clips.Clip, mime string, drop func(frame int) bool) {
	t.Helper()
	var payloader rtp.Payloader
	switch clip.Layers[0].Codec {
	case clips.H264:
		payloader = &codecs.H264Payloader{}
	case clips.VP8:
		payloader = &codecs.VP8Payloader{EnablePictureID: true}
	case clips.VP9:
		payloader = &codecs.VP9Payloader{}
	default:
		payloader = &codecs.AV1Payloader{}
	}
	send := func(kind, mime string, rate uint32, track *clips.Track, p rtp.Payloader, base uint32, seq *uint16, i int) {
		frame, err := track.Frame(i)
		if err != nil {
			t.Fatal(err)
		}
		timestamp := base + uint32(track.At(i)*time.Duration(rate)/time.Second)
		payloads := p.Payload(1160, frame)
		for n, payload := range payloads {
			*seq++
			if kind == "video" && drop != nil && drop(i) && n == 0 {
				continue
			}
			r.Packet(kind, mime, rate, &rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: *seq, Timestamp: timestamp, Marker: n == len(payloads)-1},
				Payload: payload,
			})
		}
		if i == 0 {
			r.Report(kind, 1<<40, base)
		}
	}
	videoSeq, audioSeq := uint16(65530), uint16(9)
	video, audio := clip.Layers[0], clip.Audio
	for v, a := 0, 0; v < video.Len(); v++ {
		send("video", mime, 90000, video, payloader, 0xfffffff0, &videoSeq, v)
		for ; audio != nil && a < audio.Len() && audio.At(a) <= video.At(v); a++ {
			send("audio", "audio/opus", 48000, audio, &codecs.OpusPayloader{}, 5, &audioSeq, a)
		}
	}
}

// probe lets ffprobe count the frames that decode, and fails on any complaint of
// the decoder.
func probe(t *testing.T, path, stream string) (frames int, codec string, seconds float64) {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-select_streams", stream,
		"-show_entries", "stream=codec_name,nb_read_frames:format=duration", "-of", "default=nw=1", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	for _, line := range strings.Fields(string(out)) {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case !ok:
			t.Fatalf("ffprobe complains: %s", out)
		case key == "codec_name":
			codec = value
		case key == "nb_read_frames":
			frames, _ = strconv.Atoi(value)
		case key == "duration":
			seconds, _ = strconv.ParseFloat(value, 64)
		}
	}
	if msg, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "null", "-").CombinedOutput(); err != nil || len(msg) > 0 {
		t.Fatalf("ffmpeg does not decode it: %v\n%s", err, msg)
	}
	return frames, codec, seconds
}

// made encodes a second of video in a codec that has no embedded clip.
func made(t *testing.T, encoder string, args ...string) *clips.Clip {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.ivf")
	full := append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=128x96:rate=30:duration=1", "-pix_fmt", "yuv420p", "-c:v", encoder}, args...)
	if out, err := exec.Command("ffmpeg", append(full, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	clip, err := clips.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

func synthetic(t *testing.T, codec clips.Codec) *clips.Clip {
	t.Helper()
	clip, err := clips.Synthetic(codec, false)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

func TestRecord(t *testing.T) {
	vp9 := func(t *testing.T) *clips.Clip {
		return made(t, "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0")
	}
	for _, tc := range []struct {
		file, mime string
		clip       func(*testing.T) *clips.Clip
		video      string // codec that ffprobe names; "" for none
		frames     int
		audio      int
	}{
		{"h264.mp4", "video/H264", func(t *testing.T) *clips.Clip { return synthetic(t, clips.H264) }, "h264", 120, 199},
		{"h264.h264", "video/H264", func(t *testing.T) *clips.Clip { return synthetic(t, clips.H264) }, "h264", 120, 0},
		{"vp8.ivf", "video/VP8", func(t *testing.T) *clips.Clip { return synthetic(t, clips.VP8) }, "vp8", 120, 0},
		{"opus.ogg", "video/VP8", func(t *testing.T) *clips.Clip { return synthetic(t, clips.VP8) }, "", 0, 195},
		{"vp9.mp4", "video/VP9", vp9, "vp9", 30, 0},
		{"vp9.ivf", "video/VP9", vp9, "vp9", 30, 0},
		{"av1.mp4", "video/AV1", func(t *testing.T) *clips.Clip { return made(t, "libaom-av1", "-cpu-used", "8", "-lag-in-frames", "0") }, "av1", 30, 0},
	} {
		t.Run(tc.file, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tc.file)
			r, err := New(path)
			if err != nil {
				t.Fatal(err)
			}
			clip := tc.clip(t)
			feed(t, r, clip, tc.mime, nil)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if tc.video != "" {
				frames, codec, seconds := probe(t, path, "v:0")
				if frames != tc.frames || codec != tc.video {
					t.Errorf("%d frames of %s", frames, codec)
				}
				if want := clip.Period.Seconds(); !strings.HasSuffix(tc.file, ".h264") && (seconds < want-0.1 || seconds > want+0.1) {
					t.Errorf("%v s long, want %v", seconds, want)
				}
			}
			if tc.audio > 0 {
				frames, codec, _ := probe(t, path, "a:0")
				if frames < tc.audio || frames > 201 || codec != "opus" {
					t.Errorf("%d packets of %s", frames, codec)
				}
			}
		})
	}
}

func TestRecordWithLoss(t *testing.T) {
	path := filepath.Join(t.TempDir(), "loss.mp4")
	r, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	// The whole second group of pictures but its keyframe is cut short.
	feed(t, r, synthetic(t, clips.H264), "video/H264", func(frame int) bool { return frame > 60 })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if frames, _, _ := probe(t, path, "v:0"); frames < 61 {
		t.Errorf("%d frames", frames)
	}
}

// TestLayerSwitch changes the size of the picture in the middle of a recording.
func TestLayerSwitch(t *testing.T) {
	clip, err := clips.Synthetic(clips.H264, true)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "switch.mp4")
	r, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	payloader := &codecs.H264Payloader{}
	var seq uint16
	for i := range 120 {
		frame, err := clip.Layers[2*(i/60)].Frame(i)
		if err != nil {
			t.Fatal(err)
		}
		payloads := payloader.Payload(1160, frame)
		for n, p := range payloads {
			seq++
			r.Packet("video", "video/H264", 90000, &rtp.Packet{
				Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(i) * 3000, Marker: n == len(payloads)-1}, Payload: p,
			})
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if frames, _, _ := probe(t, path, "v:0"); frames != 120 {
		t.Errorf("%d frames", frames)
	}
}

func TestRecordRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := New(filepath.Join(dir, "x.avi")); err == nil {
		t.Error(".avi is accepted")
	}
	for file, codec := range map[string]clips.Codec{"x.mp4": clips.VP8, "x.ivf": clips.H264, "x.h264": clips.VP8} {
		r, err := New(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		feed(t, r, synthetic(t, codec), "video/"+string(codec), nil)
		if r.Err() == nil || !strings.Contains(r.Err().Error(), "record to .") {
			t.Errorf("%s of %s: %v", file, codec, r.Err())
		}
		_ = r.Close()
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 0, 1, 0x65, 1})
	f.Add(byte(1), []byte{0x10, 0, 0, 0x9d, 1, 0x2a, 0, 1, 0, 1})
	f.Add(byte(2), []byte{0x82, 0x49, 0x83, 0x42})
	f.Add(byte(3), []byte{0x0a, 0x0b, 0, 0, 0, 4})
	mimes := []string{"video/H264", "video/VP8", "video/VP9", "video/AV1"}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		if len(data) == 0 {
			return
		}
		mime := mimes[int(which)%len(mimes)]
		if width, height := size(mime, data); width < 0 || height < 0 {
			t.Errorf("%dx%d", width, height)
		}
		keyframe(mime, data)
		lengthPrefixed(data)
		opusTicks(data)
	})
}
