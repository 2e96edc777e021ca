package hlsfallback

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice"
)

// A segment that begins without a keyframe, as when a publisher sends none for ten
// seconds, takes the tag away; gaps do not.
func TestS15IndependentSegmentsWhileAllBeginWithKeyframes(t *testing.T) {
	const name = "#EXT-X-INDEPENDENT-SEGMENTS"
	f := newFeed(t, Config{})
	f.segment(2)
	f.gap("v0")
	for _, path := range []string{live, "/hls/demo/index.m3u8"} {
		if len(tags(f.get(path, 200), name)) != 1 {
			t.Errorf("%s has no %s", path, name)
		}
	}
	growing := sluice.Segment{Sequence: 3, Start: startTime().Add(6 * time.Second)}
	f.h.Part("rec1", "v0", growing, sluice.Part{Duration: partTime, Gap: true}, nil)
	if len(tags(f.playlist(""), name)) != 1 {
		t.Error("a gap takes the tag away")
	}
	p := sluice.Part{Index: 1, Duration: partTime, Bytes: sluice.ByteRange{Length: 1}}
	f.h.Part("rec1", "v0", growing, p, []byte("x"))
	growing.Parts, growing.Size, growing.Duration = []sluice.Part{{Duration: partTime, Gap: true}, p}, 1, 2*partTime
	f.put("v0", growing, []byte("x"))
	f.part("opus")
	for _, path := range []string{live, audio + "index.m3u8", "/hls/demo/index.m3u8", "/vod/rec1/v0/index.m3u8"} {
		if len(tags(f.get(path, 200), name)) != 0 {
			t.Errorf("%s has %s", path, name)
		}
	}
}

// The part target is what the configuration says, from 50 ms to 5 s.
func TestS24PartTargetIsConfigurable(t *testing.T) {
	for d, fine := range map[time.Duration]bool{
		40 * time.Millisecond: false, 50 * time.Millisecond: true, 200 * time.Millisecond: true, 333 * time.Millisecond: true,
		time.Second: true, 5100 * time.Millisecond: false,
	} {
		c := Config{Part: d, Target: 6 * time.Second}
		if err := c.Validate(); (err == nil) != fine {
			t.Errorf("%v: %v", d, err)
		}
		if fine {
			f := newFeed(t, c)
			f.part("v0")
			if got, want := tag(f.playlist(""), "#EXT-X-PART-INF"), fmt.Sprintf("PART-TARGET=%.5f", d.Seconds()); got != want {
				t.Errorf("%v: %s", d, got)
			}
		}
	}
}

// Callers that ask for the same get the same, whether they have waited or not, and
// caches may keep it.
func TestS41SameQuestionSameAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(3)
		const query = "?_HLS_msn=3&_HLS_part=0"
		one, two := f.ask(t.Context(), live+query), f.ask(t.Context(), live+query)
		f.part("v0")
		if one.waits() || two.waits() || one.w.Body.String() != two.w.Body.String() {
			t.Errorf("two who waited for the same read\n%s\n%s", one.w.Body, two.w.Body)
		}
		late := f.do(http.MethodGet, live+query)
		if late.Body.String() != one.w.Body.String() {
			t.Errorf("who came later reads\n%s", late.Body)
		}
		for _, w := range []http.Header{one.w.Header(), late.Header()} {
			if !strings.HasPrefix(w.Get("Cache-Control"), "public, max-age=") {
				t.Errorf("Cache-Control: %s", w.Get("Cache-Control"))
			}
		}
	})
}

// Parts are resources of their own here; an open-ended range of the hinted one is
// held like the whole and answered.
func TestS63OpenRangeOfTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{})
		f.segment(1)
		f.part("v0")
		done := make(chan struct{})
		var code int
		var body, covered string
		go func() {
			defer close(done)
			w := f.do(http.MethodGet, video+"1.1.m4s", "Range", "bytes=5-")
			code, body, covered = w.Code, w.Body.String(), w.Header().Get("Content-Range")
		}()
		synctest.Wait()
		f.part("v0")
		<-done
		if code != http.StatusPartialContent || body != "v0/1.1;" || covered != "bytes 5-11/12" {
			t.Errorf("%d %q %s", code, body, covered)
		}
	})
}

// What a rendition report names can be fetched.
func TestS71ReportsNameWhatCanBeFetched(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(2)
	for n := range 25 {
		f.part("opus")
		if n%10 == 9 {
			f.finish("opus")
		}
		f.part("v0")
		report := tag(f.playlist(""), "#EXT-X-RENDITION-REPORT")
		sound := f.get(audio+"index.m3u8", http.StatusOK)
		growing := tags(sound[strings.LastIndex(sound, "\n#EXTINF"):], "#EXT-X-PART")
		last := attribute(report, "LAST-MSN") + "." + attribute(report, "LAST-PART")
		if want := fmt.Sprintf("%d.%d", 2+n/10, len(growing)-1); n%10 != 9 && last != want {
			t.Errorf("the report names %s, the playlist ends with %s", last, want)
		}
		parts := tags(sound, "#EXT-X-PART")
		f.get(audio+attribute(parts[len(parts)-1], "URI"), http.StatusOK)
	}
}

