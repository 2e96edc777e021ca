package e2e

import (
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluice-live/sluice"
)

// Shorthands in the watch page.
const (
	element = "document.querySelector('live-player')"
	inside  = element + ".shadowRoot"
	decoded = "(" + element + ".player.stats?.video?.decoded ?? 0)"
	state   = element + ".player.state"
	height  = element + ".video.videoHeight"
	session = element + ".player.sessionUrl"
	goLive  = "document.querySelector('.go-live').click()"
	// Of three layers; they are smaller where the processors do not do for more.
	largest  = height + " > 360"
	middle   = height + " > 180 && " + height + " <= 360"
	smallest = height + " > 0 && " + height + " <= 180"
	layersOn = "studio.publisher?.stats?.layers.filter((l) => l.active).length === 3"
)

// publishFrom opens the publish page, goes live and waits for all layers.
func publishFrom(b *tab, url string) {
	b.t.Helper()
	b.open(url)
	b.exec(goLive)
	b.until("three layers are sent", layersOn)
	b.until("the page is live", "studio.publisher.state === 'live'")
}

// late makes a page's senders take their time, so that it is connected before it has
// set them up.
const late = `
const set = RTCRtpSender.prototype.setParameters;
RTCRtpSender.prototype.setParameters = async function (...args) {
  await new Promise((done) => setTimeout(done, 1000));
  return set.apply(this, args);
};`

func grows(b *tab, what, expression string) {
	b.t.Helper()
	from := eval[float64](b, expression)
	poll(b.t, patience, 100*time.Millisecond, what, func() bool { return eval[float64](b, expression) > from+15 })
}

func pickLayer(b *tab, choice string) {
	b.t.Helper()
	b.exec(inside + ".querySelector('.quality').click();" + inside + ".querySelector('[data-choice=" + choice + "]').click();")
}

// TestBrowserPublishAndWatch shows a browser's camera in another browser.
func TestBrowserPublishAndWatch(t *testing.T) {
	n := startNode(t)
	camera := newBrowser(t)
	camera.early(late)
	publishFrom(camera, n.URL+"/publish/demo")
	viewer := newBrowser(t)
	viewer.open(n.URL + "/watch/demo")

	viewer.until("the picture plays", state+" === 'live' && "+decoded+" > 30 && "+largest)
	grows(viewer, "frames are decoded", decoded)
	if !eval[bool](viewer, element+".video.muted && !"+element+".video.paused") {
		t.Error("the page does not start silent")
	}
	viewer.until("the badge shows a latency", inside+".querySelector('.badge-text').textContent.includes('ms')")

	t.Run("home page lists the stream", func(t *testing.T) {
		home := openTab(t, viewer.ctx)
		home.open(n.URL + "/")
		home.until("the stream is listed", "document.querySelector('.tile')?.getAttribute('href') === '/watch/demo'")
		accessible(home)
	})
	t.Run("quality menu", func(t *testing.T) {
		viewer.until("the menu lists the layers", element+".player.layers.length === 3")
		for _, step := range []struct {
			choice string
			height string
		}{{"q", smallest}, {"h", middle}, {"auto", largest}} {
			pickLayer(viewer, step.choice)
			viewer.until("layer "+step.choice+" is decoded", step.height)
		}
		grows(viewer, "frames are decoded after the switch", decoded)
	})
	t.Run("keys", func(t *testing.T) {
		viewer.do(chromedp.KeyEvent("i"))
		viewer.until("i opens the statistics", "!"+inside+".querySelector('.stats-overlay').hidden")
		viewer.do(chromedp.KeyEvent("m"))
		viewer.until("m unmutes", "!"+element+".video.muted")
		viewer.do(chromedp.KeyEvent("k"))
		viewer.until("k pauses", element+".video.paused")
		viewer.do(chromedp.KeyEvent("k"))
		viewer.until("k plays", "!"+element+".video.paused")
		viewer.do(chromedp.KeyEvent("?"))
		viewer.until("? opens the help", inside+".querySelector('dialog').open")
		viewer.do(chromedp.KeyEvent("\x1b"))
		viewer.until("escape closes the help", "!"+inside+".querySelector('dialog').open")
	})
	t.Run("chat", func(t *testing.T) {
		streamerAndGuest(t, &chatting{camera.in(t)}, &chatting{openTab(t, viewer.ctx)}, n.URL+"/embed/demo")
	})
	t.Run("accessibility", func(t *testing.T) {
		accessible(camera)
		accessible(viewer)
	})
	spare := publisherReturns(t, n, camera, viewer)
	otherCodecs(t, n, spare, viewer)
	embedPlays(t, n, viewer)
}

// publisherReturns closes the publisher's tab and opens another: the viewer
// stays connected with the same session. It returns the tab that publishes.
func publisherReturns(t *testing.T, n *running, camera, viewer *tab) *tab {
	t.Helper()
	before := eval[string](viewer, session)
	spare := openTab(t, camera.ctx)
	camera.exec("dispatchEvent(new PageTransitionEvent('pagehide'))") // what closing the tab does
	viewer.until("the pause is shown", "['paused', 'stalled'].includes("+state+")")
	viewer.until("the panel is open", "!"+inside+".querySelector('.panel').hidden")
	if before == "" || eval[string](viewer, session) != before {
		t.Errorf("the viewer's session ended with the publisher's")
	}
	publishFrom(spare, n.URL+"/publish/demo")
	viewer.until("the picture is back", state+" === 'live'")
	grows(viewer, "frames are decoded again", decoded)
	if eval[string](viewer, session) != before {
		t.Errorf("the viewer made a new session")
	}
	return spare
}

