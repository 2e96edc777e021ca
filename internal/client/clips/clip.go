package clips

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Codec names a codec as SDP does.
type Codec string

// The codecs that a clip can hold.
const (
	H264 Codec = "H264"
	VP8  Codec = "VP8"
	VP9  Codec = "VP9"
	AV1  Codec = "AV1"
	H265 Codec = "H265"
	Opus Codec = "opus"
)

// ParseCodec accepts the usual spellings of a video codec's name.
func ParseCodec(name string) (Codec, error) {
	switch strings.ToLower(strings.ReplaceAll(name, ".", "")) {
	case "h264", "avc":
		return H264, nil
	case "vp8":
		return VP8, nil
	case "vp9":
		return VP9, nil
	case "av1":
		return AV1, nil
	}
	return "", fmt.Errorf("unknown video codec %q (h264, vp8)", name)
}

// Clip is one piece of media that can be sent in a loop. All its tracks start
// at time 0.
type Clip struct {
	Layers []*Track      // the same video in several sizes, smallest first; empty: audio only
	Audio  *Track        // nil: none
	Period time.Duration // length of one round of the loop
	closer io.Closer
}

// Track is one encoded stream of a clip, in decode order.
type Track struct {
	Codec         Codec
	Width, Height int    // pixels; 0 for audio or when the container does not say
	Profile       string // H.264 profile-level-id, six hex digits; "" for others
	frames        []frame
	load          func(frame) ([]byte, error) // nil: frame.data holds the bytes
}

// frame is one video access unit or one Opus packet.
type frame struct {
	at     time.Duration
	key    bool
	data   []byte
	offset int64 // for load
	size   int
}

// Len returns the number of frames.
func (t *Track) Len() int { return len(t.frames) }

// At returns when frame i is due, from the start of the clip.
func (t *Track) At(i int) time.Duration { return t.frames[i].at }

// Key reports whether frame i decodes without any other.
func (t *Track) Key(i int) bool { return t.frames[i].key }

// Frame returns the bytes of frame i: Annex B for H.264 and H.265, an OBU sequence for
// AV1. The caller must not change them.
func (t *Track) Frame(i int) ([]byte, error) {
	if t.load == nil {
		return t.frames[i].data, nil
	}
	return t.load(t.frames[i])
}

// Close releases the file of a clip from Open.
func (c *Clip) Close() error {
	if c.closer == nil {
		return nil
	}
	return c.closer.Close()
}

// Open reads a clip from an .mp4, .ivf, .h264, .h265 or .ogg file. What a browser could
// not play live (other codecs, B-frames) is refused with the ffmpeg command
// that converts it.
func Open(path string) (*Clip, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".mp4", ".m4v", ".mov":
		return openMP4(path)
	case ".ivf", ".h264", ".264", ".h265", ".265", ".hevc", ".ogg", ".opus":
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		clip, err := parse(ext, raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return clip, nil
	default:
		return nil, fmt.Errorf("%s: unknown kind of file; %s", path, convertHint(path))
	}
}

func parse(ext string, raw []byte) (*Clip, error) {
	switch ext {
	case ".ivf":
		t, period, err := readIVF(raw)
		return videoClip(t, period, err)
	case ".h264", ".264":
		t, period, err := readAnnexB(raw)
		return videoClip(t, period, err)
	case ".h265", ".265", ".hevc":
		t, period, err := readH265(raw)
		return videoClip(t, period, err)
	default:
		t, period, err := readOgg(raw)
		if err != nil {
			return nil, err
		}
		return &Clip{Audio: t, Period: period}, nil
	}
}

func videoClip(t *Track, period time.Duration, err error) (*Clip, error) {
	if err != nil {
		return nil, err
	}
	if !t.Key(0) {
		return nil, errors.New("the first frame is not a keyframe")
	}
	return &Clip{Layers: []*Track{t}, Period: period}, nil
}

// convertHint returns the command that makes path sendable.
func convertHint(path string) string {
	out := strings.TrimSuffix(path, filepath.Ext(path)) + "-live.mp4"
	return fmt.Sprintf("convert it with: ffmpeg -i %q -c:v libx264 -profile:v baseline -pix_fmt yuv420p -bf 0 -g 60 -c:a libopus -ar 48000 -ac 2 %q", path, out)
}
