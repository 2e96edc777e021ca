package recorder

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// TestS17S83S85Codecs records each way in which parameter sets come.
func TestS17S83S85Codecs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, codec string
		inBand      bool
		mime        string
	}{
		{"H264", "H264", true, "avc1.42C01E"},
		{"H264 with parameter sets in SDP only", "H264", false, "avc1.42C01E"},
		{"H265", "H265", true, "hvc1.1.6.L63.90"},
		{"H265 with parameter sets in SDP only", "H265", false, "hvc1.1.6.L63.90"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			media := newStudio(film(t, 1, "", tt.codec, 640, tt.inBand), tone(2))
			r, stop := newRecorder(t, config(), media, memoryStore(), nil)
			eventually(t, "five segments", func() bool { return len(durable(t, r, "v")) >= 5 })
			stop()
			video, sound := decodes(t, r, "v"), decodes(t, r, "opus")
			if video < 5*2*clipRate || sound < 5*2*50-10 {
				t.Errorf("%d pictures, %d packets", video, sound)
			}
			renditions, segments, err := r.Timeline(t.Context(), only(t, r).ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range renditions {
				if n.ID == "v" && (n.Codecs != tt.mime || n.Width != 640 || n.Height != 360 || n.FrameRate != clipRate) {
					t.Errorf("%+v, want %s", n, tt.mime)
				}
			}
			if want := map[string]string{"H264": "avc1", "H265": "hvc1"}[tt.codec]; !strings.HasPrefix(tt.mime, want) {
				t.Errorf("sample entry of %s, want %s", tt.mime, want)
			}
			continuous(t, r, segments)
			for _, s := range segments["v"][:5] {
				if s.Duration != 2*time.Second || len(s.Parts) != 4 {
					t.Errorf("segment %d: %v in %d parts", s.Sequence, s.Duration, len(s.Parts))
				}
			}
		})
	}
}

// TestBFrames: pictures that are sent after others which are shown later have no
// place in a stream without composition times (RFC 9725 publishers send none). They
// are left out, with one warning; what is left decodes.
func TestBFrames(t *testing.T) {
	t.Parallel()
	video := film(t, 1, "", "H264", 320, true, "-bf", "2", "-x264-params",
		"aud=1:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1:b-adapt=0:b-pyramid=none")
	video.shown = func(frame int) int { // I0 P3 B1 B2 P6 B4 B5 ...
		switch in := frame % clipRate; {
		case in == 0:
			return frame
		case in%3 == 1:
			return frame + 2
		default:
			return frame - 1
		}
	}
	r, stop := newRecorder(t, config(), newStudio(video, tone(2)), memoryStore(), nil)
	eventually(t, "four segments", func() bool { return len(durable(t, r, "v")) >= 4 })
	stop()
	frames, dropped := decodes(t, r, "v"), r.Counters().UnitsDropped
	if want := len(durable(t, r, "v")) * 18; frames < want-20 || frames > want+20 || dropped < int64(frames) {
		t.Errorf("%d pictures of %d segments are recorded, %d left out", frames, len(durable(t, r, "v")), dropped)
	}
}

// TestS25KeyframesAreAskedFor on the packager's clock, of all layers together, and
// segments begin with them.
func TestS25KeyframesAreAskedFor(t *testing.T) {
	t.Parallel()
	media := newStudio(film(t, 1, "f", "H264", 320, true), film(t, 2, "q", "H264", 320, true))
	r, stop := newRecorder(t, config(), media, memoryStore(), nil)
	eventually(t, "six segments", func() bool { return len(durable(t, r, "vf")) >= 6 })
	stop()
	for track, asked := range media.asked {
		if seconds := media.Now().Sub(media.start).Seconds(); float64(asked) < seconds/2-2 || float64(asked) > seconds/2+2 {
			t.Errorf("track %d was asked for %d keyframes in %.0f s", track, asked, seconds)
		}
	}
	for _, id := range []string{"vf", "vq"} {
		for _, s := range durable(t, r, id) {
			if !s.Parts[0].Independent || s.Key.Offset != 0 || s.Key.Length == 0 {
				t.Errorf("%s: segment %d does not begin with a keyframe", id, s.Sequence)
			}
		}
	}
}

