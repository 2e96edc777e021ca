package fmp4

import (
	"bytes"
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
	"github.com/Eyevinn/mp4ff/mp4"
	mcav1 "github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"

	"github.com/sluice-live/sluice/recorder/internal/frame"
)

// Track IDs are fixed, so that any video and any sound of a recording fit into
// one file.
const (
	VideoTrack = 1
	AudioTrack = 2
)

// Timescale of tracks: RTP's clocks.
const (
	VideoTimescale = 90000
	AudioTimescale = frame.OpusRate
)

// opusPreSkip is how many samples a decoder starts with that no encoder was
// given: those of libopus (RFC 7845 section 4.2).
const opusPreSkip = 312

// Init returns the init section of a track.
func Init(f *frame.Format) ([]byte, error) {
	s := mp4.NewMP4Init()
	s.AddChild(mp4.NewFtyp("iso6", 0, []string{"iso6", "cmfc", "mp41"}))
	moov := mp4.NewMoovBox()
	s.AddChild(moov)
	moov.AddChild(mp4.CreateMvhd())
	mvex := mp4.NewMvexBox()
	moov.AddChild(mvex)
	id, scale, kind := uint32(VideoTrack), uint32(VideoTimescale), "video"
	if f.Channels > 0 {
		id, scale, kind = AudioTrack, AudioTimescale, "audio"
	}
	moov.Mvhd.NextTrackID = AudioTrack + 1
	trak := mp4.CreateEmptyTrak(id, scale, kind, "und")
	moov.AddChild(trak)
	mvex.AddChild(mp4.CreateTrex(id))
	if err := describe(trak, f); err != nil {
		return nil, fmt.Errorf("init section of %s: %w", f.Codec, err)
	}
	var out bytes.Buffer
	if err := s.Encode(&out); err != nil {
		return nil, fmt.Errorf("init section of %s: %w", f.Codec, err)
	}
	return out.Bytes(), nil
}

func describe(trak *mp4.TrakBox, f *frame.Format) error {
	stsd := trak.Mdia.Minf.Stbl.Stsd
	switch f.Codec {
	case "H264":
		sps, pps := split(f.Sets, func(b []byte) bool { return b[0]&0x1f == 7 })
		return trak.SetAVCDescriptor("avc1", sps, pps, true)
	case "H265":
		vps, rest := split(f.Sets, func(b []byte) bool { return b[0]>>1&0x3f == 32 })
		sps, pps := split(rest, func(b []byte) bool { return b[0]>>1&0x3f == 33 })
		return trak.SetHEVCDescriptor("hvc1", vps, sps, pps, nil, true)
	case "AV1":
		box, err := av1C(f.Sets[0])
		if err != nil {
			return err
		}
		trak.Tkhd.Width, trak.Tkhd.Height = mp4.Fixed32(f.Width<<16), mp4.Fixed32(f.Height<<16)
		stsd.AddChild(mp4.CreateVisualSampleEntryBox("av01", uint16(f.Width), uint16(f.Height), box))
	case "OPUS":
		stsd.AddChild(mp4.CreateAudioSampleEntryBox("Opus", uint16(f.Channels), 16, AudioTimescale, &mp4.DopsBox{
			OutputChannelCount: byte(f.Channels), PreSkip: opusPreSkip, InputSampleRate: AudioTimescale,
		}))
	case "AAC":
		stsd.AddChild(mp4.CreateAudioSampleEntryBox("mp4a", uint16(f.Channels), 16, AudioTimescale, mp4.CreateEsdsBox(f.AAC)))
	default:
		return fmt.Errorf("no MP4 form")
	}
	return nil
}

func split(sets [][]byte, first func([]byte) bool) (yes, no [][]byte) {
	for _, b := range sets {
		if first(b) {
			yes = append(yes, b)
		} else {
			no = append(no, b)
		}
	}
	return yes, no
}

// av1C makes the codec configuration (AV1 in ISOBMFF section 2.3.3).
func av1C(header []byte) (*mp4.Av1CBox, error) {
	var h mcav1.SequenceHeader
	if err := h.Unmarshal(header); err != nil {
		return nil, err
	}
	bit := func(b bool) byte {
		if b {
			return 1
		}
		return 0
	}
	c := h.ColorConfig
	return &mp4.Av1CBox{CodecConfRec: av1.CodecConfRec{
		Version: 1, SeqProfile: h.SeqProfile, SeqLevelIdx0: h.SeqLevelIdx[0], SeqTier0: bit(h.SeqTier[0]),
		HighBitdepth: bit(c.HighBitDepth), TwelveBit: bit(c.TwelveBit), MonoChrome: bit(c.MonoChrome),
		ChromaSubsamplingX: bit(c.SubsamplingX), ChromaSubsamplingY: bit(c.SubsamplingY),
		ChromaSamplePosition: byte(c.ChromaSamplePosition), ConfigOBUs: header,
	}}, nil
}
