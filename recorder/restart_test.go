package recorder

import (
	"testing"
	"time"
)

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

// TestRestartWithFewerLayers: after a restart the publisher brings one of two
// layers back; the other goes on as gaps beside it.
func TestRestartWithFewerLayers(t *testing.T) {
	t.Parallel()
	first := []*source{film(t, 1, "f", "H264", 640, true), film(t, 2, "q", "H264", 320, true)}
	store := memoryStore()
	r, stop := newRecorder(t, config(), newStudio(first...), store, nil)
	eventually(t, "two segments", func() bool { return len(durable(t, r, "vf")) >= 2 && len(durable(t, r, "vq")) >= 2 })
	stop()
	before := len(durable(t, r, "vf"))
	sink := &listener{}
	r, stop = newRecorder(t, config(), newStudio(first[1].again(3, 0)), store, sink)
	eventually(t, "two more", func() bool { return len(durable(t, r, "vf")) >= before+2 && len(durable(t, r, "vq")) >= before+2 })
	stop()
	full, low := durable(t, r, "vf")[before:], durable(t, r, "vq")[before:]
	for i := range 2 {
		if f, l := full[i], low[i]; !f.Gap || l.Gap || f.Init != 1 || f.Discontinuity != (i == 0) || l.Discontinuity != (i == 0) || f.Start.Sub(l.Start).Abs() > time.Second {
			t.Errorf("segment %d: %+v beside %+v", i, f, l)
		}
	}
	if len(sink.wrong) > 0 {
		t.Error(sink.wrong)
	}
}

// TestRestartWithOneKind: after a restart the publisher brings sound only, and after
// another one pictures only. What it does not bring goes on as gaps.
func TestRestartWithOneKind(t *testing.T) {
	t.Parallel()
	video, sound := film(t, 1, "", "H264", 320, true), tone(2)
	store := memoryStore()
	r, stop := newRecorder(t, config(), newStudio(video, sound), store, nil)
	eventually(t, "two segments", func() bool { return len(durable(t, r, "v")) >= 2 && len(durable(t, r, soundID)) >= 2 })
	stop()
	for i, only := range []*source{sound, video} {
		away := []string{"v", soundID}[i]
		before := len(durable(t, r, away))
		r, stop = newRecorder(t, config(), newStudio(only.again(uint64(3+i), 0)), store, nil)
		eventually(t, "three more", func() bool { return len(durable(t, r, away)) >= before+3 })
		stop()
		for n, s := range durable(t, r, away)[before:] {
			if !s.Gap || s.Discontinuity != (n == 0) || s.Duration <= 0 || s.Duration > 5*time.Second {
				t.Errorf("%s: %+v", away, s)
			}
		}
	}
	matching(t, r, "v", soundID)
}
