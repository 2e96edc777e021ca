package recorder

import (
	"bytes"
	"math"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
	"github.com/sluice-live/sluice/recorder/internal/frame"
	"github.com/sluice-live/sluice/recorder/internal/pack"
	"github.com/sluice-live/sluice/recorder/internal/timeline"
)

// output is what a lane writes: its samples on the recording's timeline.
type output struct {
	show   *show
	id     string
	what   sluice.Rendition // as described; ID is "" before its first sample
	packer *pack.Packer
	line   timeline.Timeline
	scale  int64

	init    int    // version of the newest init section
	section []byte // its bytes
	parts   [][]byte
	tick    int64 // where the open segment begins
	next    bool  // the next keyframe begins a segment
	lost    bool  // a keyframe is needed

	expected int64   // of sound: where the next sample begins
	cuts     []int64 // of sound: where segments are to begin

	frames  int
	bits    float64 // of all segments with media
	seconds float64
	told    sluice.Rendition // as last described
	dropped uint64           // of the assembler, as counted
}

func newLane(s *show, id string, t *sluice.Track) *lane {
	l := &lane{output: &output{show: s, id: id}}
	if !l.begin(t) {
		return nil
	}
	return l
}

// begin makes a track feed the lane. It reports false for a codec that cannot be
// recorded.
func (l *lane) begin(t *sluice.Track) bool {
	l.video, l.sound = nil, nil
	if t.Video {
		if l.video = frame.New(t); l.video == nil {
			return false
		}
	} else if t.Codec != "opus" {
		return false
	} else {
		l.sound = &frame.Opus{}
	}
	l.track, l.dropped = t.ID, 0
	l.line = timeline.Timeline{Hertz: int64(t.ClockRate)}
	l.scale = int64(t.ClockRate)
	return true
}

func (l *lane) push(p *sluice.Packet) {
	if l.video == nil {
		l.sound.Push(p, l.hear)
		return
	}
	l.video.Push(p, l.see)
	if n := l.video.Dropped(); n > l.dropped {
		l.show.recorder.counters.dropped.Add(int64(n - l.dropped))
		l.dropped = n
	}
}

// place returns the tick of a unit.
func (o *output) place(u frame.Unit) int64 {
	at, broken := o.line.At(u.Timestamp, u.Captured)
	if broken {
		o.show.log.Info("media time has jumped", "layer", o.id)
		o.show.split()
	}
	if o.show.record == nil {
		o.show.start(at)
	}
	return o.tickOf(at.Add(o.show.offset))
}

// tickOf returns the tick of a time on the recording's timeline.
func (o *output) tickOf(at time.Time) int64 {
	d := at.Sub(o.show.origin())
	return int64(d/time.Second)*o.scale + int64(d%time.Second)*o.scale/int64(time.Second)
}

func (o *output) running() bool {
	if o.packer == nil {
		return false
	}
	_, open := o.packer.Open()
	return open
}

// newest is the capture time of the newest sample.
func (o *output) newest() time.Time {
	if o.packer == nil {
		return time.Time{}
	}
	return o.packer.Time(o.packer.End())
}

// see takes a picture.
func (l *lane) see(u frame.Unit) { l.output.see(u) }

func (o *output) see(u frame.Unit) {
	tick := o.place(u)
	if u.Format != nil && !o.format(u.Format) {
		return
	}
	begun, open := int64(0), false
	if o.packer != nil {
		begun, open = o.packer.Open()
	}
	if o.packer == nil || !u.Key && (!open || o.next) {
		o.lost = true
		return
	}
	at := o.packer.Time(tick)
	cut := !open || u.Key && (o.next || o.show.due(o.packer.Time(begun), at)) ||
		at.Sub(o.packer.Time(begun)) >= longestSegment
	if cut {
		o.tick = tick
	}
	if !o.packer.Push(tick, fmp4.Sample{Key: u.Key, Data: u.Data}, cut) {
		return
	}
	o.frames++
	if u.Key {
		o.lost, o.next = false, false
	}
	if cut {
		o.show.began(at)
	}
}

