package pack

import (
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