// TestS86SoundIsAACToo, made by ffmpeg, at the same times.
func TestS86SoundIsAACToo(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.FFmpeg = "ffmpeg"
	r, stop := newRecorder(t, cfg, newStudio(tone(1)), memoryStore(), nil)
	eventually(t, "three segments", func() bool { return len(durable(t, r, aacID)) >= 3 })
	stop()
	decodes(t, r, aacID)
	opus, aac := durable(t, r, soundID), durable(t, r, aacID)
	if off := aac[0].Start.Sub(opus[0].Start).Abs(); off > 45*time.Millisecond {
		t.Errorf("AAC begins %v from where Opus does", off)
	}
}

// TestResolutionChange: new parameter sets in mid-stream are a new init section
// and a discontinuity in every rendition.
func TestResolutionChange(t *testing.T) {
	t.Parallel()
	small, large := film(t, 1, "", "H264", 320, true), film(t, 1, "", "H264", 640, true)
	small.frames = append(append([][][]byte{}, small.frames...), large.frames...)
	media := newStudio(small, tone(2))
	sink := &listener{}
	r, stop := newRecorder(t, config(), media, memoryStore(), sink)
	eventually(t, "five segments", func() bool { return len(durable(t, r, "v")) >= 5 })
	stop()
	decodes(t, r, "v")
	segments := durable(t, r, "v")
	if s := segments[2]; s.Init != 2 || !s.Discontinuity || segments[1].Init != 1 || segments[0].Discontinuity {
		t.Errorf("segments %+v", segments)
	}
	for _, id := range []string{"v", "opus"} {
		breaks := 0
		for _, s := range durable(t, r, id)[:4] {
			if s.Discontinuity {
				breaks++
			}
		}
		if breaks != 1 {
			t.Errorf("%s: %d discontinuities in four segments", id, breaks)
		}
	}
	if len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
}

// TestS09Loss: what depends on lost packets is left out, the time of it is a gap or
// a longer picture, and every segment decodes.
func TestS09Loss(t *testing.T) {
	t.Parallel()
	video := film(t, 1, "", "H264", 640, true)
	random := rand.New(rand.NewPCG(1, 2))
	video.lost = func(frame, _ int) bool { return frame > 30 && random.IntN(200) == 0 }
	sound := tone(2)
	sound.lost = func(int, int) bool { return random.IntN(20) == 0 }
	media := newStudio(video, sound)
	r, stop := newRecorder(t, config(), media, memoryStore(), nil)
	eventually(t, "twelve segments", func() bool { return len(durable(t, r, "v")) >= 12 })
	stop()
	frames := decodes(t, r, "v")
	decodes(t, r, "opus")
	if r.Counters().UnitsDropped == 0 || frames == 0 || media.asked[1] == 0 {
		t.Errorf("%+v, %d pictures, %d requests", r.Counters(), frames, media.asked[1])
	}
	segments := durable(t, r, "v")
	for i, s := range segments[1:] {
		if hole := s.Start.Sub(segments[i].Start.Add(segments[i].Duration)); hole.Abs() > 50*time.Microsecond {
			t.Errorf("segment %d begins %v after the end of the one before", s.Sequence, hole)
		}
	}
	lengths(t, "v", segments, config().Part)
	var silent time.Duration
	for _, s := range durable(t, r, "opus") {
		silent += s.Duration
	}
	if last := durable(t, r, "opus"); last[len(last)-1].Start.Add(last[len(last)-1].Duration).Sub(last[0].Start)-silent > time.Millisecond {
		t.Error("sound has holes")
	}
}

