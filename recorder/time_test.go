package recorder

import (
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// TestS21PartsHaveTheirLength: parts of 200 ms are within a tenth above it and never shorter
// than 85 % of the longest but before a keyframe and at the end of a segment
// (RFC 8216bis section 4.4.4.9), at every usual frame rate.
func TestS21PartsHaveTheirLength(t *testing.T) {
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
