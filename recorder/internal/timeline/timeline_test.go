package timeline

import (
	"testing"
	"time"
)

// TestDay: two clocks that drift apart by 200 parts per million, and wrap, stay
// within 45 ms of each other and of the truth for 26 hours; no time goes back.
func TestDay(t *testing.T) {
	start := time.Now()
	video, sound := Timeline{Hertz: 90000}, Timeline{Hertz: 48000}
	var lastVideo, lastSound time.Time
	for step := range int64(26 * 3600 * 5) { // every fifth of a second
		truth := start.Add(time.Duration(step) * 200 * time.Millisecond)
		jitter := time.Duration(step*7919%5-2) * time.Millisecond
		v, vb := video.At(uint32(1<<31+step*18000*10001/10000), truth.Add(jitter))
		s, sb := sound.At(uint32(5+step*9600*9999/10000), truth)
		if vb || sb {
			t.Fatalf("time broke after %v", truth.Sub(start))
		}
		if v.Sub(s).Abs() > 45*time.Millisecond || v.Sub(truth).Abs() > 45*time.Millisecond {
			t.Fatalf("after %v: video %v, sound %v from the truth", truth.Sub(start), v.Sub(truth), s.Sub(truth))
		}
		if step > 0 && (!v.After(lastVideo) || !s.After(lastSound)) {
			t.Fatalf("after %v time goes back", truth.Sub(start))
		}
		lastVideo, lastSound = v, s
	}
}

// TestReportCorrects: a first guess that is wrong is steered right within
// seconds, and one that is very wrong at once.
func TestReportCorrects(t *testing.T) {
	start := time.Now()
	line := Timeline{Hertz: 90000}
	at := func(frame int, off time.Duration) (time.Time, bool) {
		return line.At(uint32(frame*3000), start.Add(time.Duration(frame)*time.Second/30+off))
	}
	at(0, 0)
	var got time.Time
	for frame := 1; frame < 300; frame++ {
		var broken bool
		if got, broken = at(frame, 100*time.Millisecond); broken {
			t.Fatal("broken")
		}
	}
	if off := got.Sub(start.Add(299 * time.Second / 30)); off < 75*time.Millisecond {
		t.Errorf("after ten seconds it is steered by %v only", off)
	}
	if _, broken := at(300, 600*time.Millisecond); !broken {
		t.Error("half a second is no break")
	}
}