// TestStall: a layer that stops becomes gaps while the others go on.
func TestStall(t *testing.T) {
	t.Parallel()
	high, low := film(t, 1, "f", "H264", 640, true), film(t, 2, "q", "H264", 320, true)
	high.lost = func(frame, _ int) bool { return frame > 100 && frame < 400 }
	media := newStudio(high, low, tone(3))
	r, stop := newRecorder(t, config(), media, memoryStore(), nil)
	eventually(t, "twelve segments", func() bool { return len(durable(t, r, "vf")) >= 12 })
	stop()
	decodes(t, r, "vf")
	gaps := 0
	for _, s := range durable(t, r, "vf") {
		if s.Gap {
			gaps++
		}
	}
	if gaps < 3 {
		t.Errorf("%d gaps", gaps)
	}
	together(t, durable(t, r, "vq"), durable(t, r, "vf"), time.Millisecond)
	lengths(t, "vf", durable(t, r, "vf"), config().Part)
	for _, s := range durable(t, r, "vq") {
		if s.Gap || s.Discontinuity {
			t.Errorf("the other layer: %+v", s)
		}
	}
}

// TestPublisherReturns within the grace time: one recording, with a
// discontinuity.
func TestPublisherReturns(t *testing.T) {
	t.Parallel()
	first := []*source{film(t, 1, "", "H264", 320, true), tone(2)}
	media := newStudio(first...)
	sink := &listener{}
	cfg := config()
	cfg.FFmpeg = "ffmpeg"
	r, stop := newRecorder(t, cfg, media, memoryStore(), sink)
	eventually(t, "three segments", func() bool { return len(durable(t, r, "v")) >= 3 && len(durable(t, r, aacID)) >= 1 })
	media.set(sluice.StreamPaused)
	eventually(t, "the end of the last segment", media.noticed)
	before := 3 + len(durable(t, r, "v"))
	now := media.pass(t, 5*time.Second)
	media.set(sluice.StreamLive, first[0].again(3, now), first[1].again(4, now))
	eventually(t, "three more", func() bool { return len(durable(t, r, "v")) >= before+3 })
	media.set(sluice.StreamOffline)
	eventually(t, "the end", func() bool { return !only(t, r).Ended.IsZero() })
	stop()
	for _, id := range []string{"v", soundID, aacID} {
		decodes(t, r, id)
		segments, breaks, gaps := durable(t, r, id), 0, time.Duration(0)
		for i, s := range segments {
			if s.Discontinuity {
				breaks++
			}
			if s.Gap {
				gaps += s.Duration
			}
			if s.Duration > 2*cfg.Segment {
				t.Errorf("%s: segment %d lasts %v", id, s.Sequence, s.Duration)
			}
			if i > 0 && s.Start.Sub(segments[i-1].Start.Add(segments[i-1].Duration)) > 100*time.Millisecond {
				t.Errorf("%s: nothing stands before segment %d", id, s.Sequence)
			}
		}
		if breaks != 1 || gaps < 4*time.Second || gaps > 8*time.Second && id != aacID { // ffmpeg has no part in the test's clock
			t.Errorf("%s: %d discontinuities, gaps of %v in %+v", id, breaks, gaps, segments)
		}
		lengths(t, id, segments, cfg.Part)
	}
	if calls := sink.calls; len(sink.wrong) > 0 || calls[0][:5] != "begin" || calls[len(calls)-1][:3] != "end" {
		t.Error(sink.calls, sink.wrong)
	}
}

