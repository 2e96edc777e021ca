package hlsfallback

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// Section numbers are those of draft-pantos-hls-rfc8216bis.

func TestS01TargetDurationIsConstant(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	for range 20 {
		f.segment(1)
		if got := tag(f.playlist(""), "#EXT-X-TARGETDURATION"); got != "4" {
			t.Fatalf("target duration %s", got)
		}
	}
	// 4.49 s rounds down to the target, and keeps it.
	f.partOf("v0", 4490*time.Millisecond, nil)
	f.finish("v0")
	if got := tag(f.playlist(""), "#EXT-X-TARGETDURATION"); got != "4" {
		t.Errorf("target duration %s", got)
	}
}

func TestS01SegmentOverTargetStretchesAllRenditions(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(1)
	f.partOf("v0", 8300*time.Millisecond, nil)
	f.finish("v0")
	f.part("opus")
	for _, path := range []string{live, audio + "index.m3u8"} {
		if got := tag(f.get(path, 200), "#EXT-X-TARGETDURATION"); got != "8" {
			t.Errorf("%s: target duration %s", path, got)
		}
	}
}

func TestS02PlaylistOnlyAppendsAndTrims(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	var before []string
	for range 30 {
		f.segment(1)
		now := segmentLines(f.playlist(""))
		if len(before) > 0 {
			at := slices.Index(before, now[0])
			if at < 0 || !slices.Equal(before[at:], now[:len(before)-at]) {
				t.Fatalf("segments changed:\n%v\n%v", before, now)
			}
		}
		before = now
	}
}

// segmentLines lists date and URI of each segment.
func segmentLines(playlist string) (list []string) {
	date := ""
	for line := range strings.Lines(playlist) {
		line = strings.TrimSpace(line)
		if d, ok := strings.CutPrefix(line, "#EXT-X-PROGRAM-DATE-TIME:"); ok {
			date = d
		} else if line != "" && line[0] != '#' {
			list = append(list, date+" "+line)
		}
	}
	return list
}

func TestS03SequencesRiseByWhatIsRemoved(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	for n := range 40 {
		if n%7 == 3 {
			f.tracks["v0"].next.Discontinuity = true
		}
		f.segment(1)
	}
	p := f.playlist("")
	first := number(t, p, "#EXT-X-MEDIA-SEQUENCE")
	if first != 30 || !strings.HasPrefix(segmentLines(p)[0], startTime().Add(time.Duration(first)*segmentTime).Format("2006-01-02T15:04:05.000Z")) {
		t.Errorf("first segment %d: %s", first, segmentLines(p)[0])
	}
	// 3, 10, 17, 24 are gone; 31 and 38 are listed.
	if got := number(t, p, "#EXT-X-DISCONTINUITY-SEQUENCE"); got != 4 {
		t.Errorf("discontinuity sequence %d", got)
	}
	if got := len(tags(p, "#EXT-X-DISCONTINUITY")); got != 2 {
		t.Errorf("%d discontinuities listed", got)
	}
}

func TestS04NewPartsAreListedAtOnce(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(2)
	for n := 1; n <= 5; n++ {
		f.part("v0")
		if got := len(tags(f.playlist(""), "#EXT-X-PART")); got != 20+n {
			t.Fatalf("%d parts listed after %d", got, 20+n)
		}
	}
}

func TestS05AtLeastThreeTargetsAreKept(t *testing.T) {
	f := newFeed(t, Config{Window: time.Nanosecond})
	f.segment(30)
	if got := len(tags(f.playlist(""), "#EXTINF")); got != 6 {
		t.Errorf("%d segments of 2 s are listed, want three times 4 s", got)
	}
}

func TestS06RemovedSegmentsCanBeFetched(t *testing.T) {
	f := newFeed(t, Config{Window: 20 * time.Second})
	f.segment(40)
	if n := number(t, f.playlist(""), "#EXT-X-MEDIA-SEQUENCE"); n != 30 {
		t.Fatalf("first segment %d", n)
	}
	if got := f.get(video+"2.m4s", 200); !strings.HasPrefix(got, "rec1/v0/2.0;rec1/v0/2.1;") {
		t.Errorf("segment 2 is %q", got)
	}
}

func TestS07PartsLeaveAndCanBeFetchedOn(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(20)
	p := f.playlist("")
	listed := tags(p, "#EXT-X-PART")
	if len(listed) != 60 || attribute(listed[0], "URI") != "13.10.m4s" {
		t.Errorf("%d parts of the last 12 s, first %v", len(listed), listed[0])
	}
	f.get(video+"9.3.m4s", 200) // left, and kept for three targets more
	f.get(video+"2.3.m4s", 404)
}

