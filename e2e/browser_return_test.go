//go:build linux

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluice-live/sluice/e2e/netwire"
)

const (
	label = inside + ".querySelector('.quality-label').textContent"
	tap   = inside + ".querySelector('.big')"
)

// rewind goes back by some seconds, and waits until that plays.
func rewind(b *tab, seconds int) {
	b.t.Helper()
	b.until("the past is long enough", fmt.Sprintf("%s && Number(%s.max) > %d", hasPast, seekBar, seconds+2))
	b.exec(fmt.Sprintf(`const bar = %s; bar.value = String(Number(bar.max) - %d);
		bar.dispatchEvent(new Event('input')); bar.dispatchEvent(new Event('change'));`, seekBar, seconds))
	b.until("the past plays", playsHLS+" && "+mode+" === 'behind' && "+hlsHeight+" > 0")
	from := eval[float64](b, capture)
	b.until("it goes on", fmt.Sprintf("%s > %f", capture, from+500))
}

// returnsFromThePast goes live while UDP is blocked, and again when it has just
// been freed: what is shown goes on until there is something newer.
func returnsFromThePast(b *tab, wire *netwire.Wire, free, blocked netwire.Settings) {
	t := b.t
	t.Helper()
	rewind(b, 8)
	wire.Set(blocked)
	b.until("WebRTC has no packets", state+" !== 'live'")
	readGaps(b)
	b.exec(inside + ".querySelector('.go-live-now').click(); window.gaps.seen = 0")
	b.until("LL-HLS follows the live edge", playsHLS+" && "+mode+" === 'fallback' && "+element+".sides.rewind.latency < 2")
	r := readGaps(b)
	t.Logf("live while UDP is blocked: longest time without a picture %.0f ms, greatest step back %.0f ms", r.Worst, r.Back)
	r.check(t)
	rewind(b, 8)
	wire.Set(free)
	readGaps(b)
	b.exec(inside + ".querySelector('.go-live-now').click(); window.gaps.seen = 0")
	b.until("WebRTC is back", "!"+playsHLS+" && "+mode+" === 'live'")
	grows(b, "pictures after", decoded)
	r = readGaps(b)
	t.Logf("live when UDP has just been freed: longest time without a picture %.0f ms, greatest step back %.0f ms", r.Worst, r.Back)
	r.check(t)
}

// endsByHLS ends the show of camera while LL-HLS stands in: its last moment is seen
// before the page says that it is over.
func endsByHLS(b, camera *tab) {
	t := b.t
	t.Helper()
	b.exec(`window.left = 0;
		setInterval(() => {
			const {currentTime, buffered} = ` + element + `.sides.hls;
			if (` + playsHLS + ` && buffered.length) window.left = buffered.end(buffered.length - 1) - currentTime;
		}, 10)`)
	camera.exec(goLive)
	b.until("the page says so", "!"+playsHLS+" && ['paused', 'offline'].includes("+state+")")
	left := 1000 * eval[float64](b, "window.left")
	t.Logf("%.0f ms of what had come were not shown", left)
	if left > 300 { // sound and picture need not end together
		t.Errorf("the show ended %.0f ms before its end", left)
	}
}

// qualityStays picks a quality and looks for it on both sides, and in a session
// that takes the place of another.
func qualityStays(b *tab) {
	t := b.t
	t.Helper()
	shows := func(what string) {
		t.Helper()
		b.until(what, height+" === 360 && "+label+" === '360p'")
	}
	b.until("the menu lists the layers", element+".player.layers.length === 3")
	pickLayer(b, "h")
	shows("the picked layer")
	b.do(chromedp.KeyEvent("k"))
	b.until("k pauses", element+".video.paused")
	rewind(b, 6)
	shows("the same quality in the past")
	b.exec(inside + ".querySelector('.go-live-now').click()")
	b.until("WebRTC is shown again", "!"+playsHLS+" && "+mode+" === 'live' && !"+element+".video.paused")
	shows("the same quality")
	was := eval[string](b, session)
	b.exec("await fetch(" + session + ", {method: 'DELETE'})")
	b.until("there is another session", session+" !== '' && "+state+" === 'live' && "+session+" !== '"+was+"'")
	shows("the same quality in another session")
	pickLayer(b, "auto")
}

// soundStays watches a framed page in a browser that plays no sound before a
// person asks for it, and loses UDP; then one that never has it.
func soundStays(t *testing.T, wire *netwire.Wire, url string, free, blocked netwire.Settings) {
	wire.Set(free)
	b := farBrowser(t, wire, chromedp.Flag("autoplay-policy", "user-gesture-required"))
	until := func(what, condition string) { // unlike b.until, without a person
		t.Helper()
		poll(t, patience, 100*time.Millisecond, what, func() bool {
			v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
			if err != nil {
				t.Fatal(err)
			}
			return v
		})
	}
	const asks = "!" + tap + ".hidden && " + tap + ".dataset.kind === 'muted' && " + inside + ".querySelector('[role=status]').textContent.includes('unmute')"
	b.open(url + "?muted=false")
	until("WebRTC plays in silence", state+" === 'live' && "+decoded+" > 15 && !"+element+".video.paused && "+element+".video.muted")
	until("it asks for a person", asks)
	accessible(b)
	b.exec(tap + ".focus()")
	b.do(chromedp.KeyEvent("\r"))
	until("there is sound", "!"+element+".video.muted && !"+element+".video.paused && "+tap+".hidden")
	wire.Set(blocked)
	until("LL-HLS plays with sound", playsHLS+" && !"+element+".video.muted && !"+element+".video.paused")
	wire.Set(free)
	until("WebRTC plays with sound", "!"+playsHLS+" && "+mode+" === 'live' && !"+element+".video.muted && !"+element+".video.paused")

	wire.Set(blocked)
	b.open("about:blank")
	b.open(url + "?muted=false")
	until("LL-HLS plays in silence", playsHLS+" && "+element+".video.currentTime > 1 && !"+element+".video.paused && "+element+".video.muted")
	until("it asks for a person again", asks)
	wire.Set(free)
}
