package hlsfallback

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ask requests in the background; the result is there once done is closed.
type ask struct {
	done chan struct{}
	w    *httptest.ResponseRecorder
}

func (f *feed) ask(ctx context.Context, path string) *ask {
	a := &ask{done: make(chan struct{}), w: httptest.NewRecorder()}
	go func() {
		defer close(a.done)
		f.h.ServeHTTP(a.w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody))
	}()
	synctest.Wait()
	return a
}

func (a *ask) waits() bool {
	synctest.Wait()
	select {
	case <-a.done:
		return false
	default:
		return true
	}
}

func TestS31BlocksUntilSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		a := f.ask(t.Context(), live+"?_HLS_msn=3")
		f.part("v0")
		if !a.waits() {
			t.Fatal("answered with a part of the segment")
		}
		f.finish("v0")
		if a.waits() || !strings.Contains(a.w.Body.String(), "\n3.m4s\n") {
			t.Errorf("answered with\n%s", a.w.Body)
		}
	})
}

func TestS32BlocksUntilPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		f.part("v0")
		a := f.ask(t.Context(), live+"?_HLS_msn=3&_HLS_part=2")
		f.part("v0")
		if !a.waits() {
			t.Fatal("answered one part early")
		}
		f.part("v0")
		if a.waits() || !strings.Contains(a.w.Body.String(), `URI="3.2.m4s"`) {
			t.Errorf("answered with\n%s", a.w.Body)
		}
	})
}

func TestS34PartBeyondTheSegmentIsTheNextSegmentsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		a := f.ask(t.Context(), live+"?_HLS_msn=2&_HLS_part=10")
		if !a.waits() {
			t.Fatal("answered before the next segment has begun")
		}
		f.part("v0")
		if a.waits() || len(tags(a.w.Body.String(), "#EXT-X-PART")) != 31 {
			t.Errorf("answered with\n%s", a.w.Body)
		}
	})
}

func TestS33S35S39DirectivesThatAreRefused(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	f.part("v0")
	for _, query := range []string{
		"_HLS_part=1", "_HLS_msn=6", "_HLS_msn=99999", "_HLS_msn=3&_HLS_part=40", "_HLS_msn=4&_HLS_part=40",
		"_HLS_msn=-1", "_HLS_msn=x", "_HLS_msn=", "_HLS_msn=3&_HLS_part=-1", "_HLS_msn=18446744073709551616",
	} {
		f.get(live+"?"+query, http.StatusBadRequest)
	}
}

func TestS37S39StalePositionIsAnsweredAtOnce(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	f.segment(30)
	for _, query := range []string{"?_HLS_msn=29", "?_HLS_msn=3", "?_HLS_msn=3&_HLS_part=2", "?_HLS_msn=29&_HLS_part=9", "?_HLS_unknown=7", "?foo=bar"} {
		if p := f.playlist(query); p != f.playlist("") {
			t.Errorf("%s is answered with\n%s", query, p)
		}
	}
}

func TestS36ParkedTooLongIs503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		start := time.Now()
		a := f.ask(t.Context(), live+"?_HLS_msn=3")
		<-a.done
		if took := time.Since(start); took != 12*time.Second || a.w.Code != http.StatusServiceUnavailable || a.w.Header().Get("Retry-After") == "" {
			t.Errorf("status %d after %s", a.w.Code, took)
		}
	})
}

func TestS36S62EndReleasesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		f.part("v0")
		playlist := f.ask(t.Context(), live+"?_HLS_msn=3&_HLS_part=4")
		hinted := f.ask(t.Context(), video+"3.1.m4s")
		f.end()
		if playlist.waits() || !strings.HasSuffix(playlist.w.Body.String(), "#EXT-X-ENDLIST\n") {
			t.Errorf("playlist: %s", playlist.w.Body)
		}
		if hinted.waits() || hinted.w.Code != http.StatusNotFound {
			t.Errorf("a hint that is not fulfilled: status %d", hinted.w.Code)
		}
	})
}

