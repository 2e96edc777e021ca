package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/hlscheck"
)

// TestBrowserShowEnds: a player that knows nothing of parts plays the stream, and one
// that has gone back sees it to its end; then it is said to be over, with a link to the
// recording, which is there from that moment on.
func TestBrowserShowEnds(t *testing.T) {
	t.Parallel()
	n := startNode(t, "stream.grace=2s", "record.segment=1s")
	p := publishClip(t, client.PublisherConfig{URL: n.URL + "/whip/demo", Clip: pattern(t, clips.H264, false), KeyframesOnRequest: true})
	n.live(t, "demo", 1)
	b := newBrowser(t)
	b.open(n.URL + "/watch/demo")
	b.until("there is a past", state+" === 'live' && "+hasPast+" && Number("+seekBar+".max) > 6")
	t.Run("without parts", func(t *testing.T) { playsSegments(openTab(t, b.ctx), n.URL+"/hls/demo/index.m3u8") })

	b.exec(gaps)
	b.exec(seekBar + ".value = String(Number(" + seekBar + ".max) - 5); " + seekBar + ".dispatchEvent(new Event('input')); " + seekBar + ".dispatchEvent(new Event('change'))")
	b.until("the past plays", playsHLS+" && "+mode+" === 'behind' && "+hlsHeight+" > 0")
	recording := eval[string](b, element+".sides.rewind.recording")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the show is over", func() bool {
		st, err := n.stream("demo")
		return err == nil && st.State == sluice.StreamOffline
	})
	master := n.text(t, "/vod/"+recording+"/index.m3u8")
	var end time.Time
	for _, line := range strings.Split(master, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		list := ""
		within(t, patience, "what was open is finished", func() bool {
			list = n.text(t, "/vod/"+recording+"/"+line)
			return strings.HasSuffix(list, "#EXT-X-ENDLIST\n")
		})
		p, err := hlscheck.Parse(list)
		if err != nil || p.PartTarget > 0 || len(p.Segments) < 5 {
			t.Fatalf("%s: %v\n%s", line, err, list)
		}
		last := p.Segments[len(p.Segments)-1]
		end = last.Date.Add(last.Duration)
	}
	link := inside + ".querySelector('a.panel-button')"
	b.until("it is said, with a link", state+" === 'offline' && !"+playsHLS+" && !"+link+".hidden && "+link+".href.includes('"+recording+"')")
	if left := float64(end.UnixMilli()) - eval[float64](b, "window.gaps.seen"); left > 500 {
		t.Errorf("the last %.0f ms are not shown", left)
	}
	if r := readGaps(b); r.Black > 0 {
		t.Errorf("%+v", r)
	}
	b.exec(link + ".click()")
	b.until("the recording plays", recordedPage+"?.video.currentTime > 0.5 && "+recordedPage+".frame.dataset.state === 'live'")
}

// text fetches what must be there.
func (r *running) text(t *testing.T, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := clientHTTP(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %v", path, res.Status, err)
	}
	return string(body)
}

// playsSegments lets hls.js play, from a page of another origin, as if there were no
// low-latency HLS.
func playsSegments(b *tab, url string) {
	t := b.t
	t.Helper()
	sources := http.NewServeMux()
	sources.Handle("/", http.FileServer(http.Dir("../web/src")))
	sources.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Player</title><video muted></video>")
	})
	server := httptest.NewServer(sources)
	defer server.Close()
	b.open(server.URL + "/page")
	b.exec(`const {default: Hls} = await import('/vendor/hls/hls.mjs');
		window.video = document.querySelector('video');
		window.wrong = [];
		window.hls = new Hls({lowLatencyMode: false});
		hls.on(Hls.Events.ERROR, (_, data) => wrong.push(data.details));
		hls.loadSource('` + url + `');
		hls.attachMedia(video);
		video.play();`)
	b.until("it plays", "video.currentTime > 0 && video.videoHeight > 0")
	from := eval[float64](b, "window.from = video.currentTime")
	b.until("it goes on", "video.currentTime > from + 3")
	requests := eval[[]string](b, "performance.getEntriesByType('resource').map((e) => e.name).filter((u) => u.includes('/hls/demo/'))")
	segments := 0
	for _, u := range requests {
		if name := u[strings.LastIndex(u, "/"):]; strings.HasSuffix(u, ".m4s") && strings.Count(name, ".") > 1 {
			t.Errorf("it asks for the part %s", name)
		}
		if strings.HasSuffix(u, ".m4s") {
			segments++
		}
	}
	wrong := slices.DeleteFunc(eval[[]string](b, "wrong"), func(what string) bool {
		return what == "bufferStalledError" // the machine stood still; it went on
	})
	if len(wrong) > 0 || segments < 4 {
		t.Errorf("%v, %d segments, from %f", wrong, segments, from)
	}
	b.exec("hls.destroy()")
}
