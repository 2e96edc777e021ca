package recorder

import (
	"bytes"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
	"github.com/sluice-live/sluice/recorder/internal/frame"
	"github.com/sluice-live/sluice/recorder/internal/pack"
)

// output is one rendition as it is written.
type output struct {
	show   *show
	id     string
	video  bool
	scale  int64
	what   sluice.Rendition // ID is "" before its format is known
	packer *pack.Packer     // nil before that

	fresh   bool     // it has no segment yet
	init    int      // version of the newest init section
	section []byte   // its bytes
	parts   [][]byte // of the open segment
	next    bool     // the next keyframe, or packet of sound, begins a segment
	follows bool     // it is transcoded: segments begin where those of its source do
	lost    bool     // a keyframe is needed
	changed bool     // the next segment has other parameters: all have a discontinuity where it begins
	vacant  bool     // nobody feeds it: the open segment is a gap

	expected int64   // of sound: where the next packet begins
	cuts     []int64 // where segments are to begin, of what comes later than that is known

	skip    int     // versions of init sections that players may have seen elsewhere
	frames  int     // in the open segment
	late    int     // pictures that were refused
	bits    float64 // of all segments with media
	seconds float64
	told    sluice.Rendition // as last described
}

// output finds or makes a rendition.
func (s *show) output(id string, video bool) *output {
	for _, o := range s.outputs {
		if o.id == id {
			return o
		}
	}
	o := &output{show: s, id: id, video: video, scale: fmp4.AudioTimescale}
	if video {
		o.scale = fmp4.VideoTimescale
	}
	s.outputs = append(s.outputs, o)
	return o
}

// tickOf returns the tick of a time on the recording's timeline.
func (o *output) tickOf(at time.Time) int64 {
	d := at.Sub(o.show.origin())
	return int64(d/time.Second)*o.scale + int64(d%time.Second)*o.scale/int64(time.Second)
}

func (o *output) ticks(d time.Duration) int64 { return int64(d) / 1000 * o.scale / 1_000_000 }

// running reports whether a segment is open.
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

