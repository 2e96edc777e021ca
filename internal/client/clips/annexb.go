package clips

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
)

const defaultFrameRate = 30 // of a raw stream that does not say

// readAnnexB cuts a raw H.264 stream into access units (ITU-T H.264 7.4.1.2.3).
func readAnnexB(raw []byte) (*Track, time.Duration, error) {
	t := &Track{Codec: H264}
	start, hasSlice, key := -1, false, false
	end := func(at int) {
		if start >= 0 && hasSlice {
			t.frames = append(t.frames, frame{data: raw[start:at], key: key})
			start, hasSlice, key = -1, false, false
		}
	}
	var sps []byte
	for _, n := range annexBUnits(raw) {
		unit := raw[n.from:n.to]
		kind := avc.GetNaluType(unit[0])
		slice := kind == avc.NALU_IDR || kind == avc.NALU_NON_IDR
		if !slice || len(unit) > 1 && unit[1]&0x80 != 0 { // first_mb_in_slice is 0
			if hasSlice {
				end(n.code)
			}
		}
		if start < 0 {
			start = n.code
		}
		hasSlice = hasSlice || slice
		key = key || kind == avc.NALU_IDR
		if kind == avc.NALU_SPS && sps == nil {
			sps = unit
		}
	}
	end(len(raw))
	if len(t.frames) == 0 || sps == nil {
		return nil, 0, errors.New("no H.264 pictures with parameter sets found")
	}
	rate, err := t.describe(sps)
	if err != nil {
		return nil, 0, err
	}
	for i := range t.frames {
		t.frames[i].at = time.Duration(float64(i) / rate * float64(time.Second))
	}
	return t, time.Duration(float64(len(t.frames)) / rate * float64(time.Second)), nil
}

// describe fills size and profile from an SPS and returns the frame rate.
func (t *Track) describe(sps []byte) (float64, error) {
	if len(sps) < 4 {
		return 0, errors.New("sequence parameter set too short")
	}
	parsed, err := avc.ParseSPSNALUnit(sps, true)
	if err != nil {
		return 0, fmt.Errorf("sequence parameter set: %w", err)
	}
	t.Width, t.Height = int(parsed.Width), int(parsed.Height)
	t.Profile = hex.EncodeToString(sps[1:4])
	rate := float64(defaultFrameRate)
	if v := parsed.VUI; v != nil && v.TimingInfoPresentFlag && v.NumUnitsInTick > 0 {
		if r := float64(v.TimeScale) / float64(v.NumUnitsInTick) / 2; r >= 1 && r <= 240 {
			rate = r
		}
	}
	return rate, nil
}

// unit is one NAL unit: its start code, first byte and end.
type unit struct{ code, from, to int }

func annexBUnits(raw []byte) []unit {
	var units []unit
	for at := bytes.Index(raw, []byte{0, 0, 1}); at >= 0; {
		u := unit{code: at, from: at + 3, to: len(raw)}
		if at > 0 && raw[at-1] == 0 {
			u.code--
		}
		next := bytes.Index(raw[u.from:], []byte{0, 0, 1})
		if next >= 0 {
			next += u.from
			u.to = next
		}
		for u.to > u.from && raw[u.to-1] == 0 { // trailing zeros belong to the next start code
			u.to--
		}
		if u.to > u.from {
			units = append(units, u)
		}
		at = next
	}
	return units
}
