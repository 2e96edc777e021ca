package sfu

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
)

func TestHoldTime(t *testing.T) {
	tests := []struct {
		viewers, processors int64
		want                time.Duration
	}{
		{0, 1, time.Millisecond},
		{5, 1, time.Millisecond},
		{30, 1, 6 * time.Millisecond},
		{30, 4, 1500 * time.Microsecond},
		{60, 1, 12 * time.Millisecond},
		{100_000, 2, 12 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := time.Duration(holdTime(tt.viewers, tt.processors)); got != tt.want {
			t.Errorf("%d viewers, %d processors: %v, want %v", tt.viewers, tt.processors, got, tt.want)
		}
	}
}

// gate is a shard that runs in a bubble, with a publisher that spreads its packets
// and as many viewers elsewhere as make frames wait the longest.
type gate struct {
	*bench
	*source
	begun time.Time
	sent  []int // milliseconds from begun, of each packet sent
}

// WriteRTP implements the writer of a track.
func (g *gate) WriteRTP(*rtp.Header, []byte) (int, error) {
	g.sent = append(g.sent, int(time.Since(g.begun).Milliseconds()))
	return 0, nil
}

func (g *gate) Write(b []byte) (int, error) { return len(b), nil }

// open runs a shard in a bubble for f, with one viewer that has seen a keyframe.
func open(t *testing.T, f func(g *gate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{bench: newBench()}
		g.sh.sfu.start = time.Now().Add(-time.Hour)
		g.sh.sfu.counters.viewers.Store(10_000)
		g.source = newSource(g.bench, "", 1, 0)
		g.source.reader.wake = g.sh.signal
		g.sources(g.source)
		g.m.video.track.writer = g
		done := make(chan struct{})
		go func() { defer close(done); g.sh.run() }()
		g.sh.signal(choices)
		synctest.Wait()
		g.give(g.packet(true, true, true))
		g.next(0)
		synctest.Wait()
		g.begun, g.sent = time.Now(), nil
		f(g)
		close(g.sh.stream.stop)
		<-done
	})
}

// give lets the reader take a packet.
func (g *gate) give(raw []byte) {
	copy(g.source.reader.space(), raw)
	if g.source.reader.take(len(raw)) {
		g.source.reader.tell()
	}
	synctest.Wait()
}

// next goes on with the next frame after d.
func (g *gate) next(d time.Duration) {
	g.ts += 3000
	g.picture++
	time.Sleep(d)
	synctest.Wait()
}

// spread gives n packets of a frame 0.9 ms apart; the last has a marker if
// ends is set.
func (g *gate) spread(n int, ends bool) {
	for i := range n {
		if i > 0 {
			time.Sleep(900 * time.Microsecond)
			synctest.Wait()
		}
		g.give(g.packet(i == 0, ends && i == n-1, false))
	}
}

func (g *gate) want(t *testing.T, what string, at ...int) {
	t.Helper()
	if !slices.Equal(g.sent, at) {
		t.Errorf("%s: packets were sent after %v ms, want %v", what, g.sent, at)
	}
	g.begun, g.sent = time.Now(), nil
}

func repeated(at, n int) []int { return slices.Repeat([]int{at}, n) }

// TestPartsOfAFrameWaitForItsEnd: a frame leaves in one go with its last packet,
// what takes longer in few, and nothing waits for an end that may not come.
func TestPartsOfAFrameWaitForItsEnd(t *testing.T) {
	t.Run("end", func(t *testing.T) {
		open(t, func(g *gate) {
			g.spread(9, true)
			g.want(t, "a frame of 7.2 ms", repeated(7, 9)...)
			g.next(25 * time.Millisecond)
			g.begun = time.Now()
			g.spread(1, true)
			g.want(t, "one packet", 0)
			g.next(33 * time.Millisecond)
			g.begun = time.Now()
			g.spread(30, true)
			g.want(t, "a keyframe of 26 ms", slices.Concat(repeated(12, 14), repeated(24, 14), repeated(26, 2))...)
		})
	})
	t.Run("lost end", func(t *testing.T) {
		open(t, func(g *gate) {
			g.spread(3, false)
			g.seq++
			g.next(31 * time.Millisecond)
			g.want(t, "a frame whose end is lost", repeated(12, 3)...)
			g.spread(3, true)
			g.want(t, "the next one: the publisher may set no markers", 1, 1, 1)
			g.next(20 * time.Millisecond)
			g.begun = time.Now()
			g.spread(3, true)
			g.want(t, "when there are markers again", repeated(1, 3)...)
		})
	})
	t.Run("no markers", func(t *testing.T) {
		open(t, func(g *gate) {
			g.spread(1, false)
			g.next(33 * time.Millisecond)
			for range 3 {
				g.begun, g.sent = time.Now(), nil
				g.spread(3, false)
				g.next(31 * time.Millisecond)
				g.want(t, "a frame", 1, 1, 2)
			}
		})
	})
	t.Run("repair of an earlier frame", func(t *testing.T) {
		open(t, func(g *gate) {
			lost := g.packet(true, false, false)
			g.spread(1, true)
			g.next(33 * time.Millisecond)
			g.begun, g.sent = time.Now(), nil
			g.give(g.packet(true, false, false))
			g.give(lost)
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			g.want(t, "what was sent again, and what came before it", 1, 1)
		})
	})
	t.Run("a busy path", func(t *testing.T) {
		open(t, func(g *gate) {
			g.m.video.pace = 50_000_000
			g.spread(1, true) // the shard notices
			g.next(33 * time.Millisecond)
			g.begun, g.sent = time.Now(), nil
			g.m.video.pace = 50_000_000
			g.spread(3, false)
			g.next(2 * time.Millisecond)
			g.want(t, "parts, at the pace of the path", 1, 2, 3)
		})
	})
}

