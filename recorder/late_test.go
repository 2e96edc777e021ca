package recorder

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/sluice-live/sluice"
)

// TestLateRenditions: layers that come one after the other, and one that comes with a
// publisher who has been away, are gaps before: all renditions cover the same time, with
// the same discontinuities, and go on so after a restart.
func TestLateRenditions(t *testing.T) {
	t.Parallel()
	low, middle, high := film(t, 1, "q", "H264", 160, true), film(t, 2, "h", "H264", 320, true), film(t, 3, "f", "H264", 640, true)
	middle.lost = func(frame, _ int) bool { return frame < 10 }
	high.lost = func(frame, _ int) bool { return frame < 130 }
	sound, added := tone(4), film(t, 5, "x", "H264", 320, true)
	media := newStudio(low, middle, high, sound)
	store, sink := memoryStore(), &listener{}
	r, stop := newRecorder(t, config(), media, store, sink)
	eventually(t, "two segments of the last layer", func() bool { return len(durable(t, r, "vf")) >= 5 })
	media.set(sluice.StreamPaused)
	eventually(t, "the end of the last segment", media.noticed)
	now := media.pass(t, 3*time.Second)
	media.set(sluice.StreamLive, low.again(10, now), middle.again(11, now), high.again(12, now), sound.again(13, now), added.again(14, now))
	eventually(t, "two segments of the one that was added", func() bool { return pictures(durable(t, r, "vx")) >= 2 })
	stop()
	if gaps := len(durable(t, r, "vf")) - pictures(durable(t, r, "vf")); gaps < 3 {
		t.Errorf("%d gaps before the last layer and in the pause", gaps)
	}
	covered(t, r, "vq", "vh", "vf", "vx", soundID)
	if len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
	r, stop = newRecorder(t, config(), newStudio(low.again(20, 0), high.again(21, 0), sound.again(22, 0)), store, nil)
	known := len(durable(t, r, "vq"))
	eventually(t, "two more", func() bool { return len(durable(t, r, "vq")) >= known+2 && len(durable(t, r, "vx")) >= known+2 })
	stop()
	covered(t, r, "vq", "vh", "vf", "vx", soundID)
}

// covered checks that renditions begin together, have no holes but at discontinuities,
// and the same of these.
func covered(t *testing.T, r *Recorder, ids ...string) {
	t.Helper()
	lead := durable(t, r, ids[0])
	want := breaks(lead)
	for _, id := range ids {
		decodes(t, r, id)
		list := durable(t, r, id)
		if off := list[0].Start.Sub(lead[0].Start).Abs(); off > r.cfg.Part || list[0].Sequence != lead[0].Sequence || list[0].Discontinuity {
			t.Errorf("%s begins %v beside the first: %+v", id, off, list[0])
		}
		number := uint64(0)
		for i, s := range list {
			if s.Discontinuity {
				number++
			}
			if s.Breaks != number {
				t.Errorf("%s: segment %d says %d discontinuities, it is %d", id, s.Sequence, s.Breaks, number)
			}
			if i == 0 {
				continue
			}
			if hole := s.Start.Sub(list[i-1].Start.Add(list[i-1].Duration)); hole.Abs() > time.Millisecond && !s.Discontinuity || s.Duration > 2*r.cfg.Segment {
				t.Errorf("%s: segment %d of %v begins %v after the one before it", id, s.Sequence, s.Duration, hole)
			}
		}
		for i, s := range breaks(list) {
			if i < len(want) && s.Start.Sub(want[i].Start).Abs() > r.cfg.Part {
				t.Errorf("%s: discontinuity %d at %v, another's is at %v", id, i, s.Start, want[i].Start)
			}
		}
		if number != uint64(len(want)) {
			t.Errorf("%s: %d discontinuities, want %d", id, number, len(want))
		}
	}
}

// TestReturnsWithAnotherSize: what a publisher who comes back has changed is the same
// discontinuity in all renditions, not one more in those that are ahead.
func TestReturnsWithAnotherSize(t *testing.T) {
	t.Parallel()
	first, sound, second := film(t, 1, "", "H264", 320, true), tone(2), film(t, 1, "", "H264", 640, true)
	media := newStudio(first, sound)
	r, stop := newRecorder(t, config(), media, memoryStore(), nil)
	eventually(t, "two segments", func() bool { return len(durable(t, r, "v")) >= 2 })
	media.set(sluice.StreamPaused)
	eventually(t, "the end of the last segment", media.noticed)
	now := media.Now().Sub(media.start)
	known := len(durable(t, r, "v"))
	second = second.again(3, now)
	ahead := second.next + 20 // the sound is
	second.lost = func(frame, _ int) bool { return frame < ahead }
	media.set(sluice.StreamLive, second, sound.again(4, now))
	eventually(t, "two more", func() bool { return pictures(durable(t, r, "v")[known:]) >= 2 })
	stop()
	covered(t, r, "v", soundID)
	if n := len(breaks(durable(t, r, "v"))); n != 2 { // where the first has gone, and where the size is another
		t.Errorf("%d discontinuities", n)
	}
}

// TestPauses: a publisher that sends no picture for longer than a part, as of a still
// screen, has lost nothing. There are no gaps, parts have their length, and each picture
// is shown when it was captured.
func TestPauses(t *testing.T) {
	t.Parallel()
	video := film(t, 1, "", "H264", 320, true)
	video.rests = func(frame int) time.Duration { // of 0.52, 0.24 and 1 s from one picture to the next
		n := frame / 10
		return time.Duration(n/3)*1640*time.Millisecond + []time.Duration{0, 480, 680}[n%3]*time.Millisecond
	}
	cfg := config()
	cfg.Part = 200 * time.Millisecond
	media := newStudio(video, tone(2))
	media.step = 40 * time.Millisecond
	sink := &listener{}
	r, stop := newRecorder(t, cfg, media, memoryStore(), sink)
	eventually(t, "six segments", func() bool { return len(durable(t, r, "v")) >= 6 })
	stop()
	list := durable(t, r, "v")
	decodes(t, r, "v")
	lengths(t, "v", list, cfg.Part)
	continuous(t, r, map[string][]sluice.Segment{"v": list})
	shown := presented(t, r, "v", list)
	for i, at := range shown[1:] {
		want := video.at(i+1) - video.at(0)
		if off := at - shown[0] - want; off.Abs() > time.Millisecond {
			t.Errorf("picture %d is shown %v late", i+1, off)
		}
	}
	for _, s := range list {
		for _, p := range s.Parts {
			if p.Gap {
				t.Errorf("part %d of segment %d is a gap", p.Index, s.Sequence)
			}
		}
	}
	if len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
}

// presented returns when the pictures of a rendition are shown.
func presented(t *testing.T, r *Recorder, id string, list []sluice.Segment) (at []time.Duration) {
	t.Helper()
	rec := only(t, r).ID
	for _, s := range list {
		file, err := r.Segment(t.Context(), rec, id, s.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(file)
		if err = errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		decoded, err := mp4.DecodeFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range decoded.Segments {
			for _, f := range g.Fragments {
				samples, err := f.GetFullSamples(nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range samples {
					at = append(at, time.Duration(p.PresentationTime())*time.Second/90000)
				}
			}
		}
	}
	return at
}
