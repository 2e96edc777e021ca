package sfu

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

// taken is what a cursor has handed over.
type taken struct {
	stamps []uint32
	lost   int
}

func (g *taken) take(p *sluice.Packet) {
	g.stamps = append(g.stamps, p.Timestamp)
	g.lost += p.Lost
}

// TestTapOrders: packets come in order, a hole is waited for as long as it may be
// filled, and what the ring has forgotten is counted.
func TestTapOrders(t *testing.T) {
	s := &SFU{start: time.Now()}
	l := &layer{codec: codec.VP8, ring: ring.New(64), clock: clock{hertz: 90000, offset: &ntpOffset{}}}
	put := func(seqs ...uint64) {
		for _, seq := range seqs {
			l.ring.Put(&ring.Packet{Seq: seq, Timestamp: uint32(seq), Payload: []byte{1}})
		}
	}
	c := &cursor{layer: l, track: &sluice.Track{Video: true}}
	var got taken
	read := func(now int64, want int) {
		t.Helper()
		if c.deliver(s, now, false, got.take); len(got.stamps) != want {
			t.Fatalf("%d packets, want %d: %v", len(got.stamps), want, got.stamps)
		}
	}
	put(100, 102, 101, 104)
	read(0, 3) // 103 is missing
	put(105)
	read(repairPatience/2, 3)
	put(103)
	read(repairPatience/2, 6)
	put(108)
	read(repairPatience, 6)
	read(3*repairPatience, 7) // 106 and 107 will not come
	if got.lost != 2 {
		t.Errorf("%d lost, want 2", got.lost)
	}
	for seq := uint64(109); seq < 309; seq++ {
		put(seq)
	}
	c.deliver(s, 3*repairPatience, false, got.take)
	if got.lost+len(got.stamps) != 309-100 || len(got.stamps) < 7+60 {
		t.Errorf("%d lost, %d came", got.lost, len(got.stamps))
	}
	for i := 1; i < len(got.stamps); i++ {
		if got.stamps[i] <= got.stamps[i-1] {
			t.Fatalf("%d after %d", got.stamps[i], got.stamps[i-1])
		}
	}
}

// TestTapHoldsNobodyUp reads a real publisher who loses packets and is asked for
// them again, and another one in its place.
func TestTapHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	if _, err := s.Tap("demo"); sluice.CodeOf(err) != sluice.CodeStreamOffline {
		t.Errorf("a tap of nothing: %v", err)
	}
	cam := publish(t, s)
	live(t, s, 1)
	tap, err := s.Tap("demo")
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	cam.lose.Store(10)
	var got taken
	tracks := map[uint64]int{}
	read := func() []*sluice.Track {
		return tap.Read(func(p *sluice.Packet) {
			got.take(p)
			tracks[p.Track.ID]++
		})
	}
	eventually(t, "packets", func() bool { read(); return len(got.stamps) > 200 })
	cam.lose.Store(0)
	for range 3 {
		select {
		case <-tap.Grown():
			read()
		case <-time.After(5 * time.Second):
			t.Fatal("no notice of frames within 5 s")
		}
	}
	for i := 1; i < len(got.stamps); i++ {
		if d := int32(got.stamps[i] - got.stamps[i-1]); d != 0 && d != 1800 {
			t.Fatalf("packet %d: timestamp moves by %d", i, d)
		}
	}
	if got.lost != 0 || cam.repaired.Load() == 0 {
		t.Errorf("%d lost, %d repaired", got.lost, cam.repaired.Load())
	}
	var track uint64
	for _, now := range read() {
		track = now.ID
		if now.Codec != "VP8" || !now.Video || now.Publisher == "" || now.ClockRate != 90000 {
			t.Errorf("track %+v", now)
		}
	}
	before := s.Counters().PLIsOut
	eventually(t, "a request for a keyframe", func() bool {
		tap.AskKeyframe(track, false)
		return s.Counters().PLIsOut > before
	})

	cam.pub.Close("test")
	cam.end()
	eventually(t, "no track", func() bool { return len(read()) == 0 })
	if state := tap.State(); state != sluice.StreamPaused {
		t.Errorf("the stream is %s", state)
	}
	publish(t, s)
	eventually(t, "packets of another track", func() bool { read(); return len(tracks) == 2 })
}

// TestClockWithoutReports goes on past the wrap of timestamps.
func TestClockWithoutReports(t *testing.T) {
	c := clock{hertz: 90000, offset: &ntpOffset{}}
	c.start(1<<32-5, 7)
	for hour := range int64(40) {
		at := hour*int64(time.Hour) + 7
		stamp := uint32(uint64(1<<32-5) + uint64(hour)*3600*90000)
		c.advance(stamp)
		if got := c.captured(stamp); got != at {
			t.Fatalf("after %d hours: %v, want %v", hour, time.Duration(got), time.Duration(at))
		}
	}
}

// TestClockThatIsSet: a publisher's wall clock is set back and forth; capture
// times go on, in a layer that came before and in one that comes after.
func TestClockThatIsSet(t *testing.T) {
	shared := &ntpOffset{}
	video, sound, late := clock{hertz: 90000, offset: shared}, clock{hertz: 48000, offset: shared}, clock{hertz: 90000, offset: shared}
	wall := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const second = int64(time.Second)
	for i := range int64(60) {
		set := time.Duration(0)
		switch {
		case i >= 40:
			set = 20 * time.Second
		case i >= 20:
			set = -time.Hour
		}
		now, delay := i*second, 5*int64(time.Millisecond)
		ntp := ntpTime(wall.Add(time.Duration(now) + set))
		video.observe(ntp, uint32(i*90000), now+delay)
		if i%3 == 0 { // its reports come later than those of video
			sound.observe(ntp, uint32(i*48000), now+delay)
		}
		if i >= 45 {
			late.observe(ntp, uint32(i*90000+7), now+delay)
		}
		for name, got := range map[string]int64{
			"video": video.captured(uint32(i * 90000)), "sound": sound.captured(uint32(i * 48000)), "late": late.captured(uint32(i*90000 + 7)),
		} {
			if name == "late" && i < 45 {
				continue
			}
			if off := got - now - delay; max(off, -off) > int64(time.Millisecond) {
				t.Fatalf("%s: after %d s it is off by %v", name, i, time.Duration(off))
			}
		}
	}
}
