package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
)

const (
	startWait     = 1500 * time.Millisecond // for the other track and its sender report
	fragmentTicks = 2 * videoRate           // a fragment is closed here without a keyframe
	videoRate     = 90000
	audioRate     = 48000
)

// mp4File writes a fragmented MP4: what is in the file plays even when the end is
// missing. A fragment begins at each keyframe.
type mp4File struct {
	out  io.Writer
	mime string // of the video

	video1, audio1 mp4Track
	begun          time.Time // arrival of the first sample
	started        bool      // the init segment is written
	sequence       uint32
}

type mp4Track struct {
	id      uint32
	rate    int64
	queue   []sample // not written; the last one has no length yet
	base    int64    // ticks of decode time 0
	lastDur uint32
	ntp     uint64 // of the last report
	ntpTick int64
}

func newMP4(out io.Writer) *mp4File {
	return &mp4File{out: out, video1: mp4Track{rate: videoRate}, audio1: mp4Track{rate: audioRate}}
}

func (w *mp4File) video(mime string, s sample) error {
	if w.mime == "" {
		if strings.EqualFold(mime, "video/VP8") {
			return errors.New("the stream is VP8, which few players read from .mp4: record to .ivf")
		}
		w.mime = mime
	}
	if w.started && w.video1.id == 0 {
		return nil // it came too late to be in the init segment
	}
	if q := w.video1.queue; w.started && len(q) > 0 && (s.key || s.ticks-q[0].ticks > fragmentTicks) {
		if err := w.flush(s.ticks); err != nil {
			return err
		}
	}
	w.video1.queue = append(w.video1.queue, s)
	return w.begin(s.at)
}

func (w *mp4File) audio(s sample) error {
	if w.started && w.audio1.id == 0 {
		return nil
	}
	w.audio1.queue = append(w.audio1.queue, s)
	if q := w.audio1.queue; w.started && w.video1.id == 0 && s.ticks-q[0].ticks > fragmentTicks*audioRate/videoRate {
		return w.flush(0)
	}
	return w.begin(s.at)
}

func (w *mp4File) report(kind string, ntp uint64, ticks int64) {
	t := &w.audio1
	if kind == "video" {
		t = &w.video1
	}
	t.ntp, t.ntpTick = ntp, ticks
}

// begin writes the init segment once both tracks and their reports are here, or
// after startWait with what is.
func (w *mp4File) begin(now time.Time) error {
	if w.started {
		return nil
	}
	if w.begun.IsZero() {
		w.begun = now
	}
	ready := len(w.video1.queue) > 0 && len(w.audio1.queue) > 0 && w.video1.ntp != 0 && w.audio1.ntp != 0
	if !ready && now.Sub(w.begun) < startWait {
		return nil
	}
	return w.writeInit()
}

func (w *mp4File) writeInit() error {
	init := mp4.CreateEmptyInit()
	w.align()
	if len(w.video1.queue) > 0 {
		trak := init.AddEmptyTrack(videoRate, "video", "und")
		if err := describeVideo(trak, w.mime, w.video1.queue[0].data); err != nil {
			return fmt.Errorf("describing the video: %w", err)
		}
		w.video1.id = trak.Tkhd.TrackID
	}
	if len(w.audio1.queue) > 0 {
		trak := init.AddEmptyTrack(audioRate, "audio", "und")
		dops := &mp4.DopsBox{OutputChannelCount: 2, InputSampleRate: audioRate}
		trak.Mdia.Minf.Stbl.Stsd.AddChild(mp4.CreateAudioSampleEntryBox("Opus", 2, 16, audioRate, dops))
		w.audio1.id = trak.Tkhd.TrackID
	}
	w.started = true
	return init.Encode(w.out)
}

// align puts both tracks on one time line: by the sender reports when there are
// two, else by arrival.
func (w *mp4File) align() {
	v, a := &w.video1, &w.audio1
	if len(v.queue) == 0 || len(a.queue) == 0 {
		for _, t := range []*mp4Track{v, a} {
			if len(t.queue) > 0 {
				t.base = t.queue[0].ticks
			}
		}
		return
	}
	vt, at := v.queue[0].at, a.queue[0].at
	if v.ntp != 0 && a.ntp != 0 {
		vt, at = v.wall(), a.wall()
	}
	v.base, a.base = v.queue[0].ticks, a.queue[0].ticks
	if late := vt.Sub(at); late > 0 { // the sound is earlier
		v.base -= int64(late) * v.rate / int64(time.Second)
	} else {
		a.base -= int64(-late) * a.rate / int64(time.Second)
	}
}

// wall returns the wall clock of the first sample in the queue, on the scale of
// the reports.
func (t *mp4Track) wall() time.Time {
	seconds, fraction := int64(t.ntp>>32), int64(t.ntp&0xffffffff)
	at := time.Unix(seconds, fraction*int64(time.Second)>>32)
	return at.Add(time.Duration((t.queue[0].ticks - t.ntpTick) * int64(time.Second) / t.rate))
}

