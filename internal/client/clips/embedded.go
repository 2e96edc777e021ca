package clips

import (
	"embed"
	"fmt"
	"time"
)

//go:embed *.h264 *.ivf audio.ogg
var embedded embed.FS

// syntheticPeriod is the length of the embedded clips. Each holds 120 frames of
// video with a keyframe every 60, or 200 Opus packets.
const syntheticPeriod = 4 * time.Second

// Synthetic returns the embedded test pattern with sound, in H264 or VP8: three
// sizes (320x180, 640x360, 1280x720) for simulcast, else the largest.
func Synthetic(codec Codec, simulcast bool) (*Clip, error) {
	var ext string
	switch codec {
	case H264:
		ext = ".h264"
	case VP8:
		ext = ".ivf"
	default:
		return nil, fmt.Errorf("there is no embedded clip in %s (h264, vp8)", codec)
	}
	names := []string{"f"}
	if simulcast {
		names = []string{"q", "h", "f"}
	}
	clip := &Clip{Period: syntheticPeriod}
	for _, name := range names {
		part, err := openEmbedded(name, ext)
		if err != nil {
			return nil, err
		}
		clip.Layers = append(clip.Layers, part.Layers...)
	}
	sound, err := openEmbedded("audio", ".ogg")
	if err != nil {
		return nil, err
	}
	clip.Audio = sound.Audio
	return clip, nil
}

func openEmbedded(name, ext string) (*Clip, error) {
	raw, err := embedded.ReadFile(name + ext)
	if err != nil {
		return nil, err
	}
	clip, err := parse(ext, raw)
	if err != nil {
		return nil, fmt.Errorf("embedded %s%s: %w", name, ext, err)
	}
	return clip, nil
}
