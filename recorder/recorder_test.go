package recorder

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// TestCodecs records each way in which parameter sets come.
func TestCodecs(t *testing.T) {
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
			for _, s := range segments["v"][:5] {
				if s.Duration != 2*time.Second || len(s.Parts) != 4 {
					t.Errorf("segment %d: %v in %d parts", s.Sequence, s.Duration, len(s.Parts))
				}
			}
		})
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

// TestLoss: what depends on lost packets is left out, the time of it is a gap or
// a longer picture, and every segment decodes.
func TestLoss(t *testing.T) {
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
	r, stop := newRecorder(t, config(), media, memoryStore(), sink)
	eventually(t, "three segments", func() bool { return len(durable(t, r, "v")) >= 3 })
	media.set(sluice.StreamPaused)
	eventually(t, "the end of the last segment", media.noticed)
	before := len(durable(t, r, "v"))
	media.mu.Lock()
	media.now += 5 * time.Second
	now := media.now
	media.mu.Unlock()
	media.set(sluice.StreamLive, first[0].again(3, now), first[1].again(4, now))
	eventually(t, "three more", func() bool { return len(durable(t, r, "v")) >= before+3 })
	media.set(sluice.StreamOffline)
	eventually(t, "the end", func() bool { return !only(t, r).Ended.IsZero() })
	stop()
	for _, id := range []string{"v", "opus"} {
		decodes(t, r, id)
		breaks := 0
		for _, s := range durable(t, r, id) {
			if s.Discontinuity {
				breaks++
			}
		}
		if breaks != 1 {
			t.Errorf("%s: %d discontinuities in %+v", id, breaks, durable(t, r, id))
		}
	}
	if calls := sink.calls; len(sink.wrong) > 0 || calls[0][:5] != "begin" || calls[len(calls)-1][:3] != "end" {
		t.Error(sink.calls, sink.wrong)
	}
}

// TestRestart within the grace time: the new process goes on with the recording,
// its numbers and its init sections.
func TestRestart(t *testing.T) {
	t.Parallel()
	first := []*source{film(t, 1, "", "H264", 320, true), tone(2)}
	store := memoryStore()
	media := newStudio(first...)
	r, stop := newRecorder(t, config(), media, store, nil)
	eventually(t, "three segments", func() bool { return len(durable(t, r, "v")) >= 3 })
	stop()
	id, before := only(t, r).ID, durable(t, r, "v")

	// The clock of the new process is behind what the old one has recorded.
	media = newStudio(first[0].again(3, 0), first[1].again(4, 0))
	sink := &listener{}
	r, stop = newRecorder(t, config(), media, store, sink)
	eventually(t, "three more", func() bool { return len(durable(t, r, "v")) >= len(before)+3 })
	stop()
	if rec := only(t, r); rec.ID != id {
		t.Errorf("recording %s, want %s", rec.ID, id)
	}
	decodes(t, r, "v")
	after := durable(t, r, "v")[len(before):]
	last := before[len(before)-1]
	if s := after[0]; !s.Discontinuity || s.Sequence != last.Sequence+1 || s.Init != 2 || s.Start.Before(last.Start.Add(last.Duration)) {
		t.Errorf("it goes on with %+v", s)
	}
	if sink.calls[0] != "begin "+id {
		t.Error(sink.calls)
	}
}

// TestWindow: what is older than the window goes away, in the index and on disk.
func TestWindow(t *testing.T) {
	t.Parallel()
	media := newStudio(film(t, 1, "", "H264", 320, true))
	store := memoryStore()
	cfg := config()
	cfg.Window = 20 * time.Second
	r, stop := newRecorder(t, cfg, media, store, nil)
	eventually(t, "forty segments", func() bool { return len(durable(t, r, "v")) >= 40 })
	r.clean(media.Now())
	segments := durable(t, r, "v")
	if age := media.Now().Sub(segments[0].Start); age > 2*cfg.Window+10*time.Second || len(segments) < 15 {
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

// TestShortParts: parts of 200 ms are within a tenth above it and never shorter
// than 85 % of the longest but before a keyframe and at the end of a segment
// (RFC 8216bis section 4.4.4.9), at every usual frame rate.
func TestShortParts(t *testing.T) {
	t.Parallel()
	clip := film(t, 1, "", "H264", 320, true)
	for _, rate := range []uint32{24, 25, 30, 50, 60} {
		t.Run(strconv.Itoa(int(rate)), func(t *testing.T) {
			t.Parallel()
			video := clip.again(1, 0)
			video.ticks = 90000 / rate
			cfg := config()
			cfg.Part = 200 * time.Millisecond
			sink := &listener{}
			r, stop := newRecorder(t, cfg, newStudio(video, tone(2)), memoryStore(), sink)
			eventually(t, "four segments", func() bool { return len(durable(t, r, "v")) >= 4 })
			stop()
			longest := sluice.LongestPart(cfg.Part)
			for _, id := range []string{"v", "opus"} {
				decodes(t, r, id)
				for _, s := range durable(t, r, id) {
					sum := time.Duration(0)
					for i, p := range s.Parts {
						sum += p.Duration
						last := i == len(s.Parts)-1 || s.Parts[i+1].Independent && id == "v"
						if p.Duration > longest || !last && p.Duration < longest*85/100 || p.Gap {
							t.Errorf("%s: part %d of segment %d lasts %v", id, i, s.Sequence, p.Duration)
						}
					}
					if (sum-s.Duration).Abs() > time.Millisecond || len(s.Parts) < 5 && s.Duration > time.Second {
						t.Errorf("%s: segment %d: %d parts of %v, it lasts %v", id, s.Sequence, len(s.Parts), sum, s.Duration)
					}
				}
			}
			if len(sink.wrong) > 0 {
				t.Error(sink.wrong)
			}
		})
	}
}

// TestClockIsSet: capture times jump back and ahead, by much and by very much.
// Recording goes on; no segment begins before the end of the one before it.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	video, sound := film(t, 1, "", "H264", 320, true), tone(2)
	set := func(second int) time.Duration {
		switch {
		case second < 5:
			return 0
		case second < 10:
			return -3 * time.Second
		case second < 15:
			return -time.Hour
		case second < 20:
			return time.Hour
		}
		return 400 * time.Millisecond
	}
	video.set = func(frame int) time.Duration { return set(frame / clipRate) }
	sound.set = func(frame int) time.Duration { return set(frame / 50) }
	media := newStudio(video, sound)
	sink := &listener{}
	r, stop := newRecorder(t, config(), media, memoryStore(), sink)
	eventually(t, "30 s of media", func() bool { return media.Now().Sub(media.start) > 30*time.Second })
	stop()
	for _, id := range []string{"v", "opus"} {
		decodes(t, r, id)
		segments := durable(t, r, id)
		breaks, whole := 0, time.Duration(0)
		for i, s := range segments {
			if i > 0 && s.Start.Sub(segments[i-1].Start.Add(segments[i-1].Duration)) < -50*time.Microsecond {
				t.Errorf("%s: segment %d begins before the end of the one before", id, s.Sequence)
			}
			if s.Duration <= 0 || s.Duration > 6*time.Second {
				t.Errorf("%s: segment %d lasts %v", id, s.Sequence, s.Duration)
			}
			if s.Discontinuity {
				breaks++
			}
			if !s.Gap {
				whole += s.Duration
			}
		}
		if breaks == 0 || whole < 25*time.Second {
			t.Errorf("%s: %d discontinuities, %v of media", id, breaks, whole)
		}
	}
	if len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
}