func TestS08DiscontinuityAndMapAtChanges(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(2)
	f.tracks["v0"].next.Init, f.tracks["v0"].next.Discontinuity = 1, true
	f.init("v0", 1, []byte("second"))
	f.part("v0")
	p := f.playlist("")
	want := "1.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init1.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:04.000Z\n#EXT-X-PART:"
	if !strings.Contains(p, want) {
		t.Errorf("before the first part of the new segment stands not\n%s\nin\n%s", want, p)
	}
	f.finish("v0")
	f.part("v0")
	p = f.playlist("")
	if got := tags(p, "#EXT-X-MAP"); len(got) != 2 || got[0] != `URI="init0.mp4"` || got[1] != `URI="init1.mp4"` {
		t.Errorf("init sections %v", got)
	}
	if got := f.get(video+"init1.mp4", 200); got != "second" {
		t.Errorf("init section %q", got)
	}
}

func TestS09LostMediaIsAGap(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(2)
	f.gap("v0")
	if p := f.playlist(""); !strings.Contains(p, "#EXT-X-GAP\n#EXTINF:2.00000,\n2.m4s\n") {
		t.Errorf("no gap in\n%s", p)
	}
	f.get(video+"2.m4s", 404)
	f.h.Part("rec1", "v0", sluice.Segment{Sequence: 3, Start: startTime().Add(6 * time.Second)}, sluice.Part{Duration: partTime, Gap: true}, nil)
	parts := tags(f.playlist(""), "#EXT-X-PART")
	last := parts[len(parts)-1]
	if attribute(last, "GAP") != "YES" {
		t.Errorf("part %s", last)
	}
	f.get(video+attribute(last, "URI"), 404)
}

func TestS10S38EndlistAndNothingAfter(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	if p := f.playlist(""); strings.Contains(p, "PLAYLIST-TYPE") || strings.Contains(p, "ENDLIST") {
		t.Errorf("a sliding window says\n%s", p)
	}
	f.end()
	p := f.playlist("?_HLS_msn=100&_HLS_part=3&_HLS_skip=YES")
	if !strings.HasSuffix(p, "2.m4s\n#EXT-X-ENDLIST\n") || strings.Contains(p, "PRELOAD-HINT") || strings.Contains(p, "SKIP:") {
		t.Errorf("the end is\n%s", p)
	}
	f.get("/hls/demo/index.m3u8", http.StatusConflict)
}

func TestS11ProgramDateTimeIsCaptureTime(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(5)
	f.part("v0")
	dates := tags(f.playlist(""), "#EXT-X-PROGRAM-DATE-TIME")
	if len(dates) != 6 {
		t.Fatalf("dates %v", dates)
	}
	for i, text := range dates {
		date, err := time.Parse(time.RFC3339Nano, text)
		if want := startTime().Add(time.Duration(i) * segmentTime); err != nil || !date.Equal(want) {
			t.Errorf("segment %d: %s, want %s", i, text, want)
		}
	}
}

func TestS12RenditionsAgree(t *testing.T) {
	f := newFeed(t, Config{Window: 30 * time.Second})
	f.segment(10)
	f.tracks["v0"].next.Discontinuity, f.tracks["opus"].next.Discontinuity = true, true
	f.segment(20)
	v, a := f.playlist(""), f.get(audio+"index.m3u8", 200)
	for _, name := range []string{"#EXT-X-TARGETDURATION", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-PROGRAM-DATE-TIME"} {
		if tag(v, name) == "" || tag(v, name) != tag(a, name) {
			t.Errorf("%s is %q and %q", name, tag(v, name), tag(a, name))
		}
	}
}

