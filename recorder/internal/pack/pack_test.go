package pack

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
)

// kept is what was cut.
type kept struct {
	segments []sluice.Segment
}

func (k *kept) Part(sluice.Segment, sluice.Part, []byte) {}
func (k *kept) Segment(s sluice.Segment)                 { k.segments = append(k.segments, s) }

// TestGapBeforeCut: however long nothing came, only the last part of the segment
// may be short (draft-pantos-hls-rfc8216bis section 4.4.4.9).
func TestGapBeforeCut(t *testing.T) {
	const nominal = 500 * time.Millisecond
	least := sluice.LongestPart(nominal) * shortestPart / 100
	for pause := 20 * time.Millisecond; pause < 6*time.Second; pause += 20 * time.Millisecond {
		out := &kept{}
		p := New(Config{Track: fmp4.AudioTrack, Timescale: 1000, Part: nominal, Origin: time.Unix(0, 0)}, out)
		at := int64(0)
		for ; at < 1000; at += 20 {
			p.Push(at, fmp4.Sample{Data: []byte{1}}, at == 0)
		}
		at += pause.Milliseconds()
		p.Push(at, fmp4.Sample{Data: []byte{1}}, true)
		p.Flush()
		if len(out.segments) != 2 || out.segments[0].Duration != time.Duration(at)*time.Millisecond {
			t.Fatalf("%v: %+v", pause, out.segments)
		}
		parts := out.segments[0].Parts
		for i, part := range parts {
			if part.Duration > sluice.LongestPart(nominal) || i < len(parts)-1 && part.Duration < least {
				t.Errorf("after %v part %d of %d lasts %v", pause, i, len(parts), part.Duration)
			}
		}
	}
}

// checked is an Output that complains of parts without their length, and of media that
// do not begin where those before them ended.
type checked struct {
	t     *testing.T
	least time.Duration
	most  time.Duration
	end   uint64 // of the newest fragment, 0: anything may follow
	parts int
	gaps  int
}

func (c *checked) Part(_ sluice.Segment, p sluice.Part, data []byte) {
	if c.parts++; p.Gap {
		c.gaps++
		c.end = 0
		return
	}
	for _, f := range fmp4.Walk(data) {
		if c.end > 0 && f.Start != c.end {
			c.t.Errorf("a fragment begins at %d, the one before it ends at %d", f.Start, c.end)
		}
		if c.end = f.Start + f.Ticks; time.Duration(f.Ticks)*time.Second/90000-p.Duration > time.Millisecond {
			c.t.Errorf("a part of %v holds %d ticks", p.Duration, f.Ticks)
		}
	}
}

func (c *checked) Segment(s sluice.Segment) {
	for i, part := range s.Parts {
		short := part.Duration < c.least-time.Millisecond && i < len(s.Parts)-1 && !s.Parts[i+1].Independent
		if short || part.Duration > c.most {
			c.t.Errorf("part %d of %d of segment %d lasts %v (gap %v), before it %+v", i, len(s.Parts), s.Sequence, part.Duration, part.Gap, s.Parts[:i])
		}
	}
}

// TestFewPictures: whatever the rate of pictures and the pauses between them, a part that
// is short is the last of its segment or stands before a keyframe, and within it are all
// the media of its time.
func TestFewPictures(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for round := range 300 {
		nominal := []time.Duration{200 * time.Millisecond, 500 * time.Millisecond}[round%2]
		c := &checked{t: t, least: sluice.LongestPart(nominal) * shortestPart / 100, most: sluice.LongestPart(nominal)}
		p := New(Config{Track: fmp4.VideoTrack, Timescale: 90000, Part: nominal, Origin: time.Unix(0, 0)}, c)
		usual := int64(2000 + random.IntN(30000)) // 3 to 45 pictures a second
		begun := int64(0)
		for at := int64(0); at < 60*90000; at += usual - usual/8 + random.Int64N(usual/4+1) {
			cut := at-begun >= 2*90000 && random.IntN(3) == 0 || at == 0
			if cut {
				begun = at
			}
			p.Push(at, fmp4.Sample{Data: []byte{1}, Key: cut}, cut)
			if random.IntN(20) == 0 { // a pause
				from := at
				at += random.Int64N(5 * 90000)
				for now := from; now < at; now += 9000 {
					if idle := now - 3*90000; idle > p.End()+p.nominal {
						p.Idle(idle)
					}
				}
			}
		}
		p.Flush()
		if t.Failed() {
			t.Fatalf("round %d: parts of %v, a picture each %d ticks; %d parts, %d gaps", round, nominal, usual, c.parts, c.gaps)
		}
	}
}
