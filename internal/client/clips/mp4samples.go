package clips

import (
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"
)

const maxSampleSize = 16 << 20 // bytes; more is a broken table

// trackSamples lists the samples of a track, from the sample tables or from the
// fragments.
func trackSamples(box *mp4.File, moov *mp4.MoovBox, trak *mp4.TrakBox) ([]mp4Sample, error) {
	var samples []mp4Sample
	var err error
	if box.IsFragmented() {
		samples, err = fragmentSamples(box, moov, trak)
	} else {
		samples, err = tableSamples(trak)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range samples {
		if s.size < 0 || s.size > maxSampleSize || s.offset < 0 {
			return nil, errors.New("a sample of impossible size")
		}
	}
	return samples, nil
}

func tableSamples(trak *mp4.TrakBox) ([]mp4Sample, error) {
	stbl := trak.Mdia.Minf.Stbl
	if stbl.Stsz == nil || stbl.Stts == nil || stbl.Stsc == nil || stbl.Stco == nil && stbl.Co64 == nil {
		return nil, errors.New("a sample table is missing")
	}
	count := stbl.Stsz.GetNrSamples()
	if count == 0 {
		return nil, nil
	}
	meta, err := trak.GetSampleData(1, count)
	if err != nil {
		return nil, fmt.Errorf("sample table: %w", err)
	}
	samples := make([]mp4Sample, 0, count)
	var at int64
	for i, m := range meta {
		ranges, err := trak.GetRangesForSampleInterval(uint32(i+1), uint32(i+1))
		if err != nil || len(ranges) != 1 {
			return nil, fmt.Errorf("sample %d has no place in the file: %w", i+1, err)
		}
		sync := stbl.Stss == nil || stbl.Stss.IsSyncSample(uint32(i+1))
		samples = append(samples, mp4Sample{
			at: at, shift: int64(m.CompositionTimeOffset), dur: m.Dur,
			offset: int64(ranges[0].Offset), size: int(m.Size), sync: sync,
		})
		at += int64(m.Dur)
	}
	return samples, nil
}

func fragmentSamples(box *mp4.File, moov *mp4.MoovBox, trak *mp4.TrakBox) ([]mp4Sample, error) {
	if trak.Tkhd == nil {
		return nil, errors.New("a track without header")
	}
	id := trak.Tkhd.TrackID
	var trex *mp4.TrexBox
	if moov.Mvex != nil {
		for _, t := range moov.Mvex.Trexs {
			if t.TrackID == id {
				trex = t
			}
		}
	}
	var samples []mp4Sample
	for _, segment := range box.Segments {
		for _, fragment := range segment.Fragments {
			if fragment.Moof == nil {
				continue
			}
			for _, traf := range fragment.Moof.Trafs {
				if traf.Tfhd == nil || traf.Tfhd.TrackID != id {
					continue
				}
				samples = appendRuns(samples, fragment.Moof, traf, trex)
			}
		}
	}
	return samples, nil
}

func appendRuns(samples []mp4Sample, moof *mp4.MoofBox, traf *mp4.TrafBox, trex *mp4.TrexBox) []mp4Sample {
	var at int64
	if traf.Tfdt != nil {
		at = int64(traf.Tfdt.BaseMediaDecodeTime())
	}
	base := int64(moof.StartPos)
	if traf.Tfhd.HasBaseDataOffset() {
		base = int64(traf.Tfhd.BaseDataOffset)
	}
	for _, run := range traf.Truns {
		run.AddSampleDefaultValues(traf.Tfhd, trex)
		offset := base + int64(run.DataOffset)
		for _, s := range run.GetSamples() {
			samples = append(samples, mp4Sample{
				at: at, shift: int64(s.CompositionTimeOffset), dur: s.Dur,
				offset: offset, size: int(s.Size), sync: !mp4.DecodeSampleFlags(s.Flags).SampleIsNonSync,
			})
			at += int64(s.Dur)
			offset += int64(s.Size)
		}
	}
	return samples
}
