//go:build linux

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluice-live/sluice/e2e/netwire"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// Shorthands for the recorded side of the player.
const (
	mode      = element + ".sides.mode"
	playsHLS  = element + ".sides.recorded"
	capture   = element + ".sides.director.capture"
	liveTime  = element + ".sides.director.liveCapture"
	hasPast   = "!" + inside + ".querySelector('.timeline').hidden"
	seekBar   = inside + ".querySelector('.seek')"
	hlsHeight = element + ".sides.hls.videoHeight"
)

// gaps keeps the longest time without a new picture on the side that is shown,
// and the greatest step back in capture time. A time in which the page itself stood
// still, since its machine did, is no time without a picture.
const gaps = `
window.gaps = {worst: 0, back: 0, black: 0, swaps: [], last: performance.now(), seen: 0, on: true};
(() => {
  let beat = performance.now(), awake = beat;
  const here = () => {
    const now = performance.now();
    if (now - beat > 300) awake = now;
    beat = now;
  };
  setInterval(here, 50);
  const player = document.querySelector('live-player');
  player.addEventListener('fallback', (ev) => window.gaps.swaps.push(ev.detail.mode));
  for (const video of [player.sides.rtc, player.sides.hls]) {
    const note = (now) => {
      video.requestVideoFrameCallback(note);
      here();
      if (player.video !== video || !window.gaps.on) return;
      window.gaps.worst = Math.max(window.gaps.worst, now - Math.max(window.gaps.last, awake));
      window.gaps.last = now;
      if (!video.videoWidth) window.gaps.black++;
      const at = player.sides.director.capture;
      if (at) {
        window.gaps.back = Math.max(window.gaps.back, window.gaps.seen - at);
        window.gaps.seen = at;
      }
    };
    video.requestVideoFrameCallback(note);
  }
})();`

// timing is what pictures with a clock say of the side that is shown: how old they
// are, and how far their clock is from the capture time that the player gives
// them, in milliseconds: the same on both sides when they share a timeline.
type timing struct {
	Latencies []float64
	Offset    float64
}

func (s timing) at(q float64) float64 { return s.Latencies[int(q*float64(len(s.Latencies)-1))] }

// readTiming reads three seconds of pictures.
func readTiming(b *tab) timing {
	b.t.Helper()
	s := eval[timing](b, `(async () => {
  const player = document.querySelector('live-player');
  const Latencies = [], offsets = [];
  for (let i = 0; i < 90; i++) {
    const sample = await player.readClock().catch(() => null);
    if (sample) Latencies.push(sample.latency);
    if (sample) offsets.push(sample.time - player.sides.director.capture);
  }
  const sort = (all) => all.sort((a, b) => a - b);
  return {Latencies: sort(Latencies), Offset: sort(offsets)[Math.floor(offsets.length / 2)] ?? 0};
})()`)
	if len(s.Latencies) < 30 {
		b.t.Fatalf("only %d of 90 frames could be read", len(s.Latencies))
	}
	return s
}

type gapReport struct {
	Worst, Back float64 // ms; of times without a new picture, and of steps back in capture time
	Black       int
	Swaps       []string
}

func readGaps(b *tab) gapReport {
	b.t.Helper()
	return eval[gapReport](b, "(() => { const {worst, back, black, swaps} = window.gaps; Object.assign(window.gaps, {worst: 0, back: 0}); return {worst, back, black, swaps}; })()")
}