// noted is the writer of a viewer's track that notes when packets are sent.
type noted struct {
	*gate
	sent []int // milliseconds from the gate's begun
}

// WriteRTP implements the writer of a track.
func (n *noted) WriteRTP(*rtp.Header, []byte) (int, error) {
	n.sent = append(n.sent, int(time.Since(n.begun).Milliseconds()))
	return 0, nil
}

// TestBusyPathDoesNotWaitForOthers: a viewer whose path is busy gets parts of frames
// beside one who gets whole ones.
func TestBusyPathDoesNotWaitForOthers(t *testing.T) {
	open(t, func(g *gate) {
		busy := &noted{gate: g}
		v := &Viewer{session: &session{sfu: g.sh.sfu}, stream: g.sh.stream, video: testTrack(nil), rtcp: g.out}
		v.video.writer = busy
		m := newMember(v, pionWire{}, sluice.LayerChoice{}, g.sh.sfu.now())
		g.sh.members = append(g.sh.members, m)
		g.sh.signal(choices)
		synctest.Wait()
		g.give(g.packet(true, true, true))
		g.next(0)
		m.video.pace = 50_000_000
		g.spread(1, true) // the shard notices
		g.next(33 * time.Millisecond)
		m.video.pace = 50_000_000
		g.begun, g.sent, busy.sent = time.Now(), nil, nil
		for i := range 4 {
			g.give(g.packet(i == 0, i == 3, false))
			time.Sleep(2500 * time.Microsecond)
			synctest.Wait()
		}
		if want := []int{1, 3, 6, 7}; !slices.Equal(busy.sent, want) {
			t.Errorf("packets 2.5 ms apart were sent after %v ms, want %v", busy.sent, want)
		}
		g.want(t, "the viewer beside", repeated(7, 4)...)
	})
}

// TestSoundDoesNotWait: neither does it let parts of frames go.
func TestSoundDoesNotWait(t *testing.T) {
	open(t, func(g *gate) {
		var at []int // when there are rounds for sound
		voice := newMicrophone(g.bench)
		voice.reader.wake = func(u urgency) {
			at = append(at, int(time.Since(g.begun).Milliseconds()))
			g.sh.signal(u)
		}
		g.spread(5, false)
		h := rtp.Header{Version: 2, SequenceNumber: 9, Timestamp: 960, SSRC: 6, PayloadType: testOpus}
		raw, err := (&rtp.Packet{Header: h, Payload: sound(9)}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		voice.watchers.Add(1)
		copy(voice.reader.space(), raw)
		if !voice.reader.take(len(raw)) {
			t.Fatal("not taken")
		}
		voice.reader.tell()
		synctest.Wait()
		if voice.whole.Load() != 1 || !slices.Equal(at, []int{3}) {
			t.Errorf("sound up to %d is due, rounds after %v ms", voice.whole.Load(), at)
		}
		g.want(t, "a frame that has not ended")
		g.give(g.packet(false, true, false))
		g.want(t, "its end", repeated(0, 6)...)
	})
}

// TestSpatialLayersDoNotWaitForEachOther: a viewer of the lower one has its
// frame when that is complete.
func TestSpatialLayersDoNotWaitForEachOther(t *testing.T) {
	b := newBench()
	b.sh.sfu.counters.viewers.Store(10_000)
	src := newScalable(b, codec.VP9)
	vp9 := func(begin, end, marker bool, spatial byte) {
		first := byte(0xa0) // picture id, layer indices
		if begin {
			first |= 0x08
		}
		if end {
			first |= 0x04
		}
		src.feed(b, src.raw([]byte{first, 0x80, byte(src.frames), spatial << 1, 0, 1, 2, 3}, nil, marker))
	}
	var due []uint64
	for range 2 {
		for s := range byte(2) {
			vp9(true, false, false, s)
			due = append(due, src.whole.Load())
			vp9(false, true, s == 1, s)
			due = append(due, src.whole.Load())
		}
		src.frames++
		src.ts += 3000
	}
	if want := []uint64{1, 2, 3, 4, 4, 6, 6, 8}; !slices.Equal(due, want) {
		t.Errorf("due up to %v, want %v", due, want)
	}
}
