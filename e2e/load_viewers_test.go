package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

const loadViewers = 50

// TestFirstFrame lets many viewers join in the middle of a group of pictures,
// from a publisher that sends a keyframe every two seconds whatever it is asked.
func TestFirstFrame(t *testing.T) {
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			node := startNode(t)
			p := publishClip(t, client.PublisherConfig{URL: node.URL + "/whip/demo", Clip: pattern(t, codec, false)})
			node.live(t, "demo", 1)
			within(t, patience, "the middle of a group of pictures", func() bool {
				return p.Stats().Layers[0].Keyframes == 1 && p.Stats().Audio.Packets >= 40
			})
			viewers := watchClip(t, node.URL+"/whep/demo", loadViewers)
			var first, packet spread
			for i, v := range viewers {
				within(t, patience, fmt.Sprintf("the first frame of viewer %d", i), func() bool { return v.Stats().Video.FirstFrame > 0 })
				first = append(first, v.Stats().Video.FirstFrame)
				packet = append(packet, v.Stats().Video.FirstPacket)
			}
			t.Logf("first packet after the POST was sent: %v", packet)
			t.Logf("first frame after the POST was sent: %v", first)
			within(t, patience, "100 frames and a second keyframe for all", func() bool {
				for _, v := range viewers {
					if s := v.Stats().Video; s.Frames < 100 || s.Keyframes < 2 {
						return false
					}
				}
				return true
			})
			clean(t, viewers)
			for i, v := range viewers {
				if s := v.Stats(); s.PLIs > 0 || s.Video.Incomplete > 0 {
					t.Errorf("viewer %d asked for %d keyframes and had %d incomplete frames", i, s.PLIs, s.Video.Incomplete)
				}
			}
		})
	}
}

// TestPublisherKilled kills a publisher in the middle of its stream and starts
// it again: its viewers stay.
func TestPublisherKilled(t *testing.T) {
	binary := buildSluice(t)
	for _, codec := range []string{"h264", "vp8"} {
		t.Run(codec, func(t *testing.T) {
			node := startNode(t)
			args := []string{"publish", "--url", node.URL + "/whip/demo", "--codec", codec, "--reconnect", "--json"}
			first := startChild(t, binary, args...)
			node.live(t, "demo", 1)
			viewers := watchClip(t, node.URL+"/whep/demo", loadViewers)
			all := func(what string, ok func(*loadViewer) bool) {
				within(t, patience, what, func() bool {
					for _, v := range viewers {
						if !ok(v) {
							return false
						}
					}
					return true
				})
			}
			all("frames and sound of the first publisher", func(v *loadViewer) bool {
				s := v.Stats()
				return s.Video.Frames > 20 && s.Audio.Packets > 20
			})
			ssrcs := map[*loadViewer][2]uint32{}
			for _, v := range viewers {
				s := v.Stats()
				ssrcs[v] = [2]uint32{s.Video.SSRC, s.Audio.SSRC}
			}
			first.kill(t)
			restarted := time.Now()
			second := startChild(t, binary, args...)
			connected, ok := <-second.connected
			if !ok {
				t.Fatal("the second publisher did not connect")
			}
			all("a keyframe of the second publisher", func(v *loadViewer) bool { return !v.keyAfter(connected).IsZero() })
			var picture spread
			for _, v := range viewers {
				picture = append(picture, v.keyAfter(connected).Sub(connected))
			}
			t.Logf("second publisher connected %v after its start", connected.Sub(restarted).Round(time.Millisecond))
			t.Logf("picture after its connection: %v", picture)
			frames := map[*loadViewer]uint64{}
			for _, v := range viewers {
				frames[v] = v.Stats().Video.Frames
			}
			all("more frames", func(v *loadViewer) bool { return v.Stats().Video.Frames > frames[v]+30 })
			clean(t, viewers)
			for i, v := range viewers {
				if s := v.Stats(); ssrcs[v] != [2]uint32{s.Video.SSRC, s.Audio.SSRC} {
					t.Errorf("viewer %d: the SSRCs changed from %v", i, ssrcs[v])
				}
				select {
				case <-v.Done():
					t.Errorf("viewer %d: its session ended", i)
				default:
				}
			}
			if s, err := node.stream("demo"); err != nil || s.Viewers != loadViewers {
				t.Errorf("the node counts %d viewers, %v", s.Viewers, err)
			}
		})
	}
}

// TestSecondPublisher lets another publisher want a live stream.
func TestSecondPublisher(t *testing.T) {
	node := startNode(t)
	clip := pattern(t, clips.VP8, false)
	p := publishClip(t, client.PublisherConfig{URL: node.URL + "/whip/demo", Clip: clip})
	node.live(t, "demo", 1)
	_, err := client.Publish(t.Context(), client.PublisherConfig{URL: node.URL + "/whip/demo", Clip: clip, HTTP: clientHTTP(t)})
	var status *client.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusConflict || status.RetryAfter == 0 {
		t.Fatalf("the second publisher got %v", err)
	}
	if want := "https://sluice.live/problems/stream-busy"; status.Type != want {
		t.Errorf("type %q, want %q", status.Type, want)
	}
	if err := p.Err(); err != nil {
		t.Errorf("the first publisher: %v", err)
	}
	if _, err := client.Watch(t.Context(), client.ViewerConfig{URL: node.URL + "/whep/empty", HTTP: clientHTTP(t)}); !errors.As(err, &status) ||
		status.Status != http.StatusConflict || status.Type != "https://sluice.live/problems/stream-offline" || status.RetryAfter == 0 {
		t.Errorf("watching what nobody publishes: %v", err)
	}
}