// TestFewerLayers: a publisher comes back without a layer, whose rendition goes on
// as gaps beside the others, and later with it and a new one, which is gaps before.
func TestFewerLayers(t *testing.T) {
	t.Parallel()
	first := []*source{film(t, 1, "f", "H264", 640, true), film(t, 2, "q", "H264", 320, true), tone(3)}
	added := film(t, 4, "h", "H264", 160, true)
	media := newStudio(first...)
	sink := &listener{}
	r, stop := newRecorder(t, config(), media, memoryStore(), sink)
	again := func(id uint64, layers ...*source) {
		media.set(sluice.StreamPaused)
		eventually(t, "the end of the last segment", media.noticed)
		at := media.Now().Sub(media.start)
		var next []*source
		for i, l := range layers {
			next = append(next, l.again(id+uint64(i), at))
			next[i].track.Publisher = fmt.Sprint(id)
		}
		media.set(sluice.StreamLive, next...)
	}
	eventually(t, "two segments", func() bool { return len(durable(t, r, "vf")) >= 2 })
	again(10, first[1], first[2])
	gaps := func() (n int) {
		for _, s := range durable(t, r, "vf") {
			if s.Gap {
				n++
			}
		}
		return n
	}
	eventually(t, "four gaps", func() bool { return gaps() >= 4 })
	full := len(durable(t, r, "vf"))
	again(20, first[0], first[1], first[2], added)
	eventually(t, "three whole segments", func() bool { return len(durable(t, r, "vf")) >= full+4 })
	stop()
	covered(t, r, "vf", "vh")
	for _, id := range []string{"vf", "vq", "vh", "opus"} {
		decodes(t, r, id)
		breaks := 0
		for _, s := range durable(t, r, id) {
			if s.Discontinuity {
				breaks++
			}
			if s.Breaks != uint64(breaks) {
				t.Errorf("%s: segment %d has the discontinuity sequence number %d after %d discontinuities", id, s.Sequence, s.Breaks, breaks)
			}
			if s.Duration <= 0 || s.Duration > 5*time.Second {
				t.Errorf("%s: segment %d lasts %v", id, s.Sequence, s.Duration)
			}
		}
		if breaks != 2 {
			t.Errorf("%s: %d discontinuities", id, breaks)
		}
	}
	if last := durable(t, r, "vf"); last[len(last)-1].Gap {
		t.Error("the layer that is back is a gap still")
	}
	if len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
}

// TestWindow: what is older than the window goes away, in the index and on disk.
func TestWindow(t *testing.T) {
	t.Parallel()
	media := newStudio(film(t, 1, "", "H264", 320, true))
	store := memoryStore()
	cfg := config()
	cfg.Segment, cfg.Window = time.Second, 10*time.Second
	r, stop := newRecorder(t, cfg, media, store, nil)
	eventually(t, "forty segments", func() bool { return len(durable(t, r, "v")) >= 40 })
	now := media.Now()
	r.clean(now)
	segments := durable(t, r, "v")
	// What live players need stays, and two segments may be on their way to the disk.
	if age := now.Sub(segments[0].Start); age > 3*longestSegment+2*cfg.Segment || len(segments) < 15 {
		t.Errorf("%d segments, the oldest of %v ago", len(segments), age)
	}
	rec := only(t, r)
	stop()
	if _, err := r.Segment(t.Context(), rec.ID, "v", 0); sluice.CodeOf(err) != sluice.CodeNotFound {
		t.Errorf("the first segment is still there: %v", err)
	}
	r2, stop := newRecorder(t, cfg, newStudio(), store, nil)
	if again := durable(t, r2, "v"); len(again) == 0 || again[0].Sequence != segments[0].Sequence {
		t.Errorf("after a restart it begins with %+v", again[:1])
	}
	stop()
}

// TestBudget: the oldest recordings give way.
func TestBudget(t *testing.T) {
	t.Parallel()
	store := memoryStore()
	cfg := config()
	cfg.Grace = 0
	var ids []string
	for range 3 {
		media := newStudio(film(t, 1, "", "H264", 320, true))
		r, stop := newRecorder(t, cfg, media, store, nil)
		eventually(t, "two segments", func() bool { return r.Counters().SegmentsWritten >= 2 })
		media.set(sluice.StreamOffline)
		eventually(t, "the end", func() bool { return r.Counters().Recordings == 0 })
		stop()
	}
	r, stop := newRecorder(t, cfg, newStudio(), store, nil)
	defer stop()
	all, err := r.Recordings(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d recordings, %v", len(all), err)
	}
	for _, rec := range all {
		ids = append(ids, rec.ID)
	}
	r.cfg.Budget = r.ended[ids[1]].size + r.ended[ids[2]].size
	r.clean(time.Now())
	if all, err = r.Recordings(t.Context()); err != nil || len(all) != 2 || all[0].ID != ids[1] {
		t.Errorf("left: %+v, %v", all, err)
	}
	r.clean(time.Now().Add(2 * cfg.Keep))
	if all, err = r.Recordings(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("left after their time: %+v, %v", all, err)
	}
}
