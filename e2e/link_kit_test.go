//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// rung is a layer of the ladder that the tests of bad links publish.
type rung struct {
	rid           string
	width, height int
	bitrate       int
}

// ladder is what a browser sends as simulcast of a 720p camera, smallest first.
func ladder() []rung {
	return []rung{{"q", 320, 180, 150_000}, {"h", 640, 360, 500_000}, {"f", 1280, 720, 2_500_000}}
}

// laddered encodes four seconds of noise that fills the rates of the ladder.
func laddered(t testing.TB) *clips.Clip {
	t.Helper()
	clip := pattern(t, clips.H264, true)
	clip.Layers = nil
	for _, r := range ladder() {
		path := filepath.Join(t.TempDir(), r.rid+".h264")
		rate := strconv.Itoa(r.bitrate)
		source := fmt.Sprintf("testsrc2=size=%dx%d:rate=30:duration=4,noise=alls=24:allf=t,format=yuv420p", r.width, r.height)
		encode := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source, "-an",
			"-c:v", "libx264", "-profile:v", "baseline", "-level", "3.1", "-preset", "ultrafast", "-bf", "0", "-refs", "1",
			"-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-b:v", rate, "-maxrate", rate, "-bufsize", strconv.Itoa(r.bitrate/2),
			"-x264-params", "sliced-threads=0:slices=1:repeat-headers=1", "-f", "h264", path)
		if out, err := encode.CombinedOutput(); err != nil {
			t.Fatalf("ffmpeg: %v\n%s", err, out)
		}
		one, err := clips.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		clip.Layers = append(clip.Layers, one.Layers...)
		clip.Period = one.Period
	}
	return clip
}

// openWire makes a namespace behind a wire; the test's end takes both away.
func openWire(t testing.TB, set netwire.Settings) *netwire.Wire {
	t.Helper()
	w, err := netwire.Open(set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// nodeOn serves a node at the near end of a wire.
func nodeOn(t testing.TB, w *netwire.Wire, settings ...string) *running {
	t.Helper()
	near := w.Near.String() + ":0"
	return startNode(t, append([]string{"http.addr=" + near, "media.addr=" + near, "auth.mode=open", "auth.allow_open=true"}, settings...)...)
}

// farBrowser starts a Chromium at the far end of a wire.
func farBrowser(t testing.TB, w *netwire.Wire, flags ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	b := newBrowser(t, append(flags, chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
		inside := exec.Command("ip", append([]string{"netns", "exec", w.Namespace, cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path, cmd.Args, cmd.Err = inside.Path, inside.Args, inside.Err
	}))...)
	b.early(observer)
	return b
}

// observer keeps the page's peer connection, and the longest times between two
// pictures on the screen.
const observer = `
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); window.seen.pc = this; }
};
window.seen = {gap: 0, pictures: 0, last: 0, start(video) {
  const note = (now) => {
    if (this.last) this.gap = Math.max(this.gap, now - this.last);
    this.last = now;
    this.pictures++;
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}, async read() {
  const out = {gap: Math.max(this.gap, this.last ? performance.now() - this.last : 0), pictures: this.pictures};
  this.gap = 0;
  const played = {};
  for (const s of (await this.pc.getStats()).values()) {
    if (s.type === 'inbound-rtp') played[s.kind] = s.estimatedPlayoutTimestamp;
    if (s.type === 'inbound-rtp' && s.kind === 'video') Object.assign(out, {
      decoded: s.framesDecoded, delay: 1000 * s.jitterBufferDelay / s.jitterBufferEmittedCount, held: this.pc.getReceivers().map((r) => r.jitterBufferTarget), dropped: s.framesDropped, freezes: s.freezeCount, frozen: s.totalFreezesDuration,
      height: s.frameHeight, lost: s.packetsLost, packets: s.packetsReceived, bytes: s.bytesReceived, nacks: s.nackCount, plis: s.pliCount,
      repaired: s.retransmittedPacketsReceived, fec: s.fecPacketsReceived || 0, repairedBytes: s.retransmittedBytesReceived,
    });
    if (s.type === 'inbound-rtp' && s.kind === 'audio') Object.assign(out, {
      audioLost: s.packetsLost, concealed: s.concealedSamples, sound: s.totalSamplesReceived, slowed: s.insertedSamplesForDeceleration, hurried: s.removedSamplesForAcceleration,
    });
  }
  if (played.audio && played.video) out.ahead = played.audio - played.video;
  return out;
}};
`

// sight is what a browser says of the video it shows.
type sight struct {
	Gap           float64 // longest time between two pictures since the last reading, ms
	Pictures      int
	Decoded       int
	Dropped       int
	Freezes       int
	Frozen        float64 // seconds
	Height        int
	Lost          int
	Packets       int
	Bytes         int
	NACKs         int
	PLIs          int
	Repaired      int
	RepairedBytes int
	FEC           int // repair packets
	AudioLost     int
	Concealed     float64   // samples of sound that were made up
	Sound         float64   // samples of sound
	Delay         float64   // of the jitter buffer, mean, ms
	Ahead         float64   // what is heard of what is seen, ms
	Slowed        float64   // samples of sound that were added to play later
	Hurried       float64   // and taken away
	Held          []float64 // what the player asks of the jitter buffers of sound and picture, ms
}

// moment is a sample of both ends.
type moment struct {
	At     time.Duration // since the recording began
	Viewer sluice.Viewer
	Sight  sight
}

// recording samples a viewer until the test stops it.
type recording struct {
	began time.Time
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu      sync.Mutex
	moments []moment
	stalls  []stall
}

const sampling = 200 * time.Millisecond

// record follows the only viewer of a stream, in a page with the observer.
func record(t testing.TB, n *running, b *tab, stream string) *recording {
	t.Helper()
	b.exec("window.seen.start(" + element + ".video)")
	ctx, cancel := context.WithCancel(t.Context())
	r := &recording{began: time.Now(), stop: cancel}
	r.ended.Go(func() { r.watch(ctx) })
	r.ended.Go(func() {
		last := r.now()
		tick := time.NewTicker(sampling)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			m := moment{At: time.Since(r.began)}
			v, err := viewerOf(ctx, n, stream)
			if err == nil {
				m.Viewer = v
				m.Sight, err = chromedp.Run(b.ctx, chromedp.Evaluate[sight]("window.seen.read()", chromedp.EvalAwaitPromise))
			}
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("sample: %v", err)
				}
				return
			}
			r.late(last, r.now(), 2*sampling+stallFrom)
			last = m.At
			r.mu.Lock()
			r.moments = append(r.moments, m)
			r.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); r.ended.Wait() })
	return r
}

