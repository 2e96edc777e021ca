package e2e

import (
	"bytes"
	"errors"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// encoded makes a clip of four seconds with sound, one keyframe in two.
func encoded(t testing.TB, name string, codec ...string) *clips.Clip {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	args := append([]string{"-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=4", "-pix_fmt", "yuv420p", "-g", "50"}, codec...)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	clip, err := clips.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sound := pattern(t, clips.H264, false)
	clip.Audio = sound.Audio
	return clip
}

// TestRecorded publishes each codec and looks at what is on the disk afterwards.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		clip       func(testing.TB) *clips.Clip
		layers     int
		renditions []string
		codecs     string // of the largest video
	}{
		{"H264 in three layers", func(t testing.TB) *clips.Clip { return pattern(t, clips.H264, true) }, 3, []string{"aac", "opus", "vf", "vh", "vq"}, "avc1.42C01F"},
		{"H264 high", func(t testing.TB) *clips.Clip {
			return encoded(t, "high.h264", "-c:v", "libx264", "-profile:v", "high", "-preset", "ultrafast", "-x264-params", "8x8dct=1", "-bf", "0")
		}, 1, []string{"aac", "opus", "v"}, "avc1.64001E"},
		{"H265", func(t testing.TB) *clips.Clip {
			return encoded(t, "main.h265", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "bframes=0:keyint=50:min-keyint=50:scenecut=0:repeat-headers=1:log-level=none")
		}, 1, []string{"aac", "opus", "v"}, "hvc1.1.6.L63.90"},
		{"AV1", func(t testing.TB) *clips.Clip {
			return encoded(t, "av1.ivf", "-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "pred-struct=1")
		}, 1, []string{"aac", "opus", "v"}, "av01.0.01M.08"},
		{"VP8 in three layers", func(t testing.TB) *clips.Clip { return pattern(t, clips.VP8, true) }, 3, []string{"aac", "h264", "h264h", "h264q", "opus"}, "avc1.4D401F"},
		{"VP9", func(t testing.TB) *clips.Clip {
			return encoded(t, "vp9.ivf", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0")
		}, 1, []string{"aac", "h264", "opus"}, "avc1.4D401E"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clip := tt.clip(t)
			var k kept
			poll(t, 5*patience, time.Millisecond, "a recording that nothing has disturbed", func() bool {
				var whole bool
				k, whole = keep(t, clip, tt.layers, len(tt.renditions))
				return whole
			})
			var ids []string
			var best sluice.Rendition
			for _, r := range k.Renditions {
				ids = append(ids, r.ID)
				if r.Width > best.Width {
					best = r
				}
				k.whole(t, r)
			}
			slices.Sort(ids)
			if !slices.Equal(ids, tt.renditions) || best.Codecs != tt.codecs {
				t.Errorf("renditions %v, the best is %+v; want %v with %s", ids, best, tt.renditions, tt.codecs)
			}
			k.together(t)
			k.thumbnail(t)
		})
	}
}

// keep records three segments of a clip, and reports whether nothing disturbed that: a
// publisher skips a second in which the machine stands still, and a transcoder that has
// no processor for three is begun anew.
func keep(t *testing.T, clip *clips.Clip, layers, renditions int) (k kept, whole bool) {
	t.Helper()
	data := t.TempDir()
	n := startNode(t, transcodes, "data.dir="+data, "stream.grace=1s")
	p := publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
	n.live(t, "demo", layers)
	within(t, patience, "three segments of each rendition", func() bool {
		all := recorded(t, data)
		return len(all) == 1 && len(all[0].Renditions) == renditions && !slices.ContainsFunc(all[0].Renditions, func(r sluice.Rendition) bool {
			return len(all[0].Segments[r.ID]) < 3
		})
	})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	within(t, patience, "the recording ends", func() bool { return !recorded(t, data)[0].Ended.IsZero() })
	slow := n.total(t, "sluice_transcoder_restarts_total")
	n.close()
	if p.Stats().Skipped > 0 || slow > 0 {
		t.Logf("not recorded undisturbed: the publisher stood still %d times, %.0f transcoders were begun anew", p.Stats().Skipped, slow)
		return kept{}, false
	}
	return recorded(t, data)[0], true
}

// whole checks a rendition that was recorded without trouble: every segment
// decodes, each begins where the one before it ended, none is a gap.
func (k kept) whole(t *testing.T, r sluice.Rendition) {
	t.Helper()
	segments := k.Segments[r.ID]
	frames := k.decode(t, r.ID)
	for i, s := range segments {
		if s.Gap || s.Discontinuity || s.Init != 1 || frames[i] == 0 {
			t.Errorf("%s: segment %d: gap %v, discontinuity %v, init %d, %d frames", r.ID, s.Sequence, s.Gap, s.Discontinuity, s.Init, frames[i])
		}
		if i > 0 {
			if hole := s.Start.Sub(segments[i-1].Start.Add(segments[i-1].Duration)); hole.Abs() > 50*time.Microsecond {
				t.Errorf("%s: segment %d begins %v after the end of the one before", r.ID, s.Sequence, hole)
			}
		}
		if last := i == len(segments)-1; !last && (s.Duration < time.Second || s.Duration > 3*time.Second) {
			t.Errorf("%s: segment %d lasts %v", r.ID, s.Sequence, s.Duration)
		}
		if r.Kind == sluice.RenditionVideo && (s.Key.Length == 0 || !s.Parts[0].Independent) {
			t.Errorf("%s: segment %d does not begin with a keyframe", r.ID, s.Sequence)
		}
		for j, p := range s.Parts {
			longest := sluice.LongestPart(500 * time.Millisecond)
			if p.Duration > longest || j < len(s.Parts)-1 && !s.Parts[j+1].Independent && p.Duration < longest*85/100 {
				t.Errorf("%s: part %d of segment %d lasts %v", r.ID, j, s.Sequence, p.Duration)
			}
		}
	}
	t.Logf("%+v: frames %v", r, frames)
}

// together checks that renditions are cut at the same times, sound to a part.
func (k kept) together(t *testing.T) {
	t.Helper()
	var lead []sluice.Segment
	for _, r := range k.Renditions {
		if r.Kind == sluice.RenditionVideo {
			lead = k.Segments[r.ID]
		}
	}
	for _, r := range k.Renditions {
		apart := time.Millisecond
		if r.Kind == sluice.RenditionAudio {
			apart = 500 * time.Millisecond
		}
		for i, s := range k.Segments[r.ID] {
			if i < len(lead) && s.Start.Sub(lead[i].Start).Abs() > apart {
				t.Errorf("%s: segment %d begins at %v, video at %v", r.ID, s.Sequence, s.Start, lead[i].Start)
			}
		}
	}
}

// thumbnail checks the first picture for the scrub bar.
func (k kept) thumbnail(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(k.dir, "thumbnails", "0.jpg"))
	if errors.Is(err, os.ErrNotExist) {
		t.Error("there is no thumbnail")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if picture, err := jpeg.DecodeConfig(bytes.NewReader(raw)); err != nil || picture.Width != 320 || picture.Height != 180 {
		t.Errorf("the thumbnail is %+v: %v", picture, err)
	}
}