// format takes a decoder's new parameters: a new init section, and when it is
// not the first, a break in all renditions.
func (o *output) format(f *frame.Format) bool {
	section, err := fmp4.Init(f)
	if err != nil {
		o.show.log.Warn("media cannot be recorded", "layer", o.id, "err", err)
		return false
	}
	o.what.ID, o.what.Kind, o.what.Codecs = o.id, sluice.RenditionVideo, f.MIME
	if !o.video {
		o.what.Kind = sluice.RenditionAudio
	}
	o.what.Width, o.what.Height, o.what.Channels = f.Width, f.Height, f.Channels
	o.what.Default = o.id == soundID
	if o.packer == nil {
		o.resume()
	}
	if bytes.Equal(section, o.section) {
		return true
	}
	if o.section != nil {
		o.packer.Change()
		o.next, o.changed = o.running(), true
	}
	o.init += 1 + o.skip
	o.section, o.skip = section, 0
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
func (o *output) resume() {
	c := o.show.record
	c.mu.Lock()
	before := c.segments[o.id]
	c.mu.Unlock()
	next, breaks := uint64(0), uint64(0)
	if n := len(before); n > 0 {
		next, o.init, o.skip = before[n-1].Sequence+1, before[n-1].Init, o.show.skip
		breaks = archive.Breaks(before)
	} else {
		o.fresh, breaks = true, o.show.breaks()
	}
	track := uint32(fmp4.AudioTrack)
	if o.video {
		track = fmp4.VideoTrack
	}
	o.packer = pack.New(pack.Config{
		Track: track, Timescale: o.scale, Part: o.show.recorder.cfg.Part, Origin: o.show.origin(), Next: next, Breaks: breaks,
	}, o)
	if next > 0 {
		o.packer.Break()
		o.packer.Owe(o.show.breaks())
		o.packer.Format(o.init)
	}
	for _, s := range before {
		o.measure(s)
	}
}

// picture takes the picture of a time.
func (o *output) picture(at time.Time, key bool, data []byte) {
	if o.packer == nil {
		return
	}
	tick := o.tickOf(at)
	if key {
		o.bridge(tick)
	}
	begun, open := o.packer.Open()
	if !key && (!open || o.next && o.lost) {
		o.lost = true
		return
	}
	o.cover(tick)
	began := o.packer.Time(begun)
	o.next = o.reach(tick) || o.next
	cut := !open || key && (o.next || !o.follows && o.show.due(began, at)) || at.Sub(began) >= longestSegment
	if !o.packer.Push(tick, fmp4.Sample{Key: key, Data: data}, cut) {
		o.refused()
		return
	}
	o.frames++
	o.vacant, o.show.left = false, time.Time{}
	if key {
		o.lost = false
	}
	if cut {
		o.next = false
		if !o.packer.Broken() {
			o.reach(tick + o.shortest())
		}
		o.show.changes(o)
		if !o.follows {
			o.show.began(at)
		}
	}
}

// plan notes that a segment begins at a tick, unless another begins just before it.
func (o *output) plan(tick int64) {
	if n := len(o.cuts); n > 0 && tick-o.cuts[n-1] < o.shortest() {
		return
	}
	if o.cuts = append(o.cuts, tick); len(o.cuts) > maxCuts {
		o.cuts = o.cuts[1:]
	}
}

// bridge lets gaps, cut where segments were to begin, stand for what a transcoder
// has not given before a tick.
func (o *output) bridge(tick int64) {
	most := o.show.recorder.cfg.Part
	if o.video {
		most = videoPatience
	}
	if o.follows && o.running() && len(o.cuts) > 0 && tick-o.packer.End() > o.ticks(most) {
		o.gaps(tick)
	}
}

// shortest is how long a segment lasts at least, but where media breaks off.
func (o *output) shortest() int64 { return o.ticks(o.show.recorder.cfg.Segment / 4) }

// maxCuts bounds how many segments media may be late.
const maxCuts = 64

// reach reports whether a segment was to begin at a tick or before it.
func (o *output) reach(tick int64) (reached bool) {
	for len(o.cuts) > 0 && o.cuts[0] <= tick {
		o.cuts = o.cuts[1:]
		reached = true
	}
	return reached
}

// usualRefusals is how many pictures may be refused, as after a jump of time,
// before that is told.
const usualRefusals = 10

// refused notes that a picture lies before the newest one. A decoder needs none of
// them: those that are sent late are B-frames that nothing else refers to, or refers
// to only from between.
func (o *output) refused() {
	o.show.recorder.counters.dropped.Add(1)
	if o.late++; o.late == usualRefusals && !o.follows {
		o.show.log.Warn("the publisher sends B-frames, which WebRTC has no place for: they are left out of the recording", "layer", o.id)
	}
}

// packet takes the packet of sound of a time. Silence stands for what is missing
// before it.
func (o *output) packet(at time.Time, u frame.Unit) {
	tick := o.tickOf(at)
	if o.running() && !o.vacant {
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
	o.bridge(tick)
	o.cover(tick)
	cut := o.reach(tick) || !o.running() || o.next || o.overdue(tick)
	if !o.packer.Push(tick, fmp4.Sample{Key: true, Data: data}, cut) {
		return
	}
	if cut {
		o.next = false
		o.show.coder.cut(o, tick)
		o.show.changes(o)
	}
	o.vacant, o.show.left = false, time.Time{}
	o.expected = tick + ticks
	if o.id == soundID {
		o.show.coder.sound(tick, data, ticks)
	}
}

// overdue reports whether a segment of sound has to begin at a tick since video gives
// no beat. What is transcoded has the beat of its source.
func (o *output) overdue(tick int64) bool {
	begun, _ := o.packer.Open()
	cfg := o.show.recorder.cfg
	switch age := tick - begun; {
	case o.id != soundID:
		return age >= o.ticks(longestSegment)
	case o.show.hasVideo(): // within the target duration, which is rounded up
		return age >= o.ticks(cfg.Segment+min(cfg.Segment/2, time.Second))
	default:
		return age >= o.ticks(cfg.Segment)
	}
}

// cutAt begins a segment of sound where one of video began.
func (o *output) cutAt(at time.Time) {
	if !o.running() {
		return
	}
	tick := o.tickOf(at)
	newest, _ := o.packer.Open()
	switch {
	case tick-newest < o.shortest(): // another layer has begun the same segment
	case tick > o.packer.End():
		o.plan(tick)
	default:
		o.packer.Cut(tick)
		begun, _ := o.packer.Open()
		o.show.coder.cut(o, begun)
	}
}

// idle fills the time for which no media has come and none will.
func (o *output) idle(now time.Time) {
	if !o.running() {
		return
	}
	if !o.video {
		if until := o.tickOf(now.Add(-soundPatience)); o.vacant { // it waits for the picture
			o.gaps(until)
		} else if until > o.expected {
			o.silence(until)
		}
		return
	}
	patience := videoPatience
	if o.follows {
		patience = coderPatience
	}
	until := o.tickOf(now.Add(-patience))
	if until-o.packer.End() < o.ticks(o.show.recorder.cfg.Part) {
		return
	}
	if !o.lost { // others may have begun a segment meanwhile
		o.next, o.lost = true, true
		if tick := o.tickOf(o.show.cut); tick > o.packer.End() {
			o.plan(tick)
		}
	}
	o.gaps(until)
	target := o.ticks(o.show.recorder.cfg.Segment)
	begun, _ := o.packer.Open()
	if end := o.packer.End(); end-begun >= target && end-o.tickOf(o.show.cut) >= target { // nobody gives a beat
		o.packer.Cut(end)
		o.show.began(o.packer.Time(end))
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
		o.next, o.changed = o.running(), false
	}
}

// Part implements pack.Output.
func (o *output) Part(growing sluice.Segment, p sluice.Part, data []byte) {
	s := o.show
	o.parts = append(o.parts, data)
	s.record.writer.Part(o.id, growing.Sequence, data)
	s.recorder.deps.Sink.Part(s.meta.ID, o.id, growing, p, data)
	if p.Independent && o.video && p.Index == 0 {
		s.thumbnail(o, growing.Start, data)
	}
}

// Segment implements pack.Output.
func (o *output) Segment(g sluice.Segment) {
	s := o.show
	s.record.remember(o.id, memory{g.Sequence, o.parts})
	o.parts = nil
	s.record.sent(o.id, g)
	s.record.writer.Segment(o.id, g)
	s.recorder.deps.Sink.Segment(s.meta.ID, o.id, g)
	o.measure(g)
	if o.video && !g.Gap && g.Duration > s.recorder.cfg.Segment/2 {
		o.what.FrameRate = usualRate(float64(o.frames) / g.Duration.Seconds())
	}
	o.frames = 0
	if o.differs() {
		s.describe()
		o.told = o.what
	}
}
