package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"
)

const (
	maxLateVideo = 512 // packets
	maxLateAudio = 50
)

// sample is one frame or Opus packet.
type sample struct {
	data  []byte
	ticks int64     // RTP time without wraps
	at    time.Time // arrival
	key   bool
}

// container is a file format. Its methods are called one at a time.
type container interface {
	video(mime string, s sample) error // the first one is a keyframe
	audio(s sample) error
	report(kind string, ntp uint64, ticks int64)
	close() error
}

// Recorder assembles packets and writes one file.
type Recorder struct {
	mu     sync.Mutex
	out    container
	file   *os.File
	tracks map[string]*track // by kind
	err    error
	closed bool
}

type track struct {
	builder *samplebuilder.SampleBuilder
	mime    string
	last    uint32
	ticks   int64
	started bool
	key     bool // a keyframe has been written
}

// New creates the file. The extension says what is written: .mp4 takes H.264,
// VP9 or AV1 and Opus; .ivf VP8, VP9 or AV1; .h264 H.264; .ogg Opus.
func New(path string) (*Recorder, error) {
	ext := strings.ToLower(filepath.Ext(path))
	switch ext {
	case ".mp4", ".ivf", ".h264", ".264", ".ogg", ".opus":
	default:
		return nil, fmt.Errorf("%s: a recording ends in .mp4, .ivf, .h264 or .ogg", path)
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := &Recorder{file: file, tracks: map[string]*track{}}
	switch ext {
	case ".mp4":
		r.out = newMP4(file)
	case ".ivf":
		r.out = &ivf{file: file}
	case ".h264", ".264":
		r.out = &annexB{file: file}
	default:
		r.out = &ogg{file: file}
	}
	return r, nil
}

// Packet implements client.Sink.
func (r *Recorder) Packet(kind, mime string, clockRate uint32, p *rtp.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || r.closed {
		return
	}
	t := r.tracks[kind]
	if t == nil {
		builder, err := newBuilder(mime, clockRate)
		if err != nil {
			r.err = err
			return
		}
		t = &track{builder: builder, mime: mime}
		r.tracks[kind] = t
	}
	t.builder.Push(p)
	r.drain(kind, t)
}

func newBuilder(mime string, clockRate uint32) (*samplebuilder.SampleBuilder, error) {
	var depacketizer rtp.Depacketizer
	late := uint16(maxLateVideo)
	switch strings.ToLower(mime) {
	case "audio/opus":
		depacketizer, late = &codecs.OpusPacket{}, maxLateAudio
	case "video/vp8":
		depacketizer = &codecs.VP8Packet{}
	case "video/vp9":
		depacketizer = &codecs.VP9Packet{}
	case "video/h264":
		depacketizer = &codecs.H264Packet{}
	case "video/av1":
		depacketizer = &codecs.AV1Depacketizer{}
	default:
		return nil, fmt.Errorf("%s cannot be recorded", mime)
	}
	return samplebuilder.New(late, depacketizer, clockRate), nil
}

func (r *Recorder) drain(kind string, t *track) {
	for r.err == nil {
		built := t.builder.Pop()
		if built == nil {
			return
		}
		if len(built.Data) == 0 {
			continue
		}
		s := sample{data: built.Data, ticks: t.unwrap(built.PacketTimestamp), at: time.Now()}
		if kind == "audio" {
			r.err = r.out.audio(s)
			continue
		}
		s.key = keyframe(t.mime, s.data)
		t.key = t.key || s.key
		if t.key {
			r.err = r.out.video(t.mime, s)
		}
	}
}

// unwrap extends a timestamp relative to the last one.
func (t *track) unwrap(timestamp uint32) int64 {
	if !t.started {
		t.started = true
		t.ticks, t.last = int64(timestamp), timestamp
	}
	t.ticks += int64(int32(timestamp - t.last))
	t.last = timestamp
	return t.ticks
}

// Report implements client.Sink.
func (r *Recorder) Report(kind string, ntp uint64, rtpTime uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tracks[kind]
	if t == nil || !t.started || r.closed {
		return
	}
	r.out.report(kind, ntp, t.ticks+int64(int32(rtpTime-t.last)))
}

// Err returns what stopped the recording, nil while all is well.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close writes what is still in assembly and closes the file. A file in which
// nothing came is removed.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.err
	}
	for kind, t := range r.tracks {
		t.builder.Flush()
		r.drain(kind, t)
	}
	r.closed = true
	r.err = errors.Join(r.err, r.out.close())
	info, err := r.file.Stat()
	r.err = errors.Join(r.err, err, r.file.Close())
	if err == nil && info.Size() == 0 {
		r.err = errors.Join(r.err, os.Remove(r.file.Name()))
	}
	return r.err
}
