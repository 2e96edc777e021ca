package recorder

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"strings"
	"testing"

	"github.com/pion/rtp/codecs"

	"github.com/sluice-live/sluice"
)

// filmVP8 encodes two seconds with a keyframe each second.
func filmVP8(t testing.TB, id uint64, rid, size string) *source {
	t.Helper()
	s := &source{track: &sluice.Track{ID: id, Publisher: "p", RID: rid, Codec: "VP8", Video: true, ClockRate: 90000}, ticks: 90000 / clipRate}
	ivf := ffmpegRun(t, "-f", "lavfi", "-i", "testsrc2=rate=25:duration=2:size="+size, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8",
		"-g", "25", "-keyint_min", "25", "-f", "ivf", "-")
	payloader := &codecs.VP8Payloader{EnablePictureID: true}
	for at := 32; at+12 <= len(ivf); {
		n := int(binary.LittleEndian.Uint32(ivf[at:]))
		s.frames = append(s.frames, payloader.Payload(1100, ivf[at+12:at+12+n]))
		at += 12 + n
	}
	return s
}

// TestWithoutFFmpeg: what needs none is recorded, with one warning.
func TestWithoutFFmpeg(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := config()
	cfg.FFmpeg = "/nowhere/ffmpeg"
	studio := newStudio(film(t, 1, "", "H264", 320, true), tone(2))
	r, err := New(cfg, Deps{Media: studio, Store: memoryStore(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two segments", func() bool { return len(durable(t, r, "v")) >= 2 && len(durable(t, r, soundID)) >= 2 })
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "ffmpeg is not there") {
		t.Errorf("%d warnings:\n%s", lines, log.String())
	}
}

// TestRungs: of three layers the largest is always transcoded, of the others as
// many as Rungs says; what is made of them decodes.
func TestRungs(t *testing.T) {
	t.Parallel()
	layers := []*source{filmVP8(t, 1, "q", "160x90"), filmVP8(t, 2, "h", "320x180"), filmVP8(t, 3, "f", "640x360")}
	cfg := config()
	cfg.FFmpeg, cfg.Rungs = "ffmpeg", 1
	r, stop := newRecorder(t, cfg, newStudio(layers...), memoryStore(), nil)
	eventually(t, "four segments of the largest", func() bool { return len(durable(t, r, pictureID)) >= 4 })
	stop()
	renditions, _, err := r.Timeline(t.Context(), only(t, r).ID)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]int{}
	for _, n := range renditions {
		if strings.HasPrefix(n.ID, pictureID) {
			made[n.ID] = n.Width
			decodes(t, r, n.ID)
		}
	}
	if len(made) != 1+cfg.Rungs || made[pictureID] != 640 {
		t.Errorf("%d rungs: %v", cfg.Rungs, made)
	}
	if r.rungs.Load() != 0 {
		t.Errorf("%d rungs are still taken", r.rungs.Load())
	}
}