// format takes a decoder's new parameters: a new init section, and when it is
// not the first, a break in all renditions.
func (o *output) format(f *frame.Format) bool {
	section, err := fmp4.Init(f)
	if err != nil {
		o.show.log.Warn("media cannot be recorded", "layer", o.id, "err", err)
		return false
	}
	kind := sluice.RenditionVideo
	track := uint32(fmp4.VideoTrack)
	if f.Channels > 0 {
		kind, track = sluice.RenditionAudio, fmp4.AudioTrack
	}
	o.what.ID, o.what.Kind, o.what.Codecs = o.id, kind, f.MIME
	o.what.Width, o.what.Height, o.what.Channels = f.Width, f.Height, f.Channels
	o.what.Default = o.id == soundID
	if o.packer == nil {
		o.resume(track)
	}
	if bytes.Equal(section, o.section) {
		return true
	}
	if o.section != nil {
		o.show.split()
	}
	o.init++
	o.section = section
	o.packer.Format(o.init)
	c := o.show.record
	c.putInit(o.id, o.init, section)
	c.writer.Init(o.id, o.init, section)
	o.show.describe()
	o.told = o.what
	o.show.recorder.deps.Sink.Init(o.show.meta.ID, o.id, o.init, section)
	return true
}

// resume makes the packer, behind what the recording has already.
func (o *output) resume(track uint32) {
	next := uint64(0)
	c := o.show.record
	c.mu.Lock()
	before := c.segments[o.id]
	if n := len(before); n > 0 {
		next, o.init = before[n-1].Sequence+1, before[n-1].Init
	}
	c.mu.Unlock()
	o.packer = pack.New(pack.Config{
		Track: track, Timescale: o.scale, Part: o.show.recorder.cfg.Part, Origin: o.show.origin(), Next: next,
	}, o)
	if next > 0 {
		o.packer.Break()
		for _, s := range before {
			o.measure(s)
		}
		// The section may be the same as before; its version is not told apart
		// from a new one, and players do not mind.
	}
}

// hear takes a packet of sound.
func (l *lane) hear(u frame.Unit) { l.output.hear(u) }

func (o *output) hear(u frame.Unit) {
	if !o.running() && o.show.waitsForVideo(u.Captured) {
		return
	}
	tick := o.place(u)
	if u.Format != nil && !o.format(u.Format) {
		return
	}
	if o.packer == nil {
		return
	}
	if o.running() {
		if tick < o.expected-int64(u.Ticks)/2 {
			return // late: silence stands in its place
		}
		o.silence(tick)
	}
	o.sound(tick, u.Data, int64(u.Ticks))
}

// silence fills the time up to a tick.
func (o *output) silence(tick int64) {
	frame.Silence(tick-o.expected, func(data []byte, ticks uint32) {
		o.sound(o.expected, data, int64(ticks))
	})
}

// sound adds a packet that begins at a tick.
func (o *output) sound(tick int64, data []byte, ticks int64) {
	cut := !o.running() || o.next
	for len(o.cuts) > 0 && o.cuts[0] <= tick {
		o.cuts = o.cuts[1:]
		cut = true
	}
	begun, _ := o.packer.Open()
	if age := tick - begun; !o.show.hasVideo() && age >= o.tickLength(o.show.recorder.cfg.Segment) || age >= o.tickLength(longestSegment) {
		cut = true
	}
	if cut {
		o.tick = tick
		o.next = false
	}
	if o.packer.Push(tick, fmp4.Sample{Key: true, Data: data}, cut) {
		o.expected = tick + ticks
	}
}

func (o *output) tickLength(d time.Duration) int64 {
	return int64(d) / 1000 * o.scale / 1_000_000
}

func (s *show) hasVideo() bool {
	for _, l := range s.lanes {
		if l.video != nil && l.track != 0 && l.packer != nil {
			return true
		}
	}
	return false
}

