package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

// ivf writes VP8, VP9 and AV1.
type ivf struct {
	file   *os.File
	first  int64
	last   int64
	frames int64
}

func (w *ivf) video(mime string, s sample) error {
	if w.frames == 0 {
		fourcc := map[string]string{"video/vp8": "VP80", "video/vp9": "VP90", "video/av1": "AV01"}[strings.ToLower(mime)]
		if fourcc == "" {
			return fmt.Errorf("the stream is %s, which .ivf does not hold: record to .mp4 or .h264", mime)
		}
		width, height := size(mime, s.data)
		header := make([]byte, 32)
		copy(header, "DKIF\x00\x00\x20\x00"+fourcc)
		binary.LittleEndian.PutUint16(header[12:], uint16(width))
		binary.LittleEndian.PutUint16(header[14:], uint16(height))
		binary.LittleEndian.PutUint32(header[16:], 90000)
		binary.LittleEndian.PutUint32(header[20:], 1)
		if _, err := w.file.Write(header); err != nil {
			return err
		}
		w.first = s.ticks
	}
	w.frames++
	w.last = s.ticks
	header := make([]byte, 12, 12+len(s.data))
	binary.LittleEndian.PutUint32(header, uint32(len(s.data)))
	binary.LittleEndian.PutUint64(header[4:], uint64(s.ticks-w.first))
	_, err := w.file.Write(append(header, s.data...))
	return err
}

func (w *ivf) audio(sample) error           { return nil }
func (w *ivf) report(string, uint64, int64) {}

func (w *ivf) close() error {
	if w.frames == 0 {
		return nil
	}
	// FFmpeg reads and writes the length in ticks here, libvpx ignores it.
	length := make([]byte, 4)
	binary.LittleEndian.PutUint32(length, uint32((w.last-w.first)*w.frames/max(1, w.frames-1)))
	_, err := w.file.WriteAt(length, 24)
	return err
}

// annexB writes H.264.
type annexB struct{ file io.Writer }

func (w *annexB) video(mime string, s sample) error {
	if !strings.EqualFold(mime, "video/H264") {
		return fmt.Errorf("the stream is %s: record to .ivf or .mp4", mime)
	}
	_, err := w.file.Write(s.data)
	return err
}

func (w *annexB) audio(sample) error           { return nil }
func (w *annexB) report(string, uint64, int64) {}
func (w *annexB) close() error                 { return nil }

// ogg writes Opus.
type ogg struct {
	file io.Writer
	out  *oggwriter.OggWriter
	seq  uint16
}

func (w *ogg) video(string, sample) error   { return nil }
func (w *ogg) report(string, uint64, int64) {}

func (w *ogg) audio(s sample) error {
	if w.out == nil {
		out, err := oggwriter.NewWith(keepOpen{w.file}, 48000, 2)
		if err != nil {
			return err
		}
		w.out = out
	}
	w.seq++
	return w.out.WriteRTP(&rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: w.seq, Timestamp: uint32(s.ticks)},
		Payload: s.data,
	})
}

func (w *ogg) close() error {
	if w.out == nil {
		return nil
	}
	return w.out.Close()
}

// keepOpen hides Close: the Recorder closes the file.
type keepOpen struct{ io.Writer }

// keyframe reports whether an assembled frame stands alone.
func keyframe(mime string, data []byte) bool {
	switch strings.ToLower(mime) {
	case "video/vp8":
		return data[0]&1 == 0
	case "video/vp9":
		var h vp9.Header
		return h.Unmarshal(data) == nil && !h.ShowExistingFrame && !h.NonKeyFrame
	case "video/h264":
		key := false
		for _, n := range nalUnits(data) {
			key = key || n[0]&0x1f == 5
		}
		return key
	case "video/av1":
		_, err := sequenceHeader(data)
		return err == nil
	}
	return false
}

// size returns the pixels of a keyframe, 0 when it does not say.
func size(mime string, data []byte) (width, height int) {
	switch strings.ToLower(mime) {
	case "video/vp8":
		if len(data) >= 10 {
			return int(binary.LittleEndian.Uint16(data[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(data[8:]) & 0x3fff)
		}
	case "video/vp9":
		var h vp9.Header
		if h.Unmarshal(data) == nil && h.FrameSize != nil {
			return h.Width(), h.Height()
		}
	case "video/av1":
		if raw, err := sequenceHeader(data); err == nil {
			var h av1.SequenceHeader
			if h.Unmarshal(raw) == nil {
				return h.Width(), h.Height()
			}
		}
	}
	return 0, 0
}

// sequenceHeader returns the AV1 sequence header OBU of a temporal unit, without
// its size field.
func sequenceHeader(unit []byte) ([]byte, error) {
	var obus av1.Bitstream
	if err := obus.Unmarshal(unit); err != nil {
		return nil, err
	}
	for _, obu := range obus {
		if len(obu) > 0 && obu[0]>>3&0xf == 1 {
			return obu, nil
		}
	}
	return nil, errors.New("no sequence header")
}
