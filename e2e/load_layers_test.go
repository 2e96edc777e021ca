package e2e

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// headBytes is how much of a payload tells it from all others.
const headBytes = 64

// origin is where in the test pattern a payload comes from.
type origin struct {
	layer, frame int
	first, key   bool
}

// origins maps the heads of payloads to their origin. What is not unique is left
// out.
func origins(t *testing.T, clip *clips.Clip) map[string]origin {
	t.Helper()
	known := map[string]origin{}
	twice := map[string]bool{}
	for l, layer := range clip.Layers {
		var payloader rtp.Payloader = &codecs.H264Payloader{}
		if layer.Codec == clips.VP8 {
			payloader = &codecs.VP8Payloader{EnablePictureID: true}
		}
		for f := range layer.Len() {
			frame, err := layer.Frame(f)
			if err != nil {
				t.Fatal(err)
			}
			for n, payload := range payloader.Payload(1<<15, frame) {
				h := head(layer.Codec, payload)
				if _, ok := known[h]; ok {
					twice[h] = true
				}
				idr := layer.Codec == clips.H264 && payload[0]&0x1f == 5 // after parameter sets, which all keyframes share
				known[h] = origin{layer: l, frame: f, first: n == 0 || idr, key: layer.Key(f)}
			}
		}
	}
	for h := range twice {
		delete(known, h)
	}
	return known
}

// head is the beginning of what the encoder made: a server may rewrite the VP8
// payload descriptor, and how a NAL unit is cut is the sender's choice.
func head(codec clips.Codec, payload []byte) string {
	if codec == clips.VP8 {
		var p codecs.VP8Packet
		if body, err := p.Unmarshal(payload); err == nil && p.S == 1 {
			return string(body[:min(headBytes, len(body))])
		}
		return ""
	}
	if len(payload) > 2 && payload[0]&0x1f == 28 { // FU-A
		if payload[1]&0x80 == 0 {
			return "" // not the start of the unit
		}
		payload = append([]byte{payload[0]&0xe0 | payload[1]&0x1f}, payload[2:]...)
	}
	return string(payload[:min(headBytes, len(payload))])
}

// layerLog notes the order of frames that a viewer gets.
type layerLog struct {
	codec clips.Codec
	known map[string]origin

	mu       sync.Mutex
	last     origin
	any      bool
	frames   int
	switches int
	bad      []string
}

func (l *layerLog) packet(kind, _ string, p *rtp.Packet) {
	if kind != "video" || len(p.Payload) == 0 {
		return
	}
	o, ok := l.known[head(l.codec, p.Payload)]
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.any && o.layer != l.last.layer {
		l.switches++
		if !o.key || !o.first {
			l.bad = append(l.bad, fmt.Sprintf("frame %d: layer %d to %d in the middle of pictures (%+v after %+v)", l.frames, l.last.layer, o.layer, o, l.last))
		}
	}
	if !l.any || o.layer != l.last.layer || o.frame != l.last.frame {
		l.frames++
	}
	l.any, l.last = true, o
}

// TestLayerSwitches changes the layer at random times. Each switch starts with a
// keyframe, and the stream of packets has no seam.
func TestLayerSwitches(t *testing.T) {
	t.Parallel()
	const times = 20
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			node := startNode(t)
			clip := pattern(t, codec, true)
			publishClip(t, client.PublisherConfig{URL: node.URL + "/whip/demo", Clip: clip, KeyframesOnRequest: true})
			node.live(t, "demo", 3)
			log := &layerLog{codec: codec, known: origins(t, clip)}
			v, err := client.Watch(t.Context(), client.ViewerConfig{URL: node.URL + "/whep/demo", NACK: true, HTTP: clientHTTP(t), OnPacket: log.packet})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = v.Close() }()
			within(t, patience, "a start", func() bool { return v.Stats().Video.Frames > 0 })
			random := rand.New(rand.NewPCG(1, 2))
			rids := []string{"q", "h", "f"}
			chosen := 2
			for range times {
				chosen = (chosen + 1 + random.IntN(2)) % 3
				if err := v.SelectLayer(t.Context(), client.Layer{RID: rids[chosen]}); err != nil {
					t.Fatal(err)
				}
				frames := v.Stats().Video.Frames + 1 + random.Uint64N(25)
				within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > frames })
			}
			within(t, patience, "the last choice", func() bool {
				log.mu.Lock()
				defer log.mu.Unlock()
				return log.last.layer == chosen
			})
			want := clip.Layers[chosen]
			within(t, patience, "its size", func() bool { return v.Stats().Video.Width == want.Width })
			s := v.Stats()
			if s.Video.Lost+s.Audio.Lost != 0 || s.Video.Breaks.Total()+s.Audio.Breaks.Total() != 0 || s.Video.Incomplete != 0 {
				t.Errorf("video %+v\naudio %+v", s.Video, s.Audio)
			}
			log.mu.Lock()
			defer log.mu.Unlock()
			for _, b := range log.bad {
				t.Error(b)
			}
			if log.switches < times/4 || log.frames < 50 {
				t.Errorf("only %d switches in %d frames", log.switches, log.frames)
			}
			t.Logf("%d choices, %d switches, %d frames", times, log.switches, log.frames)
			if err := v.SelectLayer(t.Context(), client.Layer{RID: "none"}); err == nil {
				t.Error("an unknown layer is accepted")
			}
		})
	}
}

// TestSimulcastRestarts starts and stops simulcast publishers at every stage of
// their life. One viewer stays for all of them.
func TestSimulcastRestarts(t *testing.T) {
	t.Parallel()
	const rounds = 12
	for _, codec := range []clips.Codec{clips.H264, clips.VP8} {
		t.Run(string(codec), func(t *testing.T) {
			t.Parallel()
			node := startNode(t)
			clip := pattern(t, codec, true)
			shared := clientHTTP(t)
			var viewer *loadViewer
			for round := range rounds {
				var p *client.Publisher
				since := time.Now()
				within(t, patience, fmt.Sprintf("publisher %d is let in", round), func() bool {
					var err error
					p, err = client.Publish(t.Context(), client.PublisherConfig{URL: node.URL + "/whip/demo", Clip: clip, HTTP: shared})
					return err == nil
				})
				switch round % 4 {
				case 0: // all layers, and pictures at the viewer
					node.live(t, "demo", 3)
					if viewer == nil {
						viewer = watchClip(t, node.URL+"/whep/demo", 1)[0]
					}
					within(t, patience, fmt.Sprintf("a picture of publisher %d", round), func() bool { return !viewer.keyAfter(since).IsZero() })
				case 1: // as soon as it is connected
					<-p.Connected()
				case 2: // with the first packets on their way
					within(t, patience, "packets", func() bool { return p.Stats().Packets > 20 })
				case 3: // before it is connected
				}
				if err := p.Close(); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			}
			clean(t, []*loadViewer{viewer})
		})
	}
}
