package recorder

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// show records one stream from its first media to the end of the grace time. Its
// goroutine is the only one that touches it.
type show struct {
	recorder *Recorder
	stream   string
	tap      Tap
	log      *slog.Logger

	record *record // nil before the first media
	meta   archive.Meta
	offset time.Duration // added to capture times, so that they never fall after a restart
	before *resumed      // what goes on, until it does

	lanes   []*lane
	outputs []*output
	coder   *coder
	tracks  map[uint64]*lane // by track; nil: not recorded
	sources map[uint64]*sluice.Track
	cut     time.Time // when the leading video's segment began
	pulled  time.Time // when keyframes were asked for last
	broken  time.Time // when the newest media ended at the last break, or the first begins
	waited  time.Time // since when sound waits for video to begin
	left    time.Time // when the newest media ended, while nobody publishes
	lag     atomic.Int64

	claim  Claim     // nil when nobody else records
	term   uint64    // of the recordings that begin here
	skip   int       // init sections of each rendition that players may have seen elsewhere
	looked time.Time // where the publisher is
}

func newShow(r *Recorder, stream string, tap Tap) *show {
	s := &show{
		recorder: r, stream: stream, tap: tap, log: r.log.With("stream", stream),
		tracks: map[uint64]*lane{}, sources: map[uint64]*sluice.Track{},
	}
	s.coder = newCoder(s)
	return s
}

// run reads the tap until the stream has ended or the Recorder closes.
func (s *show) run() {
	defer s.recorder.leave(s)
	defer s.tap.Close()
	if !s.admit() {
		return
	}
	defer s.release()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.tap.Grown():
		case <-tick.C:
		case <-s.recorder.stop:
			s.finish(stopped)
			return
		case <-s.lostClaim():
			s.finish(lost)
			return
		case <-s.lostTerm():
			s.finish(lost)
			return
		}
		if s.moved() {
			s.finish(moved)
			return
		}
		s.follow(s.tap.Read(s.take))
		s.coder.fetch()
		switch s.tap.State() {
		case sluice.StreamOffline:
			s.finish(ended)
			return
		case sluice.StreamLive:
			s.keepTime(s.now())
		case sluice.StreamPaused:
			s.pause(s.now())
		}
	}
}

// now is the capture time of what is sent now.
func (s *show) now() time.Time { return s.tap.Now().Add(s.offset) }

// take gives a packet to its lane.
func (s *show) take(p *sluice.Packet) {
	l, known := s.tracks[p.Track.ID]
	if !known {
		l = s.attach(p.Track)
	}
	if l != nil {
		l.push(p)
	}
}

// follow notes that tracks have gone: what they had is closed, and what comes
// next does not continue it.
func (s *show) follow(tracks []*sluice.Track) {
	gone := false
	for id := range s.sources {
		if slices.ContainsFunc(tracks, func(t *sluice.Track) bool { return t.ID == id }) {
			continue
		}
		gone = s.detach(id) || gone
	}
	if gone {
		s.split()
	}
	for _, t := range tracks {
		s.sources[t.ID] = t
	}
}

// detach closes what a track fed, and reports whether it fed anything.
func (s *show) detach(id uint64) bool {
	l := s.tracks[id]
	delete(s.sources, id)
	delete(s.tracks, id)
	if l == nil || l.track != id {
		return false
	}
	l.flush()
	l.track = 0
	s.leaveVacant()
	return true
}

// split puts a discontinuity into every rendition, at its next segment.
func (s *show) split() {
	for _, o := range s.outputs {
		o.split()
		if t := o.newest(); t.After(s.broken) {
			s.broken = t
		}
	}
	s.level()
	s.cut, s.waited = time.Time{}, time.Time{}
}

// attach finds or makes the lane of a new track.
func (s *show) attach(t *sluice.Track) *lane {
	gone := false
	for other, source := range s.sources {
		if source.Publisher != t.Publisher { // whose place has been taken
			gone = s.detach(other) || gone
		}
	}
	if gone {
		s.split()
	}
	id := laneID(t)
	s.sources[t.ID] = t
	i := slices.IndexFunc(s.lanes, func(l *lane) bool { return l.id == id })
	if i < 0 {
		i = len(s.lanes)
		s.lanes = append(s.lanes, &lane{show: s, id: id})
	}
	l := s.lanes[i]
	s.detach(l.track)
	if !l.begin(t) {
		s.log.Warn("track is not recorded", "layer", t.RID, "codec", t.Codec)
		l = nil
	}
	s.tracks[t.ID] = l
	return l
}

// keepTime does what is due by the clock.
func (s *show) keepTime(now time.Time) {
	for _, l := range s.lanes {
		if l.track != 0 && l.out != nil {
			l.out.idle(now)
		}
	}
	if s.record == nil {
		return
	}
	s.coder.idle(now)
	s.fillVacant(now)
	var newest time.Time
	for _, o := range s.outputs {
		if t := o.newest(); t.After(newest) {
			newest = t
		}
	}
	s.lag.Store(int64(max(0, now.Sub(newest))))
	s.pull(now)
}