// TestBrowserFallsBack blocks UDP to a viewer in the middle of a show and frees
// it again: the picture goes on by LL-HLS and returns to WebRTC. It prints the
// freeze of each change and the latency of LL-HLS, read from a clock in the
// picture. HLS_PART sets the length of parts.
func TestBrowserFallsBack(t *testing.T) {
	part := cmp.Or(os.Getenv("HLS_PART"), "200ms")
	free := netwire.Settings{Delay: 5 * time.Millisecond}
	blocked := netwire.Settings{Delay: 5 * time.Millisecond, NoUDP: true}
	wire := openWire(t, free)
	n := nodeOn(t, wire, transcodes, "record.part="+part, "media.tcp=false")
	camera := newBrowser(t, chromedp.Flag("unsafely-treat-insecure-origin-as-secure", n.URL))
	publishClock(camera, n)
	b := farBrowser(t, wire)
	b.open(n.URL + "/watch/clock")
	b.until("WebRTC plays", state+" === 'live' && "+decoded+" > 90")
	b.until("there is a past", hasPast+" && "+capture+" > 0")
	b.exec(gaps)
	direct := readTiming(b)
	before := readGaps(b)

	t.Run("blocked and freed", func(t *testing.T) {
		b := b.in(t)
		wire.Set(blocked)
		b.until("LL-HLS stands in", playsHLS+" && "+mode+" === 'fallback'")
		b.until("it goes on", element+".video.currentTime > 0 && performance.now() - window.gaps.last < 300")
		out := readGaps(b)
		b.until("the page says that the stream is live", "document.querySelector('.pill').dataset.state === 'live'")
		b.until("it is at the live edge", element+".sides.rewind.latency < 2 && "+liveTime+" > 0")
		recorded := readTiming(b)
		away := readGaps(b)
		wire.Set(free)
		b.until("WebRTC is back", "!"+playsHLS+" && "+mode+" === 'live'")
		grows(b, "pictures after", decoded)
		back := readGaps(b)
		t.Logf("longest time without a picture: %.0f ms before, %.0f ms when UDP was blocked, %.0f ms by LL-HLS, %.0f ms when it was freed", before.Worst, out.Worst, away.Worst, back.Worst)
		t.Logf("glass to glass by LL-HLS with parts of %s p50 %.0f ms, p95 %.0f ms, by WebRTC p50 %.0f ms", part, recorded.at(0.5), recorded.at(0.95), direct.at(0.5))
		t.Logf("clock in the picture less capture time: %.0f ms by WebRTC, %.0f ms by LL-HLS", direct.Offset, recorded.Offset)
		if off := recorded.Offset - direct.Offset; off > 1000 || off < -1000 {
			t.Errorf("the two sides are %.0f ms apart on one timeline", off)
		}
		out.check(t)
		back.check(t)
		if away.Black > 0 || away.Back > 200 {
			t.Errorf("by LL-HLS: %+v", away)
		}
	})
	t.Run("again and again", func(t *testing.T) {
		b := b.in(t)
		for range 3 {
			wire.Set(blocked)
			b.until("pictures stop, or LL-HLS stands in", playsHLS+" || performance.now() - window.gaps.last > 200")
			wire.Set(free)
			from := eval[float64](b, decoded)
			b.until("packets come", fmt.Sprintf("%s > %f", decoded, from))
		}
		b.until("WebRTC is back", "!"+playsHLS+" && "+mode+" === 'live'")
		grows(b, "pictures after", decoded)
		r := readGaps(b)
		t.Logf("longest time without a picture: %.0f ms; greatest step back %.0f ms; changes: %v", r.Worst, r.Back, r.Swaps)
		r.check(t)
	})
	t.Run("live from the past", func(t *testing.T) { returnsFromThePast(b.in(t), wire, free, blocked) })
	t.Run("sound in a frame", func(t *testing.T) { soundStays(t, wire, n.URL+"/embed/clock", free, blocked) })
	t.Run("never connected", func(t *testing.T) {
		b := b.in(t)
		wire.Set(blocked)
		b.open(n.URL + "/watch/clock")
		b.until("LL-HLS stands in", playsHLS+" && "+mode+" === 'fallback'")
		b.until("it is at the live edge", element+".sides.hls.currentTime > 3 && "+element+".sides.rewind.latency < 2")
		s := readTiming(b)
		t.Logf("glass to glass by LL-HLS with parts of %s: p50 %.0f ms, p95 %.0f ms", part, s.at(0.5), s.at(0.95))
		if s.at(0.5) > 5000 { // the target is 1 s with parts of 200 ms, 2 s with 500 ms
			t.Errorf("LL-HLS is %.0f ms behind", s.at(0.5))
		}
	})
	t.Run("the end of the show", func(t *testing.T) { endsByHLS(b.in(t), camera) })
}

// check holds what must be so however busy the machine is; the target for a freeze
// is 500 ms.
func (r gapReport) check(t testing.TB) {
	t.Helper()
	if r.Worst > 3000 {
		t.Errorf("the picture froze for %.0f ms", r.Worst)
	}
	if r.Back > 200 {
		t.Errorf("the picture jumped back by %.0f ms", r.Back)
	}
	if r.Black > 0 {
		t.Error("a black picture was shown")
	}
}

// publishClock publishes one layer of H.264 with a clock in the picture.
func publishClock(camera *tab, n *running) {
	camera.t.Helper()
	camera.open(n.URL + "/")
	camera.exec("Object.entries({codec: 'H264', simulcast: 'false', height: '360'}).forEach(([k, v]) => localStorage.setItem('sluice.' + k, v))")
	camera.open(n.URL + "/publish/clock?clock=1")
	camera.exec(goLive)
	camera.until("one layer is sent", "studio.publisher?.stats?.layers.filter((l) => l.active).length >= 1")
}

