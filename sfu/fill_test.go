package sfu

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/sfu/internal/estimate"
)

// TestPaddingRaisesTheEstimateOfAReceiver is a receiver that says one and a half
// times what it gets, and one that says the same for ever.
func TestPaddingRaisesTheEstimateOfAReceiver(t *testing.T) {
	const media, want = 200_000, 700_000
	var f filler
	now := int64(time.Minute)
	path := estimate.State{Source: "remb", Bitrate: 290_000}
	for range 20 {
		f.plan(want, media, &path, now)
		if media+f.rate > path.Bitrate {
			t.Fatalf("%d of padding beside %d where %d fit", f.rate, media, path.Bitrate)
		}
		path.Bitrate = max(path.Bitrate, min(path.Bitrate*108/100, (media+f.rate)*3/2))
		now += int64(time.Second)
	}
	if path.Bitrate < want {
		t.Errorf("only %d after 20 s", path.Bitrate)
	}
	f.plan(0, media, &path, now)
	if f.rate != 0 {
		t.Error("padding goes on though nothing is wanted")
	}

	f, path.Bitrate = filler{}, 300_000
	padded := 0
	for range 120 {
		f.plan(want, media, &path, now)
		if f.rate > 0 {
			padded++
		}
		now += int64(time.Second)
	}
	if padded > 45 {
		t.Errorf("%d of 120 seconds with padding for a receiver that says the same for ever", padded)
	}
	path.Overuse = true
	if f.plan(want, media, &path, now+fillRest); f.rate != 0 {
		t.Error("padding on a path that is full")
	}
	path = estimate.State{Source: "transport-cc", Bitrate: 300_000}
	f = filler{}
	if f.plan(want, media, &path, now); f.rate != 0 {
		t.Error("padding beside probes")
	}
}

func TestMeterKnowsTheRateOfTheTimeBefore(t *testing.T) {
	var m meter
	bytes := uint64(0)
	for i := range int64(40) {
		if i < 20 {
			bytes += 31_250 // 2.5 Mbit/s
		} else {
			bytes += 6_250
		}
		m.note(bytes, (i+10)*int64(100*time.Millisecond))
		if i == 23 && m.recent() < 1_500_000 {
			t.Errorf("%d soon after a layer of 2.5 Mbit/s", m.recent())
		}
	}
	if got := m.recent(); got < 450_000 || got > 550_000 {
		t.Errorf("%d bit/s", got)
	}
}
