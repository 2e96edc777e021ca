package recorder

import (
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/ffmpeg"
	"github.com/sluice-live/sluice/recorder/internal/frame"
)

// coder is the transcoders of one show: AAC of its sound, H.264 of layers that HLS
// has no place for. It does nothing without ffmpeg.
type coder struct {
	show   *show
	config ffmpeg.Config

	aac    *ffmpeg.Sound
	aacOut *output

	best rung    // the largest layer
	more []*rung // others, while the node has room for them

	still  time.Time // when the newest thumbnail was asked for
	stills chan still
	asking bool
}

// still is a thumbnail that has been made.
type still struct {
	number uint64
	data   []byte
	err    error
}

func newCoder(s *show) *coder {
	r := s.recorder
	c := &coder{show: s, best: rung{id: pictureID}, stills: make(chan still, 1), config: ffmpeg.Config{
		Program: r.cfg.FFmpeg, Memory: r.cfg.Memory, Log: s.log, Died: func() { r.counters.restarts.Add(1) },
	}}
	if r.ffmpeg {
		c.aac = ffmpeg.NewSound(c.config)
	}
	return c
}

// sound takes a packet that is in the recording.
func (c *coder) sound(tick int64, data []byte, ticks int64) {
	if c.aac != nil {
		c.aac.Push(time.Now(), tick, data, ticks)
	}
}

// cut notes that a segment of a rendition begins at a tick: where that is the sound,
// one of what is transcoded from it begins there too, however late that comes.
func (c *coder) cut(of *output, tick int64) {
	if c.aac == nil || of.id != soundID {
		return
	}
	o := c.aacOutput()
	if o.running() && tick <= o.packer.End() {
		o.packer.Cut(tick)
		return
	}
	o.plan(tick)
}

// aacOutput is the rendition of AAC.
func (c *coder) aacOutput() *output {
	if c.aacOut == nil {
		c.aacOut = c.show.output(aacID, false)
		c.aacOut.follows = true
	}
	return c.aacOut
}

// idle lets gaps stand for what transcoders have not given in time.
func (c *coder) idle(now time.Time) {
	for _, g := range c.running() {
		g.out.idle(now)
		g.pictures.Limit(time.Now(), coderPatience)
	}
	if o := c.aacOut; o != nil && o.running() {
		o.gaps(o.tickOf(now.Add(-coderPatience)))
		c.aac.Limit(time.Now(), coderPatience)
	}
}

// hush says that the sound has ended, or that what follows does not continue it.
func (c *coder) hush() {
	if c.aac != nil && c.show.record != nil {
		c.aac.Drain(time.Now().Add(drainTime), c.hear)
	}
	if c.aacOut != nil {
		c.aacOut.flush()
	}
}

// fetch takes what the transcoders have given.
func (c *coder) fetch() {
	s := c.show
	if c.aac != nil && s.record != nil {
		c.aac.Fetch(c.hear)
	}
	if s.record != nil {
		c.best.fetch(s)
		for _, g := range c.more {
			g.fetch(s)
		}
	}
	select {
	case t := <-c.stills:
		c.asking = false
		if t.err != nil {
			s.log.Debug("no thumbnail", "err", t.err)
		} else if s.record != nil {
			s.record.writer.Thumbnail(t.number, t.data)
		}
	default:
	}
}

// hear takes a frame of AAC.
func (c *coder) hear(u ffmpeg.Unit) {
	o := c.aacOutput()
	if o.packer != nil || o.format(aacFormat()) {
		o.sound(u.Tick, u.Data, ffmpeg.SoundTicks)
	}
}

func aacFormat() *frame.Format {
	asc, err := mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: ffmpeg.SoundRate, ChannelCount: 2, ChannelConfig: 2,
	}.Marshal()
	if err != nil {
		panic(fmt.Sprintf("recorder: the configuration of AAC does not encode: %v", err))
	}
	return &frame.Format{Codec: "AAC", MIME: "mp4a.40.2", Channels: 2, AAC: asc}
}

// close ends the transcoders.
func (c *coder) close() {
	if c.aac != nil {
		c.aac.Close()
	}
	c.best.leave()
	for len(c.more) > 0 {
		c.drop(c.more[0])
	}
	if c.asking {
		<-c.stills
	}
}

// thumbnail has a picture made of the segment that begins at a time, when it is
// due: one at a time, of the smallest layer that is large enough.
func (s *show) thumbnail(o *output, at time.Time, part []byte) {
	c := s.coder
	number := uint64(max(0, at.Sub(s.meta.Started)) / sluice.ThumbnailEvery)
	due := s.meta.Started.Add(time.Duration(number) * sluice.ThumbnailEvery)
	if !s.recorder.ffmpeg || c.asking || !c.still.Before(due) || o != s.forThumbnails() {
		return
	}
	c.still, c.asking = at, true
	if c.still.Equal(due) {
		c.still = due.Add(1)
	}
	file := append(append([]byte(nil), o.section...), part...)
	s.recorder.wg.Go(func() {
		data, err := ffmpeg.Still(s.recorder.jobs, s.recorder.cfg.FFmpeg, file)
		c.stills <- still{number, data, err}
	})
}

// forThumbnails returns the rendition that thumbnails are made of.
func (s *show) forThumbnails() *output {
	const enough = 320
	var best *output
	for _, o := range s.outputs {
		if !o.video || !o.running() || o.vacant {
			continue
		}
		if best == nil || best.what.Width < enough && o.what.Width > best.what.Width ||
			o.what.Width >= enough && o.what.Width < best.what.Width {
			best = o
		}
	}
	return best
}