func TestS36GapReleasesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		a := f.ask(t.Context(), live+"?_HLS_msn=3&_HLS_part=0")
		f.gap("v0")
		if a.waits() || !strings.Contains(a.w.Body.String(), "#EXT-X-GAP") {
			t.Error("a segment without parts leaves those waiting who want its first")
		}
	})
}

func TestStoppingReleasesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		a := f.ask(t.Context(), live+"?_HLS_msn=3")
		f.h.Close()
		if a.waits() || a.w.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", a.w.Code)
		}
	})
}

func TestCallerThatLeavesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		ctx, cancel := context.WithCancel(t.Context())
		a := f.ask(ctx, live+"?_HLS_msn=3")
		if f.h.Parked() != 1 {
			t.Errorf("%d parked", f.h.Parked())
		}
		cancel()
		if a.waits() || f.h.Parked() != 0 || f.h.Requests(KindPlaylist, 499) != 1 {
			t.Errorf("%d parked", f.h.Parked())
		}
	})
}

func TestParkedRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{Parked: 2})
		f.segment(3)
		one, two := f.ask(t.Context(), live+"?_HLS_msn=3"), f.ask(t.Context(), live+"?_HLS_msn=3")
		f.get(live+"?_HLS_msn=3", http.StatusServiceUnavailable)
		f.get(live+"?_HLS_msn=2", http.StatusOK)
		if f.h.Refused() != 1 {
			t.Errorf("%d refused", f.h.Refused())
		}
		f.segment(1)
		if one.waits() || two.waits() {
			t.Error("those within the bound still wait")
		}
	})
}

// Ten thousand wait, and the playlist is written once for all of them.
func TestS40ManyWaitersShareOneRendering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		track := f.h.shows["rec1"].track("v0")
		bodies := make([]*body, 10_000)
		var waiting sync.WaitGroup
		for i := range bodies {
			waiting.Go(func() {
				b, err := f.h.playlist(t.Context(), track, &directives{blocks: true, at: position{3, 0}})
				if err != nil {
					t.Error(err)
				}
				bodies[i] = b
			})
		}
		synctest.Wait()
		if n := f.h.Parked(); n != 10_000 {
			t.Fatalf("%d parked", n)
		}
		f.part("v0")
		waiting.Wait()
		for _, b := range bodies {
			if b != bodies[0] || b == nil {
				t.Fatal("the playlist was written more than once")
			}
		}
	})
}

func TestS60S61HintIsHeldAndFulfilledByItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(2)
		f.part("v0")
		for n := range 25 {
			hint := tag(f.playlist(""), "#EXT-X-PRELOAD-HINT")
			if attribute(hint, "TYPE") != "PART" || strings.Count(f.playlist(""), "PRELOAD-HINT") != 1 {
				t.Fatalf("hint %q", hint)
			}
			a := f.ask(t.Context(), video+attribute(hint, "URI"))
			if !a.waits() {
				t.Fatalf("hint %s is answered early with %d", hint, a.w.Code)
			}
			if n%10 == 8 {
				f.finish("v0") // the hint was for the first part of the next segment
			}
			f.part("v0")
			parts := tags(f.playlist(""), "#EXT-X-PART")
			if last := parts[len(parts)-1]; attribute(last, "URI") != attribute(hint, "URI") {
				t.Fatalf("hinted %s, then came %s", hint, last)
			}
			if a.waits() || a.w.Code != http.StatusOK || !strings.HasPrefix(a.w.Body.String(), "rec1/v0/") {
				t.Fatalf("hint %s: status %d", hint, a.w.Code)
			}
		}
	})
}

// After a restart the hint is there before the first part is, as of a rendition that is transcoded.
func TestS60HintAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		f.h.Close()
		f.start()
		f.begin("rec1")
		if hint := attribute(tag(f.playlist(""), "#EXT-X-PRELOAD-HINT"), "URI"); hint != "3.0.m4s" {
			t.Fatalf("the hint is %q in\n%s", hint, f.playlist(""))
		}
		a := f.ask(t.Context(), "/hls/demo/rec1/v0/3.0.m4s")
		if !a.waits() {
			t.Fatalf("answered with %d before it is there", a.w.Code)
		}
		f.part("v0")
		if a.waits() || a.w.Code != http.StatusOK || a.w.Body.String() != "rec1/v0/3.0;" {
			t.Errorf("answered with %d, %q", a.w.Code, a.w.Body)
		}
	})
}