// cutAt begins a segment of sound where one of video began.
func (o *output) cutAt(at time.Time) {
	if !o.running() {
		return
	}
	tick := o.tickOf(at)
	begun, _ := o.packer.Open()
	switch {
	case tick-begun < o.tickLength(o.show.recorder.cfg.Segment/4):
	case tick > o.packer.End():
		o.cuts = append(o.cuts, tick)
	default:
		o.packer.Cut(tick)
		o.tick, _ = o.packer.Open()
	}
}

// idle fills the time for which no media has come and none will.
func (l *lane) idle(now time.Time) {
	if !l.running() {
		return
	}
	if l.video == nil {
		if until := l.tickOf(now.Add(-soundPatience)); until > l.expected {
			l.silence(until)
		}
		return
	}
	until := l.tickOf(now.Add(-videoPatience))
	if until-l.packer.End() < l.tickLength(l.show.recorder.cfg.Part) {
		return
	}
	l.packer.Idle(until)
	l.next, l.lost = true, true
	begun, _ := l.packer.Open()
	if l.packer.End()-begun >= l.tickLength(l.show.recorder.cfg.Segment) {
		end := l.packer.End()
		l.tick = end
		l.packer.Cut(end)
		l.show.began(l.packer.Time(end))
	}
}

// flush closes what is open.
func (o *output) flush() {
	if o.packer != nil {
		o.packer.Flush()
	}
	o.cuts = nil
}

// split puts a discontinuity before the next segment, which begins as soon as it
// can.
func (o *output) split() {
	if o.packer != nil {
		o.packer.Break()
		o.next = o.running()
	}
}

// Part implements pack.Output.
func (o *output) Part(growing sluice.Segment, p sluice.Part, data []byte) {
	s := o.show
	o.parts = append(o.parts, data)
	s.record.writer.Part(o.id, growing.Sequence, o.tick, data)
	s.recorder.deps.Sink.Part(s.meta.ID, o.id, growing, p, data)
}

// Segment implements pack.Output.
func (o *output) Segment(g sluice.Segment) {
	s := o.show
	s.record.remember(o.id, memory{g.Sequence, o.parts})
	o.parts = nil
	s.record.writer.Segment(o.id, g)
	s.recorder.deps.Sink.Segment(s.meta.ID, o.id, g)
	o.measure(g)
	if o.what.Kind == sluice.RenditionVideo && !g.Gap && g.Duration > s.recorder.cfg.Segment/2 {
		o.what.FrameRate = usualRate(float64(o.frames) / g.Duration.Seconds())
	}
	o.frames = 0
	if o.differs() {
		s.describe()
		o.told = o.what
	}
}

// measure adds a segment to the rendition's bit rates.
func (o *output) measure(g sluice.Segment) {
	if g.Gap || g.Duration <= 0 {
		return
	}
	bits := float64(g.Size) * 8
	o.bits += bits
	o.seconds += g.Duration.Seconds()
	o.what.Average = int(o.bits / o.seconds)
	if g.Duration >= o.show.recorder.cfg.Segment/2 { // RFC 8216bis section 4.4.6.2: a lone short one does not count
		o.what.Peak = max(o.what.Peak, int(math.Ceil(bits/g.Duration.Seconds())))
	}
}

// differs reports whether what was described is out of date by a twentieth.
func (o *output) differs() bool {
	off := func(a, b float64) bool { return math.Abs(a-b) > b/20 }
	return off(float64(o.what.Peak), float64(o.told.Peak)) || off(float64(o.what.Average), float64(o.told.Average)) ||
		off(o.what.FrameRate, o.told.FrameRate)
}

// usualRate returns the rate that was meant by a measured one.
func usualRate(measured float64) float64 {
	for _, usual := range []float64{15, 20, 24, 25, 30, 50, 60, 120} {
		if math.Abs(measured-usual) < usual/50 {
			return usual
		}
	}
	return math.Round(measured*1000) / 1000
}
