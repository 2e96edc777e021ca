package client

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/internal/client/clips"
)

// nowhere is a webrtc.TrackLocalWriter.
type nowhere struct{}

func (nowhere) WriteRTP(_ *rtp.Header, payload []byte) (int, error) { return len(payload), nil }
func (nowhere) Write(b []byte) (int, error)                         { return len(b), nil }

// TestOneKeyframeForAllLayers: whichever layer is asked, and whenever between the frames of two
// layers, all layers have a keyframe at the same media time.
func TestOneKeyframeForAllLayers(t *testing.T) {
	clip := synthetic(t, clips.H264, true)
	for _, asked := range []int{0, 1, 2} {
		for after := range 6 {
			p := &pacer{period: clip.Period, onRequest: true}
			for i := range clip.Layers {
				track, err := newOutTrack(clip.Layers[i], string(rune('a'+i)))
				if err != nil {
					t.Fatal(err)
				}
				track.wire = &wire{writer: nowhere{}}
				p.tracks = append(p.tracks, track)
			}
			keys := map[time.Duration]int{}
			for sent := range 60 {
				if sent == 30+after {
					p.tracks[asked].wantKey.Store(true)
				}
				if sent == 31+after {
					p.tracks[(asked+1)%3].wantKey.Store(true)
				}
				track := p.first()
				at := track.due()
				before := track.keyframes.Load()
				if err := p.sendNext(track); err != nil {
					t.Fatal(err)
				}
				if track.keyframes.Load() > before && at > 0 {
					keys[at]++
				}
			}
			if len(keys) != 1 {
				t.Errorf("layer %d asked after %d frames: keyframes at %v", asked, 30+after, keys)
			}
			for at, layers := range keys {
				if layers != 3 {
					t.Errorf("layer %d asked after %d frames: %d layers have a keyframe at %v", asked, 30+after, layers, at)
				}
			}
		}
	}
}