// pull asks for keyframes of all layers together when segments are due.
func (s *show) pull(now time.Time) {
	early := s.recorder.cfg.Segment - 100*time.Millisecond
	due := now.Sub(s.cut) >= early && now.Sub(s.pulled) >= early/2
	if due {
		s.pulled = now
	}
	for _, l := range s.lanes {
		if l.video == nil || l.track == 0 {
			continue
		}
		if l.needsKeyframe() {
			s.tap.AskKeyframe(l.track, false)
		} else if due {
			s.tap.AskKeyframe(l.track, true)
		}
	}
}

// due reports whether a keyframe at a time begins a segment of a lane whose
// segment began at another: its own time is up, or another layer has gone ahead.
func (s *show) due(began, at time.Time) bool {
	target := s.recorder.cfg.Segment
	return at.Sub(began) >= target*7/8 ||
		s.cut.Sub(began) >= target/4 && at.Sub(began) >= target/4 && !at.Before(s.cut.Add(-target/20))
}

// began notes that a video lane has begun a segment: sound follows.
func (s *show) began(at time.Time) {
	if at.After(s.cut) {
		s.cut = at
	}
	for _, o := range s.outputs {
		if o.id == soundID || o.video && (o.vacant || o.lost) {
			o.cutAt(at)
		}
	}
}

// waitsForVideo reports whether sound is left out because the video that it
// belongs to has not begun yet.
func (s *show) waitsForVideo(at time.Time) bool {
	for _, o := range s.outputs {
		if o.video && (o.running() || len(o.cuts) > 0) && !o.vacant {
			return false
		}
	}
	if !s.hasVideo() {
		return false
	}
	if s.waited.IsZero() || at.Before(s.waited) {
		s.waited = at
	}
	patience := s.recorder.cfg.Segment
	if s.coder.wanted() {
		patience = coderStart
	}
	return at.Sub(s.waited) < patience
}

// hasVideo reports whether a track brings pictures that are recorded.
func (s *show) hasVideo() bool {
	return slices.ContainsFunc(s.lanes, (*lane).pictured)
}

// start makes the recording, or goes on with the one of before a restart. at is
// the capture time of its first sample.
func (s *show) start(at time.Time) {
	r := s.recorder
	segments := map[string][]sluice.Segment{}
	if b := s.before; b != nil {
		s.meta, segments = b.meta, b.segments
		for _, list := range segments {
			if n := len(list); n > 0 {
				end := list[n-1].Start.Add(list[n-1].Duration)
				if !at.Add(s.offset).After(end) {
					s.offset = end.Sub(at) + 100*time.Millisecond
				}
			}
		}
	} else {
		s.meta = archive.Meta{
			Recording: sluice.Recording{ID: newID(at), Stream: s.stream, Started: at.UTC()},
			Origin:    at.Add(-lead).UnixNano(),
		}
		if r.remote != nil {
			s.meta.Term = s.term
		}
	}
	before := s.before
	s.before, s.meta.Closed, s.broken = nil, false, at.Add(s.offset)
	s.log = s.log.With("session", s.meta.ID)
	c := &record{
		log: s.log, count: &r.counters, meta: s.meta, segments: segments,
		flying: map[string][]sluice.Segment{}, inits: map[string]map[int][]byte{}, recent: map[string][]memory{},
	}
	c.meta.Renditions = slices.Clone(s.meta.Renditions) // the show changes its own
	limits := archive.Limits{Queue: queueBytes, Space: r.space, Done: c.done}
	if c.mirror = r.mirror(s.meta, before); c.mirror != nil {
		limits.Shown = c.mirror.Thumbnail
	}
	if before != nil && before.inherited != nil {
		s.skip = 1 + len(before.inherited.gaps)
	}
	c.writer = r.archive.NewWriter(s.meta.ID, limits, s.log)
	c.writer.Meta(s.meta)
	s.record = c
	r.mu.Lock()
	r.running[s.meta.ID] = c
	r.mu.Unlock()
	for _, was := range s.meta.Renditions { // those that nobody brings back go on as gaps
		if was.ID == aacID {
			s.coder.aacOutput()
		}
		if o := s.output(was.ID, was.Kind == sluice.RenditionVideo); o.packer == nil {
			o.what, o.told = was, was
			o.resume()
		}
	}
	r.counters.recordings.Add(1)
	s.log.Info("recording", "renditions", len(s.meta.Renditions))
	r.deps.Sink.Begin(s.meta.Recording)
	if before == nil {
		r.tell(sluice.EventRecordingStarted, s.meta.Recording)
	}
}

// origin is the capture time of tick 0.
func (s *show) origin() time.Time { return time.Unix(0, s.meta.Origin) }

// describe tells of the renditions as they are now.
func (s *show) describe() {
	for _, o := range s.outputs {
		if o.what.ID == "" {
			continue
		}
		i := slices.IndexFunc(s.meta.Renditions, func(r sluice.Rendition) bool { return r.ID == o.id })
		if i < 0 {
			s.meta.Renditions = append(s.meta.Renditions, o.what)
		} else {
			s.meta.Renditions[i] = o.what
		}
	}
	s.record.setMeta(s.meta)
	s.recorder.deps.Sink.Describe(s.meta.ID, slices.Clone(s.meta.Renditions))
}

// end is when the newest media ended.
func (s *show) end() time.Time {
	if !s.left.IsZero() {
		return s.left
	}
	for _, o := range s.outputs {
		if t := o.newest(); !t.IsZero() {
			return t
		}
	}
	return s.now()
}
