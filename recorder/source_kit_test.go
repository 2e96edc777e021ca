package recorder

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/sluice-live/sluice"
)

// at is when a frame is captured. A clock with skew runs faster than it says.
func (s *source) at(frame int) time.Duration {
	seconds := float64(frame) * float64(s.ticks) / float64(s.track.ClockRate)
	return time.Duration(seconds/(1+s.skew)*float64(time.Second)) + s.rested(frame)
}

func (s *source) rested(frame int) time.Duration {
	if s.rests == nil {
		return 0
	}
	return s.rests(frame)
}

func (s *source) shoot(start time.Time, until time.Duration, f func(*sluice.Packet)) {
	for ; s.at(s.next) <= until; s.next++ {
		place := s.next
		if s.shown != nil {
			place = s.shown(s.next)
		}
		captured := start.Add(s.at(place))
		if s.set != nil {
			captured = captured.Add(s.set(s.next))
		}
		payloads := s.frames[s.next%len(s.frames)]
		for i, payload := range payloads {
			if s.lost != nil && s.lost(s.next, i) {
				s.missing++
				continue
			}
			f(&sluice.Packet{
				Track: s.track, Lost: s.missing, Timestamp: s.start + uint32(place)*s.ticks + uint32(s.rested(place).Seconds()*float64(s.track.ClockRate)),
				Captured: captured, Marker: s.track.Video && i == len(payloads)-1, Payload: payload,
			})
			s.missing = 0
		}
	}
}

// again is the same clip from a publisher that has come back at a time.
func (s *source) again(id uint64, at time.Duration) *source {
	track := *s.track
	track.ID, track.Publisher = id, "q"
	next := &source{track: &track, frames: s.frames, keys: s.keys, ticks: s.ticks, start: s.start + 12345}
	for next.at(next.next) < at {
		next.next++
	}
	return next
}

func ffmpegRun(t testing.TB, args ...string) []byte {
	t.Helper()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-nostdin", "-loglevel", "error", "-y"}, args...)...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v\n%s", args, err, &complaints)
	}
	return out
}

const clipRate = 25

// film encodes four seconds of H.264 or H.265, with a keyframe each second and
// its parameter sets in band or in the format parameters. extra are arguments of
// the encoder.
func film(t testing.TB, id uint64, rid, codec string, width int, inBand bool, extra ...string) *source {
	t.Helper()
	size := fmt.Sprintf("testsrc2=size=%dx%d:rate=%d:duration=4", width, width*9/16, clipRate)
	args := []string{"-f", "lavfi", "-i", size, "-pix_fmt", "yuv420p", "-g", "25", "-bf", "0"}
	var payloader rtp.Payloader = &codecs.H264Payloader{}
	if codec == "H265" {
		payloader = &codecs.H265Payloader{}
		args = append(args, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "aud=1:bframes=0:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1:log-level=none")
		args = append(append(args, extra...), "-f", "hevc", "-")
	} else {
		args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "aud=1:keyint=25:min-keyint=25:scenecut=0:repeat-headers=1")
		args = append(append(args, extra...), "-f", "h264", "-")
	}
	s := &source{track: &sluice.Track{ID: id, Publisher: "p", RID: rid, Codec: codec, Video: true, ClockRate: 90000}, ticks: 90000 / clipRate, start: 1 << 31}
	units := avc.ExtractNalusFromByteStream(ffmpegRun(t, args...))
	kind := func(u []byte) byte {
		if codec == "H265" {
			return u[0] >> 1 & 0x3f
		}
		return u[0] & 0x1f
	}
	sets := map[byte]string{7: "", 8: "", 32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps"}
	var picture []byte
	var sprop []string
	add := func() {
		if len(picture) > 0 {
			s.frames = append(s.frames, payloader.Payload(1100, picture))
		}
		picture = nil
	}
	for _, u := range units {
		k := kind(u)
		if codec == "H264" && k == 9 || codec == "H265" && k == 35 {
			add()
			continue
		}
		name, set := sets[k]
		if set = set && (codec == "H264") == (k < 32); set && !inBand {
			if s.track.Format == "" || len(sprop) < 3 && len(s.frames) == 0 {
				text := base64.StdEncoding.EncodeToString(u)
				if name != "" {
					text = name + "=" + text
				}
				sprop = append(sprop, text)
			}
			continue
		}
		picture = append(append(picture, 0, 0, 0, 1), u...)
	}
	add()
	switch {
	case codec == "H265":
		s.track.Format = strings.Join(sprop, ";")
	case !inBand:
		s.track.Format = "packetization-mode=1;sprop-parameter-sets=" + strings.Join(sprop, ",")
	}
	return s
}

// tone is Opus: packets of silence will do, since nobody looks into them here.
func tone(id uint64) *source {
	return &source{
		track:  &sluice.Track{ID: id, Publisher: "p", Codec: "opus", ClockRate: 48000},
		frames: [][][]byte{{{0xfc, 0xff, 0xfe}}}, ticks: 960, start: 1<<32 - 48000*3,
	}
}
