package client

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

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

// TestSkippedTogether: after a stall, sound and all layers go on at the same place of
// the clip.
func TestSkippedTogether(t *testing.T) {
	clip := synthetic(t, clips.H264, true)
	p := &pacer{period: clip.Period, skipped: &atomic.Uint64{}}
	for i, media := range append(slices.Clone(clip.Layers), clip.Audio) {
		track, err := newOutTrack(media, string(rune('a'+i)))
		if err != nil {
			t.Fatal(err)
		}
		track.wire = &wire{writer: nowhere{}}
		p.tracks = append(p.tracks, track)
	}
	for range 200 {
		if err := p.sendNext(p.first()); err != nil {
			t.Fatal(err)
		}
	}
	sound := p.tracks[len(p.tracks)-1]
	for _, stall := range []time.Duration{1300 * time.Millisecond, 2 * time.Second, 7777 * time.Millisecond} {
		now := p.first().due() + stall
		p.skip(now)
		for _, track := range p.tracks {
			if track.due() < now || track.due() > now+20*time.Millisecond {
				t.Errorf("%s goes on at %v, want %v", track.Kind(), track.due(), now)
			}
			if track.Kind() == webrtc.RTPCodecTypeVideo && !track.media.Key(track.cursor.next) {
				t.Errorf("after a stall the picture goes on with frame %d", track.cursor.next)
			}
			if off := (track.cursor.base - sound.cursor.base) % clip.Period; off != 0 {
				t.Errorf("%s is %v from the sound", track.Kind(), off)
			}
		}
	}
	if p.skipped.Load() != 3 {
		t.Errorf("%d skipped", p.skipped.Load())
	}
}
