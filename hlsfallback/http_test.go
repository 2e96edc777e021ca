package hlsfallback

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

func TestS81S82TypesAndCaching(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	f.shelf.bytes["rec1/thumb0"] = []byte("jpeg")
	tests := []struct{ name, path, contentType, cache string }{
		{"multivariant", "/hls/demo/index.m3u8", "application/vnd.apple.mpegurl", "public, max-age=2"},
		{"playlist", live, "application/vnd.apple.mpegurl", "public, max-age=2"},
		{"newest position", live + "?_HLS_msn=2&_HLS_part=3", "application/vnd.apple.mpegurl", "public, max-age=24"},
		{"old position", live + "?_HLS_msn=0", "application/vnd.apple.mpegurl", "public, max-age=1"},
		{"I-frames", video + "iframes.m3u8", "application/vnd.apple.mpegurl", "public, max-age=2"},
		{"segment", video + "1.m4s", "video/mp4", "public, max-age=31536000, immutable"},
		{"part", video + "1.3.m4s", "video/mp4", "public, max-age=31536000, immutable"},
		{"init section", video + "init0.mp4", "video/mp4", "public, max-age=31536000, immutable"},
		{"thumbnails", "/hls/demo/rec1/thumbs.vtt", "text/vtt; charset=utf-8", "public, max-age=2"},
		{"thumbnail", "/hls/demo/rec1/thumb0.jpg", "image/jpeg", "public, max-age=31536000, immutable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := f.do(http.MethodGet, tt.path)
			h := w.Header()
			if w.Code != 200 || h.Get("Content-Type") != tt.contentType || h.Get("Cache-Control") != tt.cache {
				t.Errorf("%d, %s, %s", w.Code, h.Get("Content-Type"), h.Get("Cache-Control"))
			}
			if h.Get("Content-Length") != fmt.Sprint(w.Body.Len()) || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("X-Request-ID") == "" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", h)
			}
			head := f.do(http.MethodHead, tt.path)
			if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != h.Get("Content-Length") {
				t.Errorf("HEAD: %d, %v", head.Code, head.Header())
			}
		})
	}
}