// otherCodecs publishes again with codecs of which the browser must be told to
// send layers: the viewer stays and can choose among them.
func otherCodecs(t *testing.T, n *running, camera, viewer *tab) {
	t.Helper()
	before := eval[string](viewer, session)
	for _, codec := range []string{"VP9", "AV1"} {
		camera.exec(goLive) // ends it
		camera.exec("const c = document.querySelector('#codec'); c.value = '" + codec + "'; c.dispatchEvent(new Event('change')); " + goLive)
		camera.until("three layers of "+codec+" are sent", layersOn)
		viewer.until("their picture", state+" === 'live' && "+largest)
		if st, err := n.stream("demo"); err != nil || len(st.Layers) != 3 || st.Layers[0].Codec != codec {
			t.Errorf("%s: %+v, %v", codec, st.Layers, err)
		}
		pickLayer(viewer, "q")
		viewer.until("the smallest layer of "+codec, smallest)
		pickLayer(viewer, "auto")
		viewer.until("the largest layer of "+codec, largest)
		grows(viewer, "frames are decoded", decoded)
	}
	if eval[string](viewer, session) != before {
		t.Errorf("the viewer made a new session")
	}
}

// embedPlays checks that the embed page shows the player and nothing else, and
// that any page may frame it.
func embedPlays(t *testing.T, n *running, viewer *tab) {
	t.Helper()
	viewer.open(n.URL + "/embed/demo?controls=false&quality=360p")
	viewer.until("the embed plays the wanted layer", state+" === 'live' && "+height+" === 360")
	if only := eval[string](viewer, "[...document.body.children].map((e) => e.localName).filter((n) => n !== 'noscript').join()"); only != "live-player" {
		t.Errorf("the embed page holds %s", only)
	}
	if eval[bool](viewer, "Boolean("+inside+".querySelector('.bar'))") {
		t.Error("controls=false shows controls")
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>Portal</title><iframe allow="autoplay" src="`+n.URL+`/embed/demo"></iframe>`)
	}))
	t.Cleanup(other.Close)
	viewer.open(other.URL)
	poll(t, patience, 100*time.Millisecond, "the page in the frame watches", func() bool { return viewersOf(t, n, "demo") == 1 })
}

// viewersOf asks the control API how many watch.
func viewersOf(t *testing.T, n *running, stream string) int {
	t.Helper()
	var snapshot sluice.Stream
	if err := json.Unmarshal([]byte(n.text(t, "/api/v1/streams/"+stream)), &snapshot); err != nil {
		t.Fatal(err)
	}
	return snapshot.Viewers
}

//go:embed testdata/a11y.js
var a11yScript string

// accessible runs basic accessibility checks.
func accessible(b *tab) {
	b.t.Helper()
	if wrong := eval[[]string](b, a11yScript); len(wrong) > 0 {
		b.t.Errorf("%s:\n%s", eval[string](b, "location.pathname"), strings.Join(wrong, "\n"))
	}
}

// TestBrowserOffline shows what the pages do when there is nothing to play or
// nobody lets them.
func TestBrowserOffline(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	b := newBrowser(t)

	b.open(n.URL + "/")
	b.until("the empty list is shown", "document.querySelector('.blank h3')?.textContent === 'Nobody is live'")
	accessible(b)

	b.open(n.URL + "/watch/nobody")
	b.until("the offline state is shown", state+" === 'offline' && "+inside+".querySelector('.panel-title')?.textContent === 'Not live right now'")
	accessible(b)

	b.open(n.URL + "/embed/nobody?lang=de")
	b.until("the language is chosen", inside+".querySelector('.panel-title')?.textContent === 'Gerade nicht live'")

	b.open(n.URL + "/watch/not%20a%20name")
	b.until("a bad name has its page", "document.querySelector('h1')?.textContent === 'There is nothing here'")
	accessible(b)
}

// TestBrowserToken shows that a page without a token asks for one and that a
// token in the address is taken out of it.
func TestBrowserToken(t *testing.T) {
	t.Parallel()
	n := startNode(t, "auth.mode=token", "auth.keys=devkey:a-secret-that-is-long-enough-to-be-one")
	b := newBrowser(t)
	b.open(n.URL + "/watch/demo")
	b.until("the token form is shown", state+" === 'failed' && "+inside+".querySelector('.panel-form')")
	accessible(b)
	b.open(n.URL + "/watch/demo?token=abc&stats=1")
	b.until("the token leaves the address", "location.search === '?stats=1'")
	b.until("a bad token is refused", state+" === 'failed'")

	b.open(n.URL + "/publish/demo")
	b.exec(goLive)
	b.until("the publish page says what is missing", "studio.publisher?.state === 'failed' && !document.querySelector('.notice').hidden")
	accessible(b)
}

// TestBrowserDenied shows the way out when the browser refuses the camera.
func TestBrowserDenied(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	b := newBrowser(t, chromedp.Flag("use-fake-ui-for-media-stream", false), chromedp.Flag("deny-permission-prompts", true))
	b.open(n.URL + "/publish/demo")
	b.until("the page asks first", "document.querySelector('.notice button')")
	b.exec("document.querySelector('.notice button').click()")
	b.until("the steps are shown", "document.querySelectorAll('.notice .steps li').length === 3")
	accessible(b)
}