// Nothing is added to what the part target asks for: a part is listed, and can be
// fetched, at the moment that it exists, and the end of the playlist is the capture time
// of then. A player that keeps PART-HOLD-BACK shows a picture at most that and a part
// after it was captured: with parts of 0.5 s that leaves half a second of three for the
// encoder.
func TestS87LatencyBudget(t *testing.T) {
	const part, goal, encoder = 500 * time.Millisecond, 3 * time.Second, 500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, Config{Part: part})
		for _, ft := range f.tracks {
			ft.next.Start = time.Now()
		}
		for n := range 24 {
			msn, index := n/4, n%4
			if index == 0 && n > 0 {
				f.finish("v0")
			}
			var waiting, hinted *ask
			if n > 0 {
				waiting = f.ask(t.Context(), fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", live, msn, index))
				hinted = f.ask(t.Context(), video+attribute(tag(f.playlist(""), "#EXT-X-PRELOAD-HINT"), "URI"))
			}
			time.Sleep(part)
			f.partOf("v0", part, nil)
			if n == 0 {
				continue
			}
			if waiting.waits() || hinted.waits() || hinted.w.Code != http.StatusOK {
				t.Fatalf("part %d.%d is not there when it exists", msn, index)
			}
			if late := time.Since(endOfPlaylist(t, waiting.w.Body.String())); late != 0 {
				t.Errorf("the playlist with part %d.%d ends %v ago", msn, index, late)
			}
		}
		control := tag(f.playlist(""), "#EXT-X-SERVER-CONTROL")
		back, err := time.ParseDuration(attribute(control, "PART-HOLD-BACK") + "s")
		if err != nil || back+part > goal-encoder {
			t.Errorf("%s, %v", control, err)
		}
	})
}

// endOfPlaylist is the capture time of the end of the last part.
func endOfPlaylist(t *testing.T, playlist string) (end time.Time) {
	t.Helper()
	for line := range strings.Lines(playlist) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		var err error
		switch name {
		case "#EXT-X-PROGRAM-DATE-TIME":
			end, err = time.Parse(time.RFC3339Nano, value)
		case "#EXT-X-PART":
			var d time.Duration
			d, err = time.ParseDuration(attribute(value, "DURATION") + "s")
			end = end.Add(d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return end
}

// A rendition that begins late, or of which earlier segments have been taken away,
// has the discontinuity sequence that its first segment says.
func TestS03S12DiscontinuitySequenceOfTheFirstSegment(t *testing.T) {
	f := newFeed(t, Config{Window: 30 * time.Second})
	for id, discontinuity := range map[string]bool{"v0": true, "opus": false} {
		f.tracks[id].next.Breaks, f.tracks[id].next.Discontinuity = 7, discontinuity
	}
	listed := func(when string) {
		t.Helper()
		for path, want := range map[string]int{live: 6, audio + "index.m3u8": 7} {
			p := f.get(path, http.StatusOK)
			if got := number(t, p, "#EXT-X-DISCONTINUITY-SEQUENCE"); got != want {
				t.Errorf("%s %s: %d, want %d", when, path, got, want)
			}
			if got := len(tags(p, "#EXT-X-DISCONTINUITY")); got != 7-want {
				t.Errorf("%s %s: %d discontinuities", when, path, got)
			}
		}
	}
	f.part("v0")
	f.part("opus")
	listed("with a part")
	f.segment(1)
	listed("with a segment")
	f.h.Close()
	f.start()
	f.begin("rec1")
	listed("after a restart")
	for id := range f.tracks {
		f.tracks[id].next.Breaks = 8
	}
	f.segment(30)
	for _, path := range []string{live, audio + "index.m3u8"} {
		if got := number(t, f.get(path, http.StatusOK), "#EXT-X-DISCONTINUITY-SEQUENCE"); got != 8 {
			t.Errorf("when all have left, %s: %d", path, got)
		}
	}
}

// TestNothingBehindTheEnd: gaps of the time in which nobody came back are no part of a
// recording, though ticks put them a little before its end; others are.
func TestNothingBehindTheEnd(t *testing.T) {
	end := startTime().Add(2 * time.Second)
	list := []sluice.Segment{
		{Start: startTime(), Gap: true},
		{Start: startTime().Add(time.Second)},
		{Start: startTime().Add(1990 * time.Millisecond), Gap: true},
		{Start: end.Add(-20 * time.Microsecond), Gap: true},
		{Start: end.Add(time.Second), Gap: true},
	}
	if got := len(ending(list, end)); got != 3 {
		t.Errorf("%d segments are left", got)
	}
	if got := len(ending(list, time.Time{})); got != len(list) {
		t.Errorf("%d segments of a recording that goes on", got)
	}
}
