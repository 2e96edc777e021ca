package clips

import (
	"errors"
	"fmt"
	"time"

	"github.com/Eyevinn/mp4ff/hevc"
)

const (
	h265Pictures  = 32 // NAL unit types below are slices (ITU-T H.265 table 7-1)
	h265FirstIRAP = 16
	h265LastIRAP  = 23
)

// readH265 cuts a raw H.265 stream into access units (ITU-T H.265 7.4.2.4.4).
func readH265(raw []byte) (*Track, time.Duration, error) {
	t := &Track{Codec: H265}
	rate := float64(defaultFrameRate)
	start, hasSlice, key := -1, false, false
	end := func(at int) {
		if start >= 0 && hasSlice {
			t.frames = append(t.frames, frame{data: raw[start:at], key: key})
			start, hasSlice, key = -1, false, false
		}
	}
	for _, n := range annexBUnits(raw) {
		unit := raw[n.from:n.to]
		if len(unit) < 3 {
			continue
		}
		kind := unit[0] >> 1 & 0x3f
		slice := kind < h265Pictures
		if hasSlice && (!slice || unit[2]&0x80 != 0) { // first_slice_segment_in_pic_flag
			end(n.code)
		}
		if start < 0 {
			start = n.code
		}
		hasSlice = hasSlice || slice
		key = key || kind >= h265FirstIRAP && kind <= h265LastIRAP
		if hevc.NaluType(kind) == hevc.NALU_SPS && t.Width == 0 {
			sps, err := hevc.ParseSPSNALUnit(unit)
			if err != nil {
				return nil, 0, fmt.Errorf("sequence parameter set: %w", err)
			}
			width, height := sps.ImageSize()
			t.Width, t.Height = int(width), int(height)
			if v := sps.VUI; v != nil && v.NumUnitsInTick > 0 {
				if r := float64(v.TimeScale) / float64(v.NumUnitsInTick); r >= 1 && r <= 240 {
					rate = r
				}
			}
		}
	}
	end(len(raw))
	if len(t.frames) == 0 || t.Width == 0 {
		return nil, 0, errors.New("no H.265 pictures with parameter sets found")
	}
	for i := range t.frames {
		t.frames[i].at = time.Duration(float64(i) / rate * float64(time.Second))
	}
	return t, time.Duration(float64(len(t.frames)) / rate * float64(time.Second)), nil
}
