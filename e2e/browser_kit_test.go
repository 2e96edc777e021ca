package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const pageTimeout = patience

// tab is a page in a browser. Its methods fail the test.
type tab struct {
	t   testing.TB
	ctx context.Context
}

// newBrowser starts a Chromium of its own, with a fake camera and microphone
// that need no permission, and opens an empty tab. The test's end closes it.
func newBrowser(t testing.TB, flags ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox,
		chromedp.Flag("use-fake-device-for-media-stream", "fps=30"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.WindowSize(1280, 900),
	)
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), append(options, flags...)...)
	t.Cleanup(stop)
	return openTab(t, allocator)
}

// openTab opens a tab; in the browser of ctx when ctx is another tab's.
func openTab(t testing.TB, ctx context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	b.early(missing)
	b.do(chromedp.Navigate("about:blank"))
	b.watchConsole()
	return b
}

func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("the browser tests need Chromium (Debian package chromium)")
	return ""
}

// watchConsole fails the test when the page breaks its policy or throws.
func (b *tab) watchConsole() {
	messages := chromedp.Console(b.ctx)
	var reader sync.WaitGroup
	reader.Go(func() {
		for m, err := range messages {
			if err != nil {
				return // the tab is closed
			}
			if m.Type == chromedp.ConsoleException || strings.Contains(m.Text, "Content Security Policy") {
				b.t.Errorf("console: %s %s %s:%d", m.Type, m.Text, m.URL, m.Line)
			}
		}
	})
	b.t.Cleanup(func() {
		_ = chromedp.Cancel(b.ctx) // closing twice is no fault
		reader.Wait()
	})
}

// in is the same tab for a part of its test.
func (b *tab) in(t testing.TB) *tab { return &tab{t: t, ctx: b.ctx} }

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// missing notes a script of the page that could not be loaded.
const missing = `addEventListener('error', ({target}) => { if (target instanceof HTMLScriptElement) globalThis.missing = target.src; }, true);`

// open goes to a page and waits until it has loaded: the browser may tell of the one
// before. It goes there again when a script is missing: a browser gives up what it
// loads when the machine's network interfaces change, as other tests make them do.
func (b *tab) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	loaded := fmt.Sprintf("(({protocol, host}) => document.readyState === 'complete' && location.protocol === protocol && location.host === host && (globalThis.missing ?? 'nothing'))(new URL(%q))", url)
	poll(b.t, patience, 20*time.Millisecond, url+" has loaded", func() bool {
		lacks, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](loaded))
		if err != nil || lacks == false {
			return false
		}
		if lacks != "nothing" {
			b.t.Logf("%s has loaded without %v", url, lacks)
			b.do(chromedp.Navigate(url))
			return false
		}
		return true
	})
}

// early runs a script in each page that the tab opens from now on, before the page's own.
func (b *tab) early(script string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// eval evaluates an expression and waits for its promise. The page takes it as
// done by a person, so that it may start sound.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise, byPerson))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func byPerson(p *runtime.EvaluateParams) {
	yes := true
	p.UserGesture = &yes
}

// describe says how a page's player or publisher is.
const describe = `(() => {
  const {player, sides} = document.querySelector('live-player') ?? {};
  const {state, error} = player ?? window.studio?.publisher ?? {};
  const {hls, mode, recorded, rewind} = sides ?? {};
  const ranges = (all) => Array.from(all ?? [], (_, i) => all.start(i).toFixed(1) + '-' + all.end(i).toFixed(1));
  return JSON.stringify({
    page: String(location), state, error: error?.stack ?? error?.message, mode, recorded, range: rewind?.range, capture: rewind?.capture,
    at: hls?.currentTime, ready: hls?.readyState, paused: hls?.paused, seeking: hls?.seeking, buffered: ranges(hls?.buffered), wrong: hls?.error?.message,
    senses: globalThis.senses?.(),
  });
})()`

// until waits for a condition in the page.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	seen := false
	defer func() {
		if !seen {
			b.t.Log(eval[string](b, describe))
		}
	}()
	poll(b.t, pageTimeout, 100*time.Millisecond, what, func() bool {
		seen = eval[bool](b, "Boolean("+condition+")")
		return seen
	})
}

// exec runs statements.
func (b *tab) exec(statements string) {
	b.t.Helper()
	eval[chromedp.Void](b, "(async () => {"+statements+"})()")
}