// TestBrowserRewinds goes back in a running show and returns to live, with the
// H.264 of an encoder that sends a keyframe each two seconds.
func TestBrowserRewinds(t *testing.T) {
	t.Parallel()
	n := startNode(t, transcodes, "record.part=200ms")
	publish := func() *client.Publisher {
		return publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: pattern(t, clips.H264, true)})
	}
	first := publish()
	n.live(t, "demo", 3)
	say := said(t, n)
	say("first words")
	b := newBrowser(t)
	chat := &chatting{b}
	b.open(n.URL + "/watch/demo")
	b.until("WebRTC plays", state+" === 'live' && "+decoded+" > 30")
	b.until("there are ten seconds of past", hasPast+" && Number("+seekBar+".max) > 10")
	t.Run("quality", func(t *testing.T) { qualityStays(b.in(t)) })
	say("later words")
	chat.sees("both messages", "first words", "later words")
	b.exec(gaps)

	t.Run("seek bar", func(t *testing.T) {
		b.exec(fmt.Sprintf(`const bar = %s; bar.focus(); bar.value = String(Number(bar.max) - 8);
			window.sought = {at: performance.now(), to: %s - 8000};
			bar.dispatchEvent(new Event('input')); bar.dispatchEvent(new Event('change'));`, seekBar, liveTime))
		b.until("the past plays", playsHLS+" && "+mode+" === 'behind' && "+hlsHeight+" > 0")
		b.exec(seekBar + ".blur()")
		b.do(chromedp.KeyEvent("k"))
		b.until("k pauses", element+".sides.hls.paused")
		off := eval[[]float64](b, "["+capture+" - window.sought.to, performance.now() - window.sought.at]")
		if off[0] < -4000 || off[0] > 2000+off[1] { // it has played since
			t.Errorf("asked for 8 s ago, got %.1f s later after %.1f s", off[0]/1000, off[1]/1000)
		}
		b.until("the bar says how far back", "!['', 'Live'].includes("+seekBar+".getAttribute('aria-valuetext') ?? '')")
		accessible(b)
	})
	t.Run("thumbnails", func(t *testing.T) {
		b := b.in(t)
		poll(t, patience, 100*time.Millisecond, "a picture of that moment is shown", func() bool {
			b.exec(`const bar = ` + seekBar + `, box = bar.getBoundingClientRect();
				bar.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + box.width / 3, clientY: box.top}));`)
			return eval[bool](b, inside+".querySelector('.thumb').naturalWidth > 0 && !"+inside+".querySelector('.thumb').hidden")
		})
		b.exec(seekBar + ".dispatchEvent(new PointerEvent('pointerleave'))")
	})
	t.Run("chat of the past", func(t *testing.T) { chatOfThePast(chat) })
	t.Run("keys", func(t *testing.T) {
		from := eval[float64](b, capture)
		b.do(chromedp.KeyEvent("k"))
		b.until("k plays on", fmt.Sprintf("!%s.sides.hls.paused && %s > %f", element, capture, from+1500))
		b.until("the past is long enough", fmt.Sprintf("%s > %s.sides.rewind.range.from + 5000", capture, element))
		b.do(chromedp.KeyEvent("k")) // so that the clock stands still while it is compared
		b.until("k pauses", element+".sides.hls.paused")
		from = eval[float64](b, capture)
		b.do(chromedp.KeyEvent("j"))
		b.until("j goes back", fmt.Sprintf("%s < %f", capture, from-3000))
		b.do(chromedp.KeyEvent("k"))
		b.until("k plays on", "!"+element+".sides.hls.paused")
		b.do(chromedp.KeyEvent("<"))
		b.until("< plays slower", element+".sides.hls.playbackRate === 0.75")
		b.do(chromedp.KeyEvent(">"))
		b.until("> plays faster", element+".sides.hls.playbackRate === 1")
	})
	t.Run("live", func(t *testing.T) {
		b.exec(inside + ".querySelector('.go-live-now').click()")
		b.until("WebRTC is shown again", "!"+playsHLS+" && "+mode+" === 'live'")
		grows(b, "pictures", decoded)
		chat.until("the chat is of now", chatPanel+".dataset.replay === 'false' && "+chatTexts+".length === 2")
	})
	if report := readGaps(b); report.Black > 0 {
		t.Error("a black picture was shown")
	} else {
		t.Logf("longest time without a picture, seeking included: %.0f ms", report.Worst)
	}
	t.Run("catches up", func(t *testing.T) { catchesUp(b.in(t), first, publish) })
	t.Run("chat of a recording", func(t *testing.T) {
		chatOfARecording(chat, n.URL+"/watch/demo?recording="+eval[string](b, element+".sides.rewind.recording"))
	})
}

// catchesUp leaves the viewer without a publisher for a while, and then lets it
// choose: what it missed, or live.
func catchesUp(b *tab, first *client.Publisher, publish func() *client.Publisher) {
	t := b.t
	t.Helper()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b.until("the card says since when", state+" === 'paused' && !"+inside+".querySelector('.panel-timer').hidden")
	left := eval[float64](b, element+".sides.director.capture")
	b.until("six seconds have passed", fmt.Sprintf("Date.now() - %f > 6500", left))
	publish()
	b.until("the viewer is asked", "!"+inside+".querySelector('.return-card').hidden && "+state+" === 'live'")
	accessible(b)
	b.exec("window.sought = performance.now(); " + inside + ".querySelector('.return-card .panel-button').click()")
	b.until("it sees what it missed", playsHLS+" && "+mode+" === 'behind'")
	if at := eval[[]float64](b, "["+capture+", performance.now() - window.sought]"); at[0] < left-3000 || at[0] > left+5000+at[1] {
		t.Errorf("left at %.0f, goes on at %.0f after %.0f ms", left, at[0], at[1])
	}
	b.until("it goes on behind the time without a publisher", fmt.Sprintf("%s > %f", capture, left+6500))
	b.exec(inside + ".querySelector('.go-live-now').click()")
	b.until("it is live again", "!"+playsHLS+" && "+mode+" === 'live'")
}