func TestS13Multivariant(t *testing.T) {
	f := newFeed(t, Config{})
	f.h.Describe("rec1", []sluice.Rendition{
		{ID: "v0", Kind: sluice.RenditionVideo, Codecs: "avc1.42e01f", Width: 640, Height: 360, FrameRate: 30, Peak: 900_000, Average: 700_000},
		{ID: "v1", Kind: sluice.RenditionVideo, Codecs: "avc1.42e01e", Width: 1280, Height: 720, FrameRate: 29.97, Peak: 2_500_000, Average: 2_000_000},
		{ID: "opus", Kind: sluice.RenditionAudio, Codecs: "opus", Channels: 2, Default: true, Peak: 70_000, Average: 64_000},
		{ID: "aac", Kind: sluice.RenditionAudio, Codecs: "mp4a.40.2", Channels: 2, Default: true, Peak: 130_000, Average: 128_000},
	})
	f.tracks["v1"], f.tracks["aac"] = &feedTrack{next: sluice.Segment{Start: startTime()}}, &feedTrack{next: sluice.Segment{Start: startTime()}}
	for id := range f.tracks {
		f.part(id)
		f.finish(id)
	}
	want := `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-SESSION-DATA:DATA-ID="live.sluice.recording",VALUE="rec1"
#EXT-X-SESSION-DATA:DATA-ID="live.sluice.thumbnails",VALUE="rec1/thumbs.vtt"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="opus",NAME="opus",AUTOSELECT=YES,DEFAULT=YES,CHANNELS="2",URI="rec1/opus/index.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="mp4a",NAME="aac",AUTOSELECT=YES,DEFAULT=YES,CHANNELS="2",URI="rec1/aac/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2570000,AVERAGE-BANDWIDTH=2064000,CODECS="avc1.42e01e,opus",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="opus"
rec1/v1/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=970000,AVERAGE-BANDWIDTH=764000,CODECS="avc1.42e01f,opus",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO="opus"
rec1/v0/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=2630000,AVERAGE-BANDWIDTH=2128000,CODECS="avc1.42e01e,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="mp4a"
rec1/v1/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1030000,AVERAGE-BANDWIDTH=828000,CODECS="avc1.42e01f,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO="mp4a"
rec1/v0/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS="avc1.42e01e",RESOLUTION=1280x720,URI="rec1/v1/iframes.m3u8"
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=700000,CODECS="avc1.42e01f",RESOLUTION=640x360,URI="rec1/v0/iframes.m3u8"
`
	if got := f.get("/hls/demo/index.m3u8", 200); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestS13BandwidthIsMeasuredWithoutTheRecorder(t *testing.T) {
	f := newFeed(t, Config{})
	f.partOf("v0", 2*time.Second, make([]byte, 250_000))
	f.finish("v0")
	info := tag(f.get("/hls/demo/index.m3u8", 200), "#EXT-X-STREAM-INF")
	if attribute(info, "BANDWIDTH") != "1000000" || attribute(info, "AVERAGE-BANDWIDTH") != "1000000" {
		t.Errorf("250 kB in 2 s: %s", info)
	}
}

func TestAudioOnlyShow(t *testing.T) {
	f := newFeed(t, Config{})
	f.part("opus")
	f.finish("opus")
	p := f.get("/hls/demo/index.m3u8", 200)
	if attribute(tag(p, "#EXT-X-STREAM-INF"), "CODECS") != "opus" || !strings.Contains(p, "rec1/opus/index.m3u8") || strings.Contains(p, "v0") {
		t.Errorf("got\n%s", p)
	}
}

func TestS14VersionAllowsTheTags(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	if n := number(t, f.playlist(""), "#EXT-X-VERSION"); n < 9 {
		t.Errorf("version %d with EXT-X-SKIP", n)
	}
	f.end()
	if n := number(t, f.get("/vod/rec1/v0/index.m3u8", 200), "#EXT-X-VERSION"); n < 6 {
		t.Errorf("version %d with EXT-X-MAP", n)
	}
}

func TestS20S30PartInformation(t *testing.T) {
	f := newFeed(t, Config{Part: 350 * time.Millisecond})
	f.segment(3)
	p := f.playlist("")
	if got := tag(p, "#EXT-X-PART-INF"); got != "PART-TARGET=0.35000" {
		t.Errorf("part target %q", got)
	}
	if got := tag(p, "#EXT-X-SERVER-CONTROL"); got != "CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.05000,HOLD-BACK=12.00000,CAN-SKIP-UNTIL=24.00000" {
		t.Errorf("server control %q", got)
	}
}

func TestS22IndependentPartsAreMarked(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(2)
	for i, p := range tags(f.playlist(""), "#EXT-X-PART") {
		if got := attribute(p, "INDEPENDENT") == "YES"; got != (i%10 == 0) {
			t.Errorf("part %d: %s", i, p)
		}
	}
}

func TestS23PartsJoinedAreTheSegment(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(4)
	parts := tags(f.playlist(""), "#EXT-X-PART")
	for seq := range 4 {
		joined := ""
		for _, p := range parts[10*seq : 10*seq+10] {
			joined += f.get(video+attribute(p, "URI"), 200)
		}
		if whole := f.get(fmt.Sprintf("%s%d.m4s", video, seq), 200); whole != joined {
			t.Errorf("segment %d is\n%s, its parts are\n%s", seq, whole, joined)
		}
	}
}

func TestS70RenditionReports(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(3)
	f.playlist("")
	f.part("opus")
	f.part("opus")
	if got := tag(f.playlist(""), "#EXT-X-RENDITION-REPORT"); got != `URI="../opus/index.m3u8",LAST-MSN=2,LAST-PART=9` {
		t.Errorf("rendered before the parts: %q", got)
	}
	f.part("v0")
	if got := tag(f.playlist(""), "#EXT-X-RENDITION-REPORT"); got != `URI="../opus/index.m3u8",LAST-MSN=3,LAST-PART=1` {
		t.Errorf("rendered after the parts: %q", got)
	}
}

func TestS03RestartContinues(t *testing.T) {
	f := newFeed(t, Config{})
	f.segment(5)
	f.part("v0") // lost with the process
	f.h.Close()
	f.start()
	f.begin("rec1")
	f.segment(2)
	p := f.playlist("")
	if got := len(tags(p, "#EXTINF")); got != 7 || number(t, p, "#EXT-X-MEDIA-SEQUENCE") != 0 {
		t.Errorf("%d segments in\n%s", got, p)
	}
	if !strings.Contains(p, "4.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init0.mp4\"\n") {
		t.Errorf("no discontinuity after segment 4 in\n%s", p)
	}
	if first := tags(p, "#EXT-X-PART")[0]; attribute(first, "URI") != "5.0.m4s" {
		t.Errorf("the first part's address %s may have been used before", first)
	}
	f.get(video+"1.m4s", 200)
}