// viewerOf asks the control API for the only viewer.
func viewerOf(ctx context.Context, n *running, stream string) (sluice.Viewer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/api/v1/streams/"+stream+"/viewers", http.NoBody)
	if err != nil {
		return sluice.Viewer{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return sluice.Viewer{}, err
	}
	defer res.Body.Close()
	var list struct{ Items []sluice.Viewer }
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return sluice.Viewer{}, err
	}
	if len(list.Items) != 1 {
		return sluice.Viewer{}, fmt.Errorf("%d viewers of %s", len(list.Items), stream)
	}
	return list.Items[0], nil
}

// now is the time of the recording.
func (r *recording) now() time.Duration { return time.Since(r.began) }

// between returns the samples of a time.
func (r *recording) between(from, to time.Duration) []moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []moment
	for _, m := range r.moments {
		if m.At >= from && m.At < to {
			out = append(out, m)
		}
	}
	return out
}

// last returns the newest sample; ok is false before the first.
func (r *recording) last() (m moment, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.moments) == 0 {
		return m, false
	}
	return r.moments[len(r.moments)-1], true
}

// until waits for a sample and returns its time.
func (r *recording) until(t testing.TB, limit time.Duration, what string, ok func(moment) bool) time.Duration {
	t.Helper()
	var at time.Duration
	poll(t, limit, sampling/2, what, func() bool {
		m, any := r.last()
		at = m.At
		return any && ok(m)
	})
	return at
}

// wait lets time pass.
func (r *recording) wait(t testing.TB, d time.Duration) {
	t.Helper()
	end := r.now() + d
	r.until(t, d+unhurried, "more samples", func(m moment) bool { return m.At >= end })
}

// goesOn waits for more pictures.
func (r *recording) goesOn(t testing.TB) {
	t.Helper()
	now, _ := r.last()
	r.until(t, unhurried, "more pictures", func(m moment) bool { return m.Sight.Decoded > now.Sight.Decoded+10 })
}

// worst returns the longest time without a new picture, and how often the layer
// changed.
func worst(moments []moment) (gap time.Duration, changes int) {
	layer := ""
	for _, m := range moments {
		gap = max(gap, time.Duration(m.Sight.Gap*float64(time.Millisecond)))
		if layer != "" && m.Viewer.Layer != layer {
			changes++
		}
		layer = m.Viewer.Layer
	}
	return gap, changes
}

func heightOf(rid string) int {
	for _, r := range ladder() {
		if r.rid == rid {
			return r.height
		}
	}
	return 0
}

// String is a table of the samples.
func (r *recording) String() string {
	r.mu.Lock()
	stalls := fmt.Sprint("stalls: ", r.stalls, "\n")
	r.mu.Unlock()
	return stalls + table(r.between(0, time.Hour))
}

func table(moments []moment) string {
	var b strings.Builder
	var before moment
	for _, m := range moments {
		fmt.Fprintf(&b, "%6.1f %2s>%-2s %s est %8d rtt %4.0f loss %4.2f | %4dp fps %3.0f gap %5.0f frz %2d %5.2f kbit %5.0f nack %4d rep %4d lost %3d pli %d buf %3.0f ahead %4.0f held %v made up %6.0f slowed %6.0f hurried %6.0f | %s\n",
			m.At.Seconds(), m.Viewer.Layer, m.Viewer.Target, m.Viewer.EstimateBy, m.Viewer.Estimate, m.Viewer.RTTMS, m.Viewer.Loss,
			m.Sight.Height, float64(m.Sight.Decoded-before.Sight.Decoded)/max((m.At-before.At).Seconds(), 0.01), m.Sight.Gap, m.Sight.Freezes, m.Sight.Frozen,
			float64(m.Sight.Bytes-before.Sight.Bytes)*8/1000/max((m.At-before.At).Seconds(), 0.01),
			m.Sight.NACKs, m.Sight.Repaired, m.Sight.Lost, m.Sight.PLIs, m.Sight.Delay, m.Sight.Ahead, m.Sight.Held, m.Sight.Concealed, m.Sight.Slowed, m.Sight.Hurried, m.Viewer.Reason)
		before = m
	}
	return b.String()
}
