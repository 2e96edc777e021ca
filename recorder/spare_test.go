package recorder

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"

	"github.com/sluice-live/sluice"
)

// film8 encodes four seconds of VP8, with a keyframe each second.
func film8(t testing.TB, id uint64) *source {
	t.Helper()
	ivf := ffmpegRun(t, "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=4", "-pix_fmt", "yuv420p",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-f", "ivf", "-")
	s := &source{track: &sluice.Track{ID: id, Publisher: "p", Codec: "VP8", Video: true, ClockRate: 90000}, ticks: 90000 / clipRate, start: 7}
	payloader := &codecs.VP8Payloader{EnablePictureID: true}
	for rest := ivf[32:]; len(rest) >= 12; {
		size := binary.LittleEndian.Uint32(rest)
		s.frames = append(s.frames, payloader.Payload(1100, rest[12:12+size]))
		rest = rest[12+size:]
	}
	return s
}

// TestSpare stops the transcoding of pictures and begins it again; the sound, which
// is recorded as it comes, goes on.
func TestSpare(t *testing.T) {
	t.Parallel()
	c := config()
	c.FFmpeg = "ffmpeg"
	media := newStudio(film8(t, 1), tone(2))
	r, _ := newRecorder(t, c, media, memoryStore(), nil)
	media.waitsFor(r, 2*time.Second)
	segments := func(rendition string) int { return len(durable(t, r, rendition)) }
	eventually(t, "two segments are made", func() bool { return segments(pictureID) >= 2 })

	r.Spare(true)
	sound := segments("opus")
	eventually(t, "the sound goes on for two segments", func() bool { return segments("opus") >= sound+2 })
	made, sound := segments(pictureID), segments("opus")
	eventually(t, "the sound goes on for two more", func() bool { return segments("opus") >= sound+2 })
	if n := pictures(durable(t, r, pictureID)[made:]); n > 0 {
		t.Errorf("%d segments of pictures are made meanwhile", n)
	}

	r.Spare(false)
	eventually(t, "segments are made again", func() bool { return pictures(durable(t, r, pictureID)[made:]) >= 1 })
}

// pictures counts the segments that hold something: others are gaps.
func pictures(segments []sluice.Segment) (n int) {
	for _, s := range segments {
		if !s.Gap {
			n++
		}
	}
	return n
}
