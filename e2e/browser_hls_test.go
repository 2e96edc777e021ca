//go:build linux

package e2e

import (
	"fmt"
	"slices"
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
	steady    = "Math.abs(" + element + ".sides.hls.playbackRate - 1) < 0.05" // neither catching up nor short of media
)

// gaps keeps the longest time without a new picture on the side that is shown,
// and the greatest step back in capture time.
const gaps = `
window.gaps = {worst: 0, back: 0, black: 0, swaps: [], last: performance.now(), seen: 0, on: true};
(() => {
  const player = document.querySelector('live-player');
  player.addEventListener('fallback', (ev) => window.gaps.swaps.push(ev.detail.mode));
  for (const video of [player.sides.rtc, player.sides.hls]) {
    const note = (now) => {
      video.requestVideoFrameCallback(note);
      if (player.video !== video || !window.gaps.on) return;
      window.gaps.worst = Math.max(window.gaps.worst, now - window.gaps.last);
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

// clockOffset is how far the clock in the picture is from the capture time that
// the player gives it, in milliseconds: the same on both sides when they share a
// timeline.
const clockOffset = `(async () => {
  const player = document.querySelector('live-player');
  const out = [];
  for (let i = 0; i < 60; i++) {
    const sample = await player.readClock().catch(() => null);
    if (sample) out.push(sample.time - player.sides.director.capture);
  }
  return out.sort((a, b) => a - b)[Math.floor(out.length / 2)];
})()`

type gapReport struct {
	Worst, Back float64 // ms
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
// picture.
func TestBrowserFallsBack(t *testing.T) {
	wire := openWire(t, netwire.Settings{Delay: 5 * time.Millisecond})
	n := nodeOn(t, wire, "record.part=200ms", "media.tcp=false")
	camera := newBrowser(t, chromedp.Flag("unsafely-treat-insecure-origin-as-secure", n.URL))
	publishClock(camera, n)
	b := farBrowser(t, wire)
	b.open(n.URL + "/watch/clock")
	b.until("WebRTC plays", state+" === 'live' && "+decoded+" > 90")
	b.until("there is a past", hasPast+" && "+capture+" > 0")
	b.exec(gaps)
	grows(b, "pictures before", decoded)
	direct := eval[[]float64](b, sampleClock)
	directOffset := eval[float64](b, clockOffset)
	before := readGaps(b)

	wire.Set(netwire.Settings{Delay: 5 * time.Millisecond, NoUDP: true})
	b.until("LL-HLS stands in", playsHLS+" && "+mode+" === 'fallback'")
	b.until("it goes on", element+".video.currentTime > 0 && performance.now() - window.gaps.last < 300")
	out := readGaps(b)
	b.until("it is at the live edge", steady+" && "+liveTime+" > 0")
	latencies := eval[[]float64](b, sampleClock)
	hlsOffset := eval[float64](b, clockOffset)
	away := readGaps(b)

	wire.Set(netwire.Settings{Delay: 5 * time.Millisecond})
	b.until("WebRTC is back", "!"+playsHLS+" && "+mode+" === 'live'")
	grows(b, "pictures after", decoded)
	back := readGaps(b)

	slices.Sort(latencies)
	slices.Sort(direct)
	if len(latencies) < 60 || len(direct) < 60 {
		t.Fatalf("only %d and %d of 240 frames could be read", len(latencies), len(direct))
	}
	at := func(q float64) float64 { return latencies[int(q*float64(len(latencies)-1))] }
	t.Logf("longest time without a picture: %.0f ms before, %.0f ms when UDP was blocked, %.0f ms by LL-HLS, %.0f ms when it was freed", before.Worst, out.Worst, away.Worst, back.Worst)
	t.Logf("LL-HLS with 200 ms parts: glass to glass p50 %.0f ms, p95 %.0f ms; WebRTC at that time: p50 %.0f ms", at(0.5), at(0.95), direct[len(direct)/2])
	t.Logf("steps back: %.0f ms and %.0f ms; changes: %v", out.Back, back.Back, back.Swaps)
	t.Logf("clock in the picture less capture time: %.0f ms by WebRTC, %.0f ms by LL-HLS", directOffset, hlsOffset)
	if off := hlsOffset - directOffset; off > 1000 || off < -1000 {
		t.Errorf("the two sides are %.0f ms apart on one timeline", off)
	}
	if out.Worst > 3000 || back.Worst > 3000 { // the target is 500 ms on a machine that does nothing else
		t.Errorf("the picture froze for %.0f ms and %.0f ms", out.Worst, back.Worst)
	}
	if out.Back > 200 || back.Back > 200 {
		t.Errorf("the picture jumped back by %.0f ms and %.0f ms", out.Back, back.Back)
	}
	if out.Black+away.Black+back.Black > 0 {
		t.Error("a black picture was shown")
	}
	if p50 := at(0.5); p50 > 4000 { // the target is 1 s
		t.Errorf("LL-HLS is %.0f ms behind", p50)
	}
}

// TestBrowserRecordedLatency measures glass to glass where only LL-HLS reaches the
// viewer, by a clock in the picture. It prints the figures; the machine may be busy.
func TestBrowserRecordedLatency(t *testing.T) {
	for part, target := range map[string]float64{"200ms": 1000, "500ms": 2000} {
		t.Run(part, func(t *testing.T) {
			wire := openWire(t, netwire.Settings{Delay: 5 * time.Millisecond, NoUDP: true})
			n := nodeOn(t, wire, "record.part="+part, "media.tcp=false")
			camera := newBrowser(t, chromedp.Flag("unsafely-treat-insecure-origin-as-secure", n.URL))
			publishClock(camera, n)
			b := farBrowser(t, wire)
			b.open(n.URL + "/watch/clock")
			b.until("LL-HLS stands in", playsHLS+" && "+mode+" === 'fallback'")
			b.until("it is at the live edge", element+".sides.hls.currentTime > 3 && "+steady)
			samples := eval[[]float64](b, sampleClock)
			if len(samples) < 60 {
				t.Fatalf("only %d of 240 frames could be read", len(samples))
			}
			slices.Sort(samples)
			at := func(q float64) float64 { return samples[int(q*float64(len(samples)-1))] }
			t.Logf("LL-HLS with parts of %s: glass to glass p50 %.0f ms, p95 %.0f ms (target: under %.0f ms)", part, at(0.5), at(0.95), target)
			if at(0.5) > target+3000 {
				t.Errorf("LL-HLS with parts of %s is %.0f ms behind", part, at(0.5))
			}
		})
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
	n := startNode(t, "record.part=200ms")
	publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: pattern(t, clips.H264, false)})
	n.live(t, "demo", 1)
	say := said(t, n)
	say("first words")
	b := newBrowser(t)
	chat := &chatting{b}
	b.open(n.URL + "/watch/demo")
	b.until("WebRTC plays", state+" === 'live' && "+decoded+" > 30")
	b.until("there are ten seconds of past", hasPast+" && Number("+seekBar+".max) > 10")
	say("later words")
	chat.sees("both messages", "first words", "later words")
	b.exec(gaps)

	t.Run("seek bar", func(t *testing.T) {
		b.exec(fmt.Sprintf(`const bar = %s; bar.focus(); bar.value = String(Number(bar.max) - 8);
			bar.dispatchEvent(new Event('input')); bar.dispatchEvent(new Event('change'));`, seekBar))
		b.until("the past plays", playsHLS+" && "+mode+" === 'behind' && "+hlsHeight+" > 0")
		behind := eval[float64](b, liveTime+" - "+capture)
		if behind < 6000 || behind > 12_000 {
			t.Errorf("asked for 8 s ago, got %.1f s ago", behind/1000)
		}
		from := eval[float64](b, capture)
		b.until("it goes on", fmt.Sprintf("%s > %f", capture, from+1500))
		if text := eval[string](b, seekBar+".getAttribute('aria-valuetext')"); text == "" || text == "Live" {
			t.Errorf("the bar says %q", text)
		}
		accessible(b)
	})
	t.Run("chat of the past", func(t *testing.T) { chatOfThePast(chat) })
	t.Run("keys", func(t *testing.T) {
		b.exec(seekBar + ".blur()")
		b.until("the past is long enough", fmt.Sprintf("%s > %s.sides.rewind.range.from + 5000", capture, element))
		b.do(chromedp.KeyEvent("k")) // so that the clock stands still while it is compared
		b.until("k pauses", element+".sides.hls.paused")
		from := eval[float64](b, capture)
		b.do(chromedp.KeyEvent("j"))
		b.until("j goes back", fmt.Sprintf("%s < %f", capture, from-3000))
		b.do(chromedp.KeyEvent("k"))
		b.until("k plays on", "!"+element+".sides.hls.paused")
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
	t.Run("chat of a recording", func(t *testing.T) {
		chatOfARecording(chat, n.URL+"/watch/demo?recording="+eval[string](b, element+".sides.rewind.recording"))
	})
}

// TestBrowserCatchesUp leaves a viewer without a publisher for a while, and then
// lets it choose: what it missed, or live.
func TestBrowserCatchesUp(t *testing.T) {
	n := startNode(t, "record.part=200ms")
	publish := func() *client.Publisher {
		return publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: pattern(t, clips.H264, false)})
	}
	first := publish()
	n.live(t, "demo", 1)
	b := newBrowser(t)
	b.open(n.URL + "/watch/demo")
	b.until("WebRTC plays", state+" === 'live' && "+decoded+" > 30")
	b.until("there is a past", hasPast+" && "+capture+" > 0")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b.until("the card says since when", state+" === 'paused' && !"+inside+".querySelector('.panel-timer').hidden")
	left := eval[float64](b, element+".sides.director.capture")
	b.until("six seconds have passed", fmt.Sprintf("Date.now() - %f > 7000", left))
	publish()
	b.until("the viewer is asked", "!"+inside+".querySelector('.return-card').hidden && "+state+" === 'live'")
	accessible(b)
	b.exec(inside + ".querySelector('.return-card .panel-button').click()")
	b.until("it sees what it missed", playsHLS+" && "+mode+" === 'behind'")
	if at := eval[float64](b, capture); at < left-3000 || at > left+5000 {
		t.Errorf("left at %.0f, goes on at %.0f", left, at)
	}
	b.exec(inside + ".querySelector('.go-live-now').click()")
	b.until("it is live again", "!"+playsHLS+" && "+mode+" === 'live'")
}