// What a browser may show keeps its address from the pages that it links to.
func TestAddressesWithTokensStay(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	for _, path := range []string{"/hls/demo/index.m3u8?token=fine", "/hls/demo/index.m3u8?token=bad", "/hls/none/~fine/index.m3u8", "/vod/"} {
		if got := f.do(http.MethodGet, path).Header().Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestPrivateAnswersAreNotForSharedCaches(t *testing.T) {
	f := newFeed(t, Config{Private: true})
	f.segment(3)
	for _, path := range []string{live, video + "1.m4s"} {
		if got := f.do(http.MethodGet, path).Header().Get("Cache-Control"); !strings.HasPrefix(got, "private, ") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestRangesAndConditions(t *testing.T) {
	f := newFeed(t, Config{})
	f.partOf("v0", time.Second, []byte("0123456789"))
	f.finish("v0")
	const path = video + "0.m4s"
	tests := []struct {
		name, header, value string
		status              int
		body, contentRange  string
	}{
		{"whole", "", "", 200, "0123456789", ""},
		{"middle", "Range", "bytes=2-4", 206, "234", "bytes 2-4/10"},
		{"open end", "Range", "bytes=7-", 206, "789", "bytes 7-9/10"},
		{"end is far", "Range", "bytes=7-99", 206, "789", "bytes 7-9/10"},
		{"last", "Range", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"more than all", "Range", "bytes=-30", 206, "0123456789", "bytes 0-9/10"},
		{"beyond", "Range", "bytes=10-", 416, "", "bytes */10"},
		{"nothing", "Range", "bytes=-0", 416, "", "bytes */10"},
		{"several are one answer", "Range", "bytes=0-1,3-4", 200, "0123456789", ""},
		{"other unit", "Range", "lines=0-1", 200, "0123456789", ""},
		{"backwards", "Range", "bytes=4-2", 200, "0123456789", ""},
		{"garbled", "Range", "bytes=a-b", 200, "0123456789", ""},
		{"known", "If-None-Match", `W/"x", "1"`, 304, "", ""},
		{"not known", "If-None-Match", `"x"`, 200, "0123456789", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := f.do(http.MethodGet, path, tt.header, tt.value)
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Content-Range") != tt.contentRange {
				t.Errorf("%d %q %q", w.Code, w.Body, w.Header().Get("Content-Range"))
			}
		})
	}
	if w := f.do(http.MethodGet, path, "Range", "bytes=2-4", "If-Range", `"x"`); w.Code != 200 {
		t.Errorf("If-Range of something else: %d", w.Code)
	}
}

func TestS16LongPlaylistsAreCompressed(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(200)
	w := f.do(http.MethodGet, live, "Accept-Encoding", "br, gzip;q=0.9")
	if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Fatalf("headers %v", w.Header())
	}
	packed := w.Body.Len()
	r, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || string(text) != f.playlist("") || packed > len(text)/4 {
		t.Errorf("%d bytes for %d: %v", packed, len(text), err)
	}
	if w := f.do(http.MethodGet, live, "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("compressed for one that refuses it")
	}
}

func TestTokens(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	f.get(live, 401, "Authorization", "Bearer bad")
	f.get(live+"?token=bad", 401)
	f.get("/hls/demo/~bad/rec1/v0/index.m3u8", 401)
	f.get(live, 403, "Authorization", "Bearer other")
	f.get("/vod/rec1/index.m3u8", 403, "Authorization", "Bearer other")
	f.get("/vod/rec1/~other/v0/1.m4s", 403)
	if f.limits.refused != 3 {
		t.Errorf("%d refusals counted", f.limits.refused)
	}
	for _, start := range []string{"/hls/demo/", "/vod/rec1/"} {
		p := f.get(start+"index.m3u8?token=fine", 200)
		lines := strings.Split(strings.TrimSpace(p), "\n")
		uri := ""
		for _, line := range lines {
			if line[0] != '#' {
				uri = line
			}
		}
		if !strings.HasPrefix(uri, "~fine/") {
			t.Fatalf("the token is not in %s", uri)
		}
		media := f.get(start+uri, 200) // its addresses are relative and inherit it
		f.get(start+strings.Replace(uri, "index.m3u8", tags(media, "#EXT-X-MAP")[0][5:14], 1), 200)
		if p := f.get(start+"~fine/index.m3u8", 200); strings.Contains(p, "fine") {
			t.Errorf("the token is doubled in\n%s", p)
		}
	}
}

// A player's token is checked now and then, not ten times a second.
func TestGrantsAreRemembered(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	for range 50 {
		f.get(live, 200, "Authorization", "Bearer fine")
	}
	if f.auth.calls != 1 {
		t.Errorf("%d checks", f.auth.calls)
	}
	now := time.Now()
	g := grants{}
	g.keep("t", sluice.Grant{Expires: now.Add(time.Second)}, now)
	if _, ok := g.find("t", now.Add(2*time.Second)); ok {
		t.Error("a grant outlives its token")
	}
	for n := range 3 * maxGrants {
		g.keep(fmt.Sprint(n), sluice.Grant{}, now)
	}
	if len(g.held) > maxGrants {
		t.Errorf("%d grants are held", len(g.held))
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	for path, status := range map[string]int{
		"/hls/": 404, "/hls/demo": 404, "/hls/demo/": 404, "/hls/demo/rec1": 404, "/hls/demo/rec1/index.m3u8": 404,
		"/hls/demo/rec1/v9/index.m3u8": 404, "/hls/demo/none/v0/index.m3u8": 404, "/hls/other/rec1/v0/index.m3u8": 404,
		"/hls/de%20mo/index.m3u8": 400, "/hls/nobody/index.m3u8": 409, "/vod/none/index.m3u8": 404,
		"/hls/demo/rec1/v0/x/1.m4s": 404, "/hls/demo//v0/1.m4s": 404, "/vod/rec1/recording.mkv": 404,
		"/hls/demo/rec1/thumb1.jpg": 404, "/hls/demo/rec1/thumbx.jpg": 404, "/hls/demo/rec1/opus/iframes.m3u8": 404, "/hls/demo/~x": 404,
	} {
		w := f.do(http.MethodGet, path)
		if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if (status == 409) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", path, w.Header().Get("Retry-After"))
		}
	}
	for method, status := range map[string]int{http.MethodPost: 405, http.MethodDelete: 405, http.MethodOptions: 204} {
		if w := f.do(method, live); w.Code != status {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestOldSegmentsAreReadOnce(t *testing.T) {
	f := newFeed(t, Config{Cache: 1000})
	f.segment(60)
	for range 5 {
		f.get(video+"3.m4s", 200)
	}
	if f.shelf.reads != 1 {
		t.Errorf("%d reads", f.shelf.reads)
	}
	for n := range 40 {
		f.get(fmt.Sprintf("%s%d.m4s", video, n), 200)
	}
	if f.h.old.bytes > 1000 || len(f.h.old.held) > 10 {
		t.Errorf("the cache holds %d bytes", f.h.old.bytes)
	}
	f.get(video+"99.m4s", 404)
}

func TestS10VideoOnDemandWhenTheShowEnds(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	f.segment(30)
	p := f.get("/vod/rec1/v0/index.m3u8", 200)
	if tag(p, "#EXT-X-PLAYLIST-TYPE") != "EVENT" || strings.Contains(p, "ENDLIST") || len(tags(p, "#EXTINF")) != 30 || tag(p, "#EXT-X-START") != "TIME-OFFSET=0,PRECISE=YES" {
		t.Errorf("while it runs:\n%s", p)
	}
	f.segment(2)
	f.end()
	p = f.get("/vod/rec1/v0/index.m3u8", 200)
	if tag(p, "#EXT-X-PLAYLIST-TYPE") != "VOD" || !strings.HasSuffix(p, "31.m4s\n#EXT-X-ENDLIST\n") || len(tags(p, "#EXTINF")) != 32 || strings.Contains(p, "#EXT-X-PART") {
		t.Errorf("when it has ended:\n%s", p)
	}
	if m := f.get("/vod/rec1/index.m3u8", 200); !strings.Contains(m, "\nv0/index.m3u8\n") {
		t.Errorf("multivariant:\n%s", m)
	}
	f.get("/vod/rec1/v0/0.m4s", 200)
	f.get("/vod/rec1/opus/31.m4s", 200)
	// After a restart it comes from the shelf.
	f.h.Close()
	f.start()
	if again := f.get("/vod/rec1/v0/index.m3u8", 200); again != p {
		t.Errorf("after a restart:\n%s", again)
	}
}

// TestRemovedRecording: what is removed is not served from memory.
func TestRemovedRecording(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	f.end()
	paths := []string{"/vod/rec1/index.m3u8", "/vod/rec1/v0/index.m3u8", "/vod/rec1/v0/1.m4s"}
	for _, path := range paths {
		f.get(path, 200)
	}
	f.shelf.mu.Lock()
	f.shelf.recordings, f.shelf.bytes = nil, map[string][]byte{}
	f.shelf.mu.Unlock()
	f.h.Forget("rec1")
	f.h.Forget("none")
	for _, path := range paths {
		f.get(path, 404)
	}
	if len(f.h.old.held) != 0 || f.h.old.bytes != 0 {
		t.Errorf("the cache holds %d bytes", f.h.old.bytes)
	}
}

func TestPlaylistsOfOldRecordingsAreBounded(t *testing.T) {
	f := newFeed(t, Config{Entries: 50})
	for n := range 10 {
		f.begin(fmt.Sprintf("show%d", n))
		f.segment(10)
		f.end()
	}
	for n := range 10 {
		f.get(fmt.Sprintf("/vod/show%d/v0/index.m3u8", n), 200)
	}
	if v := f.h.shelved; v.entries > 50 || len(v.held) > 3 {
		t.Errorf("%d segments of %d recordings are held", v.entries, len(v.held))
	}
}

func TestS84IFramePlaylist(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	p := f.get(video+"iframes.m3u8", 200)
	want := "#EXTINF:2.00000,\n#EXT-X-BYTERANGE:12@0\n1.m4s\n"
	if !strings.Contains(p, "#EXT-X-I-FRAMES-ONLY\n") || !strings.Contains(p, want) || strings.Count(p, "#EXT-X-MAP") != 1 {
		t.Errorf("got\n%s", p)
	}
	if got := f.do(http.MethodGet, video+"1.m4s", "Range", "bytes=0-11").Body.String(); got != "rec1/v0/1.0;" {
		t.Errorf("the keyframe is %q", got)
	}
}

func TestThumbnailTrack(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(13)
	want := `WEBVTT

NOTE X-RECORDING-START=2026-03-01T12:00:00Z

00:00:00.000 --> 00:00:10.000
thumb0.jpg

00:00:10.000 --> 00:00:20.000
thumb1.jpg

00:00:20.000 --> 00:00:30.000
thumb2.jpg
`
	if got := f.get("/hls/demo/rec1/thumbs.vtt", 200); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestNewShowOfTheSameStreamSharesNoAddress(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	f.end()
	f.begin("rec2")
	f.segment(1)
	if m := f.get("/hls/demo/index.m3u8", 200); !strings.Contains(m, "\nrec2/v0/index.m3u8\n") {
		t.Errorf("multivariant:\n%s", m)
	}
	if got := f.get("/hls/demo/rec2/v0/0.m4s", 200); !strings.HasPrefix(got, "rec2/") {
		t.Errorf("segment %q", got)
	}
	if p := f.playlist(""); !strings.HasSuffix(p, "#EXT-X-ENDLIST\n") {
		t.Errorf("the first show is\n%s", p)
	}
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"/hls/demo/index.m3u8", "/hls/demo/rec1/v0/index.m3u8?_HLS_msn=2&_HLS_part=3&_HLS_skip=YES", "/vod/rec1/~t/v0/1.m4s",
		"/vod/rec1/recording.mp4", "/hls/demo/rec1/v0/1.2.m4s", "/hls/demo/~x/rec1/thumb3.jpg", "/hls/a/b/c/d/e?token=%zz",
	} {
		f.Add(seed, "bytes=0-3")
	}
	feed := newFeed(f, Config{})
	feed.segment(4)
	f.Fuzz(func(t *testing.T, path, rang string) {
		d, err := parseQuery(path)
		if err == nil && d.at.part < -1 {
			t.Errorf("%+v", d)
		}
		if p, ok := parsePath(path); ok && (p.file == "" || strings.Contains(p.file+p.rendition+p.recording+p.stream, "/")) {
			t.Errorf("%+v", p)
		}
		parseFile(path)
		if from, to, ok, valid := parseRange(rang, 10); ok && valid && (from < 0 || to > 10 || from >= to) {
			t.Errorf("%s is %d to %d", rang, from, to)
		}
	})
}

func FuzzBoxes(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08moof"))
	f.Add(makeBox("moof", makeBox("traf", makeBox("tfhd", make([]byte, 8)), makeBox("tfdt", make([]byte, 8)), makeBox("trun", make([]byte, 12)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := retrack(data, 2, 3, 1000, 10)
		if err == nil && bytes.Equal(data, out) && bytes.Contains(data, []byte("moof")) && len(data) > 60 {
			t.Log("unchanged")
		}
		_, _ = timescale(data)
		_, _, _ = mergedTrack([][]byte{data, data}, 2)
	})
}
