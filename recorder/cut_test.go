package recorder

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/ffmpeg"
)

// TestOneCutForAllLayers: the keyframes of two layers are a frame apart, and sound that is transcoded
// comes after both. It is cut once for both.
func TestOneCutForAllLayers(t *testing.T) {
	t.Parallel()
	first, second := film(t, 1, "f", "H264", 320, true), film(t, 2, "q", "H264", 160, true)
	n := len(second.frames)
	second.frames = append(slices.Clone(second.frames[n-1:]), second.frames[:n-1]...)
	cfg := config()
	cfg.FFmpeg = "ffmpeg"
	r, stop := newRecorder(t, cfg, newStudio(first, second, tone(3)), memoryStore(), nil)
	eventually(t, "four segments", func() bool { return len(durable(t, r, aacID)) >= 4 })
	stop()
	for _, id := range []string{soundID, aacID} {
		together(t, durable(t, r, "vf"), durable(t, r, id), cfg.Part)
	}
}

// TestCutsOfALateTranscoder: what comes out of transcoders a second late is cut where its sources
// are, and so is the sound that does not wait for it; nothing is missing at the end.
func TestCutsOfALateTranscoder(t *testing.T) {
	t.Parallel()
	late := filepath.Join(t.TempDir(), "late")
	if err := os.WriteFile(late, []byte("#!/bin/sh\nsleep 1\nexec ffmpeg \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.FFmpeg, cfg.Rungs = late, 1
	media := newStudio(filmVP8(t, 1, "q", "160x90"), filmVP8(t, 2, "f", "320x180"), tone(3))
	media.step = 40 * time.Millisecond
	encoder, err := ffmpeg.Probe(t.Context(), "ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	r, stop := newRecorder(t, cfg, media, memoryStore(), nil)
	r.encoder.Store(&encoder) // before the other is found
	media.waitsFor(r, 2*time.Second)
	eventually(t, "three segments", func() bool { return len(durable(t, r, pictureID+"q")) >= 3 && len(durable(t, r, aacID)) >= 3 })
	media.waitsFor(r, 300*time.Millisecond) // what is left to be drained does not depend on how busy the machine is
	was := media.Now()
	eventually(t, "that the transcoders have caught up", func() bool { return media.Now().Sub(was) > 200*time.Millisecond })
	stop()
	lead := durable(t, r, pictureID)
	last := func(id string) time.Time {
		s := durable(t, r, id)[len(durable(t, r, id))-1]
		return s.Start.Add(s.Duration)
	}
	for id, apart := range map[string]time.Duration{pictureID + "q": time.Millisecond, soundID: cfg.Part, aacID: cfg.Part} {
		together(t, lead, durable(t, r, id), apart)
		lengths(t, id, durable(t, r, id), cfg.Part)
		decodes(t, r, id)
		if off := last(id).Sub(last(pictureID)).Abs(); off > 100*time.Millisecond {
			t.Errorf("%s ends %v from the end of the largest", id, off)
		}
	}
	for _, s := range lead {
		for _, p := range s.Parts {
			if p.Gap {
				t.Errorf("segment %d has a gap", s.Sequence)
			}
		}
	}
}

// waitsFor lets no time pass while what a transcoder of the one show has given is older
// than that: however busy the machine is, none is later.
func (s *studio) waitsFor(r *Recorder, most time.Duration) {
	began := map[*output]time.Time{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = func() bool { // in the goroutine of the show
		r.mu.Lock()
		show := r.shows["demo"]
		r.mu.Unlock()
		if show == nil || show.record == nil {
			return false
		}
		var given []*output
		for _, g := range show.coder.running() {
			given = append(given, g.out)
		}
		if show.coder.aac != nil && show.output(soundID, false).running() {
			given = append(given, show.coder.aacOutput())
		}
		return slices.ContainsFunc(given, func(o *output) bool {
			if began[o].IsZero() {
				began[o] = show.now()
			}
			at := o.newest()
			if at.Before(began[o]) {
				at = began[o]
			}
			return show.now().Sub(at) > most
		})
	}
}

// together checks that each segment begins where one of the lead does, and, where
// that is known, each of the lead has one.
func together(t testing.TB, lead, segments []sluice.Segment, apart time.Duration) {
	t.Helper()
	if n := len(segments) - len(lead); n < -1 || n > 1 {
		t.Errorf("%d segments, the lead has %d", len(segments), len(lead))
	}
	for i := range min(len(lead), len(segments)) {
		if off := segments[i].Start.Sub(lead[i].Start); off.Abs() > apart {
			t.Errorf("segment %d begins %v after that of the lead", segments[i].Sequence, off)
		}
	}
}

// lengths checks S-20 and S-21: no part is too long, and none is short but the last
// of a segment and one before a keyframe.
func lengths(t testing.TB, id string, segments []sluice.Segment, part time.Duration) {
	t.Helper()
	longest := sluice.LongestPart(part)
	for _, s := range segments {
		for i, p := range s.Parts {
			last := i == len(s.Parts)-1 || s.Parts[i+1].Independent && id != soundID && id != aacID
			if p.Duration > longest || !last && p.Duration < longest*85/100 {
				t.Errorf("%s: part %d of segment %d lasts %v, gap %v", id, i, s.Sequence, p.Duration, p.Gap)
			}
		}
	}
}
