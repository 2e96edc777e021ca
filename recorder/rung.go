package recorder

import (
	"slices"
	"time"

	"github.com/sluice-live/sluice/recorder/internal/ffmpeg"
	"github.com/sluice-live/sluice/recorder/internal/fmp4"
	"github.com/sluice-live/sluice/recorder/internal/frame"
)

// rung is a rendition that is transcoded from one layer.
type rung struct {
	id       string
	source   *lane // whose pictures are taken; nil: none
	pictures *ffmpeg.Picture
	out      *output
	began    time.Time // of the newest segment, of what has gone in
	fresh    bool      // only what comes out from a keyframe on is for out
}

// Spare makes the recorder stop transcoding pictures, or begin again with the next
// keyframes. What is recorded as it comes goes on.
func (r *Recorder) Spare(on bool) { r.sparing.Store(on) }

// layerPatience is how long the layer that is transcoded may be silent before
// another takes its place.
const layerPatience = 2 * time.Second

// transcode takes a picture that HLS has no place for.
func (s *show) transcode(l *lane, u frame.Unit, at time.Time) {
	c := s.coder
	if u.Format != nil {
		l.width, l.height = u.Format.Width, u.Format.Height
	}
	l.seen = at
	if s.recorder.sparing.Load() {
		c.leave(l)
		return
	}
	g := c.rung(l)
	if u.Key && l.width > 0 && g != &c.best {
		g = c.climb(g, l, at)
	}
	if g == nil {
		return
	}
	tick := int64(at.Sub(s.origin())/time.Microsecond) * fmp4.VideoTimescale / 1_000_000
	if u.Key && (s.cut.IsZero() || s.due(g.began, at)) {
		g.began = at
		g.out.plan(g.out.tickOf(s.timeOf(tick)))
		s.began(at)
	}
	g.pictures.Push(time.Now(), tick, u.Key, u.Data, l.width, l.height)
}

// coderStart is how long sound waits for a transcoder that has to be found, and for
// the keyframe that it begins with: players put up badly with sound that begins
// before the picture.
const coderStart = 10 * time.Second

// wanted reports whether there are pictures to be transcoded and none is yet.
func (c *coder) wanted() bool {
	s := c.show
	return c.best.source == nil && !s.recorder.sparing.Load() &&
		slices.ContainsFunc(s.lanes, func(l *lane) bool { return l.pictured() && l.out == nil })
}

// rung returns what is made of a layer, nil: nothing.
func (c *coder) rung(l *lane) *rung {
	if c.best.source == l {
		return &c.best
	}
	for _, g := range c.more {
		if g.source == l {
			return g
		}
	}
	return nil
}

// climb gives a layer, of which g is made now, the place of the best when it is
// larger than that or that is silent, else one beside it while there is room.
func (c *coder) climb(g *rung, l *lane, at time.Time) *rung {
	r := c.show.recorder
	if c.config.Encoder = r.Encoder(); c.config.Encoder == "" {
		return g
	}
	best := c.best.source
	if best == nil || l.width*l.height > best.width*best.height || at.Sub(best.seen) > layerPatience {
		c.promote(g, l)
		return &c.best
	}
	if g == nil {
		if g = c.add(l); g != nil {
			g.take(c, l)
		}
	}
	return g
}

// promote makes a layer, of which g is made now, the best. What was goes on beside
// it while there is room.
func (c *coder) promote(g *rung, l *lane) {
	c.best.fetch(c.show)
	was := rung{source: c.best.source, pictures: c.best.pictures, began: c.best.began}
	c.best.source, c.best.pictures = nil, nil
	if g == nil {
		c.best.take(c, l)
	} else {
		g.fetch(c.show)
		c.best.source, c.best.pictures, g.pictures = l, g.pictures, nil
		c.best.fresh = true
		c.drop(g)
	}
	if was.source != nil {
		if beside := c.add(was.source); beside != nil {
			beside.source, beside.pictures, beside.began, beside.fresh = was.source, was.pictures, was.began, true
			beside.follow(c.show)
			return
		}
	}
	was.leave()
}

// add makes a rung beside the best for a layer; nil when there is no room.
func (c *coder) add(l *lane) *rung {
	r := c.show.recorder
	id := pictureID + l.id[len(layerPrefix):]
	if id == pictureID {
		return nil
	}
	if r.rungs.Add(1) > int64(r.cfg.Rungs) {
		r.rungs.Add(-1)
		return nil
	}
	g := &rung{id: id}
	c.more = append(c.more, g)
	return g
}

// drop ends a rendition beside the best.
func (c *coder) drop(g *rung) {
	g.leave()
	c.more = slices.DeleteFunc(c.more, func(other *rung) bool { return other == g })
	c.show.recorder.rungs.Add(-1)
}

// leave says that a layer gives no more pictures.
func (c *coder) leave(l *lane) {
	switch g := c.rung(l); g {
	case nil:
	case &c.best:
		g.leave()
	default:
		c.drop(g)
	}
}

// running returns what is made now.
func (c *coder) running() []*rung {
	all := c.more[:len(c.more):len(c.more)]
	if c.best.source != nil {
		all = append(all, &c.best)
	}
	return all
}

// take begins to transcode a layer.
func (g *rung) take(c *coder, l *lane) {
	if g.pictures != nil {
		g.fetch(c.show)
		g.pictures.Close()
	}
	codec := l.video.Codec()
	g.pictures, g.source = ffmpeg.NewPicture(c.config, codec), l
	g.follow(c.show)
	c.show.log.Info("transcode", "layer", l.id, "rendition", g.id, "codec", codec, "encoder", c.config.Encoder, "width", l.width, "height", l.height)
}

// follow finds the rendition.
func (g *rung) follow(s *show) {
	g.out = s.output(g.id, true)
	g.out.follows = true
}

// fetch takes what the transcoder has given.
func (g *rung) fetch(s *show) {
	if g.pictures == nil {
		return
	}
	g.pictures.Fetch(func(u ffmpeg.Unit) { g.see(s, u) })
}

// see takes a picture.
func (g *rung) see(s *show, u ffmpeg.Unit) {
	if g.fresh && u.Sets == nil {
		return // of another size
	}
	g.fresh = false
	if u.Sets != nil {
		if f, err := frame.H264Format(u.Sets); err != nil || !g.out.format(f) {
			return
		}
	}
	g.out.picture(s.timeOf(u.Tick), u.Key, u.Data)
}

// timeOf returns the capture time of a tick of video.
func (s *show) timeOf(tick int64) time.Time {
	const hertz = fmp4.VideoTimescale
	return s.origin().Add(time.Duration(tick/hertz)*time.Second + time.Duration(tick%hertz)*time.Second/hertz)
}

// leave ends the transcoder and closes what is open.
func (g *rung) leave() {
	g.source = nil
	if g.pictures != nil && g.out != nil {
		s := g.out.show
		g.pictures.Drain(time.Now().Add(drainTime), func(u ffmpeg.Unit) { g.see(s, u) })
	}
	if g.pictures != nil {
		g.pictures.Close()
	}
	if g.out != nil {
		g.out.flush()
	}
}