func TestS62UnknownResourceIs404AtOnce(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(2)
	f.part("v0")
	for _, name := range []string{"2.2.m4s", "3.0.m4s", "2.m4s", "7.m4s", "init9.mp4", "x.m4s", "02.1.m4s", "-1.m4s", "..m4s", "1.1.1.m4s", "index.m3u"} {
		f.get(video+name, http.StatusNotFound)
	}
}

func TestS50S51S54Delta(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(40)
	f.part("v0")
	full, delta := f.playlist(""), f.playlist("?_HLS_skip=YES")
	if got := number(t, strings.ReplaceAll(delta, "SKIPPED-SEGMENTS=", ""), "#EXT-X-SKIP"); got != 28 {
		t.Errorf("skipped %d of 40 segments, want those older than 24 s", got)
	}
	head, rest, _ := strings.Cut(delta, "#EXT-X-SKIP:SKIPPED-SEGMENTS=28\n#EXT-X-MAP:URI=\"init0.mp4\"\n")
	if !strings.HasPrefix(full, head) || !strings.HasSuffix(full, rest) {
		t.Errorf("delta is no part of the full playlist:\n%s", delta)
	}
	if len(delta) > len(full)*3/4 {
		t.Errorf("delta has %d of %d bytes", len(delta), len(full))
	}
}

func TestS52S53DeltaIsIgnored(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(40)
	full := f.playlist("")
	for name, query := range map[string]string{
		"dateranges are not skipped":        "?_HLS_skip=v2",
		"caller lacks the skipped segments": "?_HLS_skip=YES&_HLS_msn=3",
	} {
		if f.playlist(query) != full {
			t.Errorf("%s: not the full playlist", name)
		}
	}
	short := newFeed(t, Config{Window: 30 * time.Second})
	short.segment(40)
	if p := short.playlist("?_HLS_skip=YES"); strings.Contains(p, "SKIP") {
		t.Errorf("a delta that is not offered:\n%s", p)
	}
}

// What comes while the past is still being read stands behind it.
func TestPastIsReadWhileTheShowGoesOn(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	f.segment(5)
	f.h.Close()
	f.start()
	s := newShow(f.rec, f.h.config, &f.h.ushers)
	f.h.shows["rec1"], f.h.stream["demo"] = s, s
	f.h.Describe("rec1", f.shelf.renditions["rec1"])
	f.segment(30)
	f.h.load(s)
	f.segment(1)
	p := f.playlist("")
	if first := number(t, p, "#EXT-X-MEDIA-SEQUENCE"); first != 26 || len(tags(p, "#EXTINF")) != 10 {
		t.Errorf("first segment %d in\n%s", first, p)
	}
	if whole := f.get("/vod/rec1/v0/index.m3u8", 200); len(tags(whole, "#EXTINF")) != 36 {
		t.Errorf("the whole is\n%s", whole)
	}
}

func TestEndedShowsKeepNoMediaInMemory(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	part, segment := f.get(video+"2.4.m4s", http.StatusOK), f.get(video+"2.m4s", http.StatusOK)
	f.part("v0") // of a segment that never becomes durable
	lost := f.get(video+"2.10.m4s", http.StatusOK)
	f.end()
	for _, s := range f.h.ended {
		for _, track := range s.list() {
			for _, n := range track.near {
				if n.data != nil || !n.parts[0].shelved || n.parts[0].payload.data != nil {
					t.Errorf("segment %d of %s is still in memory", n.seg.Sequence, track.id)
				}
			}
		}
	}
	if got := f.get(video+"2.4.m4s", http.StatusOK); got != part {
		t.Errorf("the part is %q, was %q", got, part)
	}
	if got := f.get(video+"2.m4s", http.StatusOK); got != segment {
		t.Errorf("the segment is %q, was %q", got, segment)
	}
	if got := f.get(video+"2.10.m4s", http.StatusOK); got != lost {
		t.Errorf("the part of the unfinished segment is %q, was %q", got, lost)
	}
}
