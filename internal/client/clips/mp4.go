package clips

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"
)

// openMP4 reads the index of a plain or fragmented MP4; frames are read from the
// file when they are due.
func openMP4(path string) (*Clip, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	clip, err := indexMP4(path, file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	clip.closer = file
	return clip, nil
}

func indexMP4(path string, file *os.File) (*Clip, error) {
	box, err := mp4.DecodeFile(file, mp4.WithDecodeMode(mp4.DecModeLazyMdat))
	if err != nil {
		return nil, fmt.Errorf("reading the boxes: %w", err)
	}
	moov := box.Moov
	if moov == nil && box.Init != nil {
		moov = box.Init.Moov
	}
	if moov == nil {
		return nil, errors.New("no moov box: the file is not complete")
	}
	clip := &Clip{}
	for _, trak := range moov.Traks {
		if trak.Mdia == nil || trak.Mdia.Hdlr == nil || trak.Mdia.Minf == nil || trak.Mdia.Minf.Stbl == nil || trak.Mdia.Minf.Stbl.Stsd == nil {
			return nil, errors.New("a track misses its description")
		}
		samples, err := trackSamples(box, moov, trak)
		if err != nil {
			return nil, err
		}
		var length time.Duration
		switch kind := trak.Mdia.Hdlr.HandlerType; {
		case kind == "vide" && len(clip.Layers) == 0:
			t, d, err := mp4Video(path, file, trak, samples)
			if err != nil {
				return nil, err
			}
			clip.Layers, length = []*Track{t}, d
		case kind == "soun" && clip.Audio == nil:
			t, d, err := mp4Audio(path, file, trak, samples)
			if err != nil {
				return nil, err
			}
			clip.Audio, length = t, d
		}
		clip.Period = max(clip.Period, length)
	}
	if len(clip.Layers) == 0 && clip.Audio == nil {
		return nil, errors.New("no video or audio in it")
	}
	return clip, nil
}

// mp4Sample is one entry of a sample table.
type mp4Sample struct {
	at, shift int64 // decode time, composition offset, in the track's ticks
	dur       uint32
	offset    int64
	size      int
	sync      bool
}

func mp4Video(path string, file io.ReaderAt, trak *mp4.TrakBox, samples []mp4Sample) (*Track, time.Duration, error) {
	entry := trak.Mdia.Minf.Stbl.Stsd.AvcX
	if entry == nil || entry.AvcC == nil || len(entry.AvcC.SPSnalus) == 0 {
		return nil, 0, fmt.Errorf("its video (%s) is not H.264; %s", entryName(trak), convertHint(path))
	}
	for _, s := range samples {
		if s.shift != samples[0].shift {
			return nil, 0, fmt.Errorf("its video has B-frames; %s", convertHint(path))
		}
	}
	t, length, err := newMP4Track(H264, trak, samples)
	if err != nil {
		return nil, 0, err
	}
	if !t.Key(0) {
		return nil, 0, fmt.Errorf("its video does not start with a keyframe; %s", convertHint(path))
	}
	conf := entry.AvcC.DecConfRec
	if _, err := t.describe(conf.SPSnalus[0]); err != nil {
		return nil, 0, err
	}
	var params []byte
	for _, n := range append(append([][]byte{}, conf.SPSnalus...), conf.PPSnalus...) {
		params = append(append(params, 0, 0, 0, 1), n...)
	}
	t.load = func(f frame) ([]byte, error) {
		raw := make([]byte, f.size)
		if _, err := file.ReadAt(raw, f.offset); err != nil {
			return nil, fmt.Errorf("reading a frame: %w", err)
		}
		return toAnnexB(raw, params, f.key)
	}
	return t, length, nil
}

// toAnnexB turns length-prefixed NAL units into Annex B, the parameter sets
// before a keyframe.
func toAnnexB(raw, params []byte, key bool) ([]byte, error) {
	out := make([]byte, 0, len(raw)+len(params)+16)
	if key {
		out = append(out, params...)
	}
	for len(raw) > 0 {
		if len(raw) < 4 {
			return nil, errors.New("cut NAL unit length")
		}
		size := int(binary.BigEndian.Uint32(raw))
		raw = raw[4:]
		if size > len(raw) {
			return nil, errors.New("NAL unit longer than its frame")
		}
		nalu := raw[:size]
		raw = raw[size:]
		if size == 0 {
			continue
		}
		if kind := avc.GetNaluType(nalu[0]); key && (kind == avc.NALU_SPS || kind == avc.NALU_PPS) {
			continue
		}
		out = append(append(out, 0, 0, 0, 1), nalu...)
	}
	return out, nil
}

func mp4Audio(path string, file io.ReaderAt, trak *mp4.TrakBox, samples []mp4Sample) (*Track, time.Duration, error) {
	if trak.Mdia.Minf.Stbl.Stsd.Opus == nil {
		return nil, 0, fmt.Errorf("its audio (%s) is not Opus; %s", entryName(trak), convertHint(path))
	}
	t, length, err := newMP4Track(Opus, trak, samples)
	if err != nil {
		return nil, 0, err
	}
	t.load = func(f frame) ([]byte, error) {
		raw := make([]byte, f.size)
		if _, err := file.ReadAt(raw, f.offset); err != nil {
			return nil, fmt.Errorf("reading a packet: %w", err)
		}
		return raw, nil
	}
	return t, length, nil
}

func newMP4Track(codec Codec, trak *mp4.TrakBox, samples []mp4Sample) (*Track, time.Duration, error) {
	if len(samples) == 0 {
		return nil, 0, errors.New("a track without samples")
	}
	if trak.Mdia.Mdhd == nil || trak.Mdia.Mdhd.Timescale == 0 {
		return nil, 0, errors.New("a track without timescale")
	}
	scale := float64(time.Second) / float64(trak.Mdia.Mdhd.Timescale)
	t := &Track{Codec: codec}
	first := samples[0].at
	for _, s := range samples {
		t.frames = append(t.frames, frame{
			at: time.Duration(float64(s.at-first) * scale), key: s.sync || codec == Opus,
			offset: s.offset, size: s.size,
		})
	}
	last := samples[len(samples)-1]
	return t, time.Duration(float64(last.at-first+int64(last.dur)) * scale), nil
}

func entryName(trak *mp4.TrakBox) string {
	if kids := trak.Mdia.Minf.Stbl.Stsd.Children; len(kids) > 0 {
		return kids[0].Type()
	}
	return "unknown"
}