// flush writes the queues as one fragment. nextVideo is the time of the video
// sample that follows, 0 when none does.
func (w *mp4File) flush(nextVideo int64) error {
	var ids []uint32
	for _, t := range []*mp4Track{&w.video1, &w.audio1} {
		if t.id != 0 && len(t.queue) > 0 {
			ids = append(ids, t.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	w.sequence++
	fragment, err := mp4.CreateMultiTrackFragment(w.sequence, ids)
	if err != nil {
		return err
	}
	for _, t := range []*mp4Track{&w.video1, &w.audio1} {
		if t.id == 0 {
			continue
		}
		next := nextVideo
		if t == &w.audio1 {
			next = 0
		}
		if err := w.addSamples(fragment, t, next); err != nil {
			return err
		}
	}
	return fragment.Encode(w.out)
}

func (w *mp4File) addSamples(fragment *mp4.Fragment, t *mp4Track, next int64) error {
	for i, s := range t.queue {
		duration := int64(t.lastDur)
		switch {
		case i+1 < len(t.queue):
			duration = t.queue[i+1].ticks - s.ticks
		case next != 0:
			duration = next - s.ticks
		case t == &w.audio1:
			duration = int64(opusTicks(s.data))
		}
		if duration <= 0 || duration > 1<<31 {
			duration = max(1, int64(t.lastDur))
		}
		t.lastDur = uint32(duration)
		flags, data := mp4.SyncSampleFlags, s.data
		if t == &w.video1 {
			if !s.key {
				flags = mp4.NonSyncSampleFlags
			}
			if strings.EqualFold(w.mime, "video/H264") {
				data = lengthPrefixed(s.data)
			}
		}
		full := mp4.FullSample{
			Sample:     mp4.NewSample(flags, t.lastDur, uint32(len(data)), 0),
			DecodeTime: uint64(max(0, s.ticks-t.base)), Data: data,
		}
		if err := fragment.AddFullSampleToTrack(full, t.id); err != nil {
			return err
		}
	}
	t.queue = t.queue[:0]
	return nil
}

func (w *mp4File) close() error {
	if !w.started && (len(w.video1.queue) > 0 || len(w.audio1.queue) > 0) {
		if err := w.writeInit(); err != nil {
			return err
		}
	}
	return w.flush(0)
}

func describeVideo(trak *mp4.TrakBox, mime string, key []byte) error {
	var name string
	var box mp4.Box
	switch strings.ToLower(mime) {
	case "video/h264":
		sps, pps := avc.GetParameterSetsFromByteStream(key)
		if len(sps) == 0 || len(pps) == 0 {
			return errors.New("the first keyframe has no parameter sets")
		}
		return trak.SetAVCDescriptor("avc1", sps, pps, true)
	case "video/vp9":
		var h vp9.Header
		if err := h.Unmarshal(key); err != nil {
			return err
		}
		name = "vp09"
		box = &mp4.VppCBox{
			Version: 1, Profile: h.Profile, Level: 31, BitDepth: 8, ChromaSubsampling: h.ChromaSubsampling(),
			ColourPrimaries: 2, TransferCharacteristics: 2, MatrixCoefficients: 2,
		}
	case "video/av1":
		raw, err := sequenceHeader(key)
		if err != nil {
			return err
		}
		conf, err := av1Config(raw)
		if err != nil {
			return err
		}
		name, box = "av01", conf
	default:
		return fmt.Errorf("%s does not go into .mp4", mime)
	}
	width, height := size(mime, key)
	trak.Tkhd.Width, trak.Tkhd.Height = mp4.Fixed32(width<<16), mp4.Fixed32(height<<16)
	trak.Mdia.Minf.Stbl.Stsd.AddChild(mp4.CreateVisualSampleEntryBox(name, uint16(width), uint16(height), box))
	return nil
}

func av1Config(raw []byte) (*mp4.Av1CBox, error) {
	var h av1.SequenceHeader
	if err := h.Unmarshal(raw); err != nil {
		return nil, err
	}
	bit := func(b bool) byte {
		if b {
			return 1
		}
		return 0
	}
	c := &mp4.Av1CBox{}
	c.Version = 1
	c.SeqProfile = h.SeqProfile
	if len(h.SeqLevelIdx) > 0 {
		c.SeqLevelIdx0, c.SeqTier0 = h.SeqLevelIdx[0], bit(h.SeqTier[0])
	}
	c.HighBitdepth, c.TwelveBit = bit(h.ColorConfig.HighBitDepth), bit(h.ColorConfig.TwelveBit)
	c.MonoChrome = bit(h.ColorConfig.MonoChrome)
	c.ChromaSubsamplingX, c.ChromaSubsamplingY = bit(h.ColorConfig.SubsamplingX), bit(h.ColorConfig.SubsamplingY)
	c.ChromaSamplePosition = byte(h.ColorConfig.ChromaSamplePosition)
	obu, err := av1.Bitstream{raw}.Marshal()
	if err != nil {
		return nil, err
	}
	c.ConfigOBUs = obu
	return c, nil
}

// lengthPrefixed turns Annex B into the form of ISO 14496-15. Parameter sets
// stay in the samples: another layer brings its own.
func lengthPrefixed(data []byte) []byte {
	out := make([]byte, 0, len(data)+8)
	for _, n := range nalUnits(data) {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(n))), n...)
	}
	return out
}

func nalUnits(data []byte) [][]byte {
	var units [][]byte
	for _, n := range avc.ExtractNalusFromByteStream(data) {
		if len(n) > 0 {
			units = append(units, n)
		}
	}
	return units
}

// opusTicks returns the length of an Opus packet in 48 kHz ticks (RFC 6716 3.1).
func opusTicks(p []byte) uint32 {
	if len(p) == 0 {
		return 960
	}
	var per uint32
	switch config := p[0] >> 3; {
	case config < 12:
		per = []uint32{480, 960, 1920, 2880}[config&3]
	case config < 16:
		per = []uint32{480, 960}[config&1]
	default:
		per = []uint32{120, 240, 480, 960}[config&3]
	}
	switch p[0] & 3 {
	case 0:
		return per
	case 1, 2:
		return 2 * per
	}
	if len(p) < 2 {
		return per
	}
	return per * uint32(p[1]&0x3f)
}
