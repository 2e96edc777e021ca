package sfu

import (
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/choice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/estimate"
	"github.com/sluice-live/sluice/sfu/internal/extension"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

const (
	// dropQueue is the standing queue from which on a layer that is too large is
	// not even sent until the smaller one's keyframe comes.
	dropQueue = 60 * time.Millisecond
	// tornLoss is the loss, as a fraction, from which on a full path has torn so many
	// pictures of the layers that are left that only a keyframe helps.
	tornLoss = 0.05
	// brokenLoss is the loss, as a fraction, of a picture that is no longer one.
	brokenLoss = 0.10
	// The pace of a viewer whose path is full or too narrow for the best layer, in
	// percent of the estimate: a keyframe must not overflow a short queue, and a
	// long queue must drain.
	narrowPace = 105
	drainPace  = 90
	drainFrom  = 80 * time.Millisecond
	// shortQueue is the standing queue that is taken for a full one when packets
	// are lost beside it.
	shortQueue = 25 * time.Millisecond
	// leastPace is the least pace in percent of the layer, so that nothing waits
	// here for ever.
	leastPace = 125
	// resendReserved is the share of the estimate, in percent, that is kept for
	// retransmissions.
	resendReserved = 5
	// probePackets is how many recent packets a probe repeats in turn.
	probePackets = 16
	// A picture is jerky below smoothFrameRate, unless that is more than
	// jerkyShare of all its frames: then a smaller picture is chosen rather than
	// fewer frames.
	smoothFrameRate = 14
	jerkyShare      = 0.8
)

// menu is what all viewers of a shard choose from.
type menu struct {
	video  []*layer // ranked
	dishes []dish
	layers []choice.Layer // of the same index
	audio  *layer

	from    *Publisher
	choice  bool // there is something to choose, or will be
	ceiling int  // most lines of a picture; 0: any
}

// dish is a layer, or one operating point of it.
type dish struct {
	layer *layer
	point thin.Point
}

// read takes in what a publisher sends now.
func (c *menu) read(src *sources, now int64) {
	c.audio = src.audio
	c.video = ranked(src.video)
	c.layers, c.dishes = c.layers[:0], c.dishes[:0]
	for i, l := range c.video {
		key := l.gop.Load() != 0 || l.remote != nil // it may have left the ring: another can be asked for
		w, h := l.dimensions()
		one := choice.Layer{RID: l.rid, Width: w, Height: h, Bitrate: l.bitrate(), Active: l.active(now), Keyframe: key}
		points := l.scale()
		if len(points) == 0 {
			c.layers, c.dishes = append(c.layers, one), append(c.dishes, dish{l, thin.Whole()})
			continue
		}
		last := i == len(c.video)-1
		for _, p := range points {
			one.Spatial, one.Temporal, one.Scaled = int(p.Spatial), int(p.Temporal), true
			one.Width, one.Height = l.sizeOf(p.Spatial)
			one.Bitrate = p.bitrate
			one.Jerky = p.frameRate < smoothFrameRate && p.frameRate < points[0].frameRate*jerkyShare && (!last || p.Spatial > 0)
			one.Partial = l.codec == codec.AV1 && p.Spatial < points[0].Spatial
			c.layers, c.dishes = append(c.layers, one), append(c.dishes, dish{l, aimAt(p.Point, points[0].Point)})
		}
	}
	if src.publisher != nil && src.publisher != c.from {
		c.from, c.choice = src.publisher, false
	}
	c.choice = c.choice || src.layered || len(c.dishes) > 1
	c.ceiling = src.publisher.ceiling(c.layers)
}

// measure follows the path of a viewer while there is something to choose. Until
// then packets are not numbered, and no reports come.
func (m *member) measure(on bool) {
	if on == (m.estimate != nil) || m.video == nil {
		return
	}
	m.estimate, m.filler = nil, filler{}
	if on {
		m.estimate = estimate.New(estimate.Config{Start: startBitrate, Pads: m.video.track.rtxSSRC != 0})
		m.viewer.measured()
	}
	if m.video.track.twccID != 0 {
		m.video.wire.measure(m.estimate)
	}
}

// aimAt is what to forward for an operating point: a layer that is the top one
// now does not limit.
func aimAt(p, top thin.Point) thin.Point {
	whole := thin.Whole()
	if p.Spatial == top.Spatial {
		p.Spatial = whole.Spatial
	}
	if p.Temporal == top.Temporal {
		p.Temporal = whole.Temporal
	}
	return p
}

// choose decides which layers a viewer gets. A stream without a publisher
// leaves what was wanted as it is: nothing comes, and the next publisher's
// layers replace it.
func (m *member) choose(c *menu, now int64) {
	if m.viewer.carries != nil {
		m.pull(c, now)
		return
	}
	if m.audio != nil && c.audio != nil {
		m.audio.want(c.audio, now)
	}
	m.measure(c.choice)
	m.idle = len(c.video) == 0
	if m.video == nil || m.idle {
		return
	}
	facts := choice.Facts{
		Now: time.Duration(now), Layers: c.layers,
		Limits: under(c.ceiling, m.limits(), c.layers),
	}
	var path estimate.State
	if m.estimate != nil {
		path = m.estimate.State()
		m.meter.note(m.sent()-m.video.padded, now) // reports of loss tell of the media
	}
	if path.Source != "" && path.Source != "none" {
		facts.Estimate, facts.Overuse = path.Bitrate, path.Overuse
		facts.Pausable, facts.Deaf = pausable(&path), path.Source != "transport-cc"
		facts.Reserved = path.Bitrate * resendReserved / 100
		if c.audio != nil {
			facts.Reserved += c.audio.bitrate()
		}
	}
	d := m.choice.Decide(facts)
	m.reason = d.Reason
	m.video.pace = paceFor(d.Index, facts, path)
	switch {
	case d.Paused:
		m.video.want(nil, now)
	case d.Index >= 0:
		m.change(c, d.Index, &path, now)
	}
	if !m.mayProbe() {
		return
	}
	media := 0
	if d.Index >= 0 {
		media = c.layers[d.Index].Bitrate
	}
	if c.audio != nil {
		media += c.audio.bitrate()
	}
	if d.Probe > 0 && m.estimate.CanProbe(now) {
		m.estimate.StartProbe(d.Probe, media, now)
	}
	m.filler.plan(d.Probe, media, &path, now)
}

// pausable reports whether an estimate that is too low for every layer tells of a
// path that carries none: other reports than transport-wide ones may lag, so that
// something must be lost, or a receiver that has seen video must say no more.
func pausable(path *estimate.State) bool {
	return path.Source == "transport-cc" || path.Loss > brokenLoss || path.Source == "remb" && !path.Rising
}

// paceFor returns how fast the layer at index may be sent, in bits per second; 0
// is without limit.
func paceFor(index int, f choice.Facts, path estimate.State) int {
	if index < 0 || f.Estimate <= 0 || !path.Tight && !path.Overuse && path.Queue < drainFrom && f.Estimate > f.Layers[0].Bitrate {
		return 0
	}
	pace := f.Estimate * narrowPace
	if clogged(&path) {
		pace = max(f.Estimate-f.Reserved, f.Estimate/2) * drainPace // sound goes into the queue too
	}
	return max(pace, f.Layers[index].Bitrate*leastPace) / 100
}

// change makes the layer at index the wanted one. One that is left for a
// smaller one because the path is full stops at once, and the keyframe waits until
// half of the queue has gone: it comes no later for that, and is not lost.
func (m *member) change(c *menu, index int, path *estimate.State, now int64) {
	next, point := c.dishes[index].layer, c.dishes[index].point
	old := m.video.current
	switch {
	case old == nil:
	case old != next:
		if clogged(path) && next.bitrate() < old.bitrate() {
			occupy(&m.video.current, nil)
			m.video.clear = max(m.video.clear, now+int64(path.Queue)/2)
		}
	case point != m.video.point:
		lossy := path.Overuse && path.Loss > tornLoss && point.Spatial < m.video.point.Spatial
		m.video.resend.leave(old, m.video.pace, lossy)
	}
	m.video.chosen = m.pins()
	m.video.aim(point)
	m.video.want(next, now)
}

// clogged reports whether what is sent now makes a keyframe wait or get lost: a
// queue stands, or a short one is full.
func clogged(path *estimate.State) bool {
	return path.Queue > dropQueue || path.Queue >= shortQueue && path.Loss > tornLoss
}

// limits are what the viewer asks for, and what it can show.
func (m *member) limits() choice.Limits {
	id := func(l sluice.LayerID) choice.ID { return choice.ID(l) }
	w := &m.want
	return choice.Limits{
		RID: w.RID, MaxWidth: w.MaxWidth, MaxHeight: w.MaxHeight,
		Spatial: id(w.Spatial), Temporal: id(w.Temporal), MaxSpatial: id(w.MaxSpatial), MaxTemporal: id(w.MaxTemporal),
		Complete: m.video.track.dependencyID == 0,
	}
}

// stop lets go of the layers of a viewer that has left.
func (m *member) stop() {
	for _, o := range []*outlet{m.video, m.audio} {
		if o != nil {
			occupy(&o.wanted, nil)
			occupy(&o.current, nil)
		}
	}
}

// mayProbe: padding goes out on the RTX stream.
func (m *member) mayProbe() bool {
	return m.estimate != nil && m.video != nil && m.video.track.rtxSSRC != 0 && m.video.format != nil && m.video.format.rtx != 0
}

// probe sends the padding that a probe asks for now, and the sender report that
// measures what it did. It reports whether the probe goes on.
func (m *member) probe(sh *shard, now int64) bool {
	if m.estimate == nil || !m.estimate.Probing() {
		return false
	}
	sh.probing = true
	for bytes := m.estimate.ProbeBudget(now, m.sent()); bytes > 0; {
		bytes -= m.video.pad(sh)
	}
	sh.probing = false
	if m.estimate.AwaitsReport() {
		sh.flush() // the report must not overtake it
		m.estimate.Marked(sh.report(m, sh.sfu.now()))
		m.reported = now
	}
	return m.estimate.Probing()
}

// pad sends one packet that the viewer needs not: a repetition of a recent
// packet, or bare padding when there is none. It returns its size.
func (o *outlet) pad(sh *shard) int {
	h := &o.resend.header
	*h = rtp.Header{Version: 2, SSRC: o.track.rtxSSRC, PayloadType: o.format.rtx, SequenceNumber: o.resend.seq}
	o.resend.seq++
	o.resend.turn++
	var payload []byte
	if last, ok := o.line.Last(); ok {
		h.Timestamp = last.Timestamp
	}
	var extras []extension.Element
	if o.current != nil && o.cursor > 0 {
		if p := o.current.ring.At(o.cursor - 1 - min(o.resend.turn%probePackets, o.cursor-1)); p != nil {
			if repeated, ts, ok := o.repeat(sh, p); ok {
				payload, h.Timestamp = repeated, ts
				extras = o.dependency(sh, o.line.Current(), p, nil)
			}
		}
	}
	if payload == nil {
		payload = sh.rtx[:maxPadding]
		clear(payload)
		payload[maxPadding-1] = maxPadding
		h.Padding = true
	}
	o.wire.write(sh, o.track, h, extras, payload)
	o.count(sh, Video, len(payload))
	o.padded += rtpHeaderBytes + uint64(len(payload))
	sh.padding += rtpHeaderBytes + uint64(len(payload))
	return rtpHeaderBytes + len(payload)
}

// maxPadding is the most that the padding of one packet can be (RFC 3550 section
// 5.1).
const maxPadding = 255

// heed takes what a viewer reports of the path.
func (m *member) heed(sh *shard, c command, now int64) {
	if m.estimate == nil {
		return
	}
	before := m.estimate.State().Overuse
	switch c.kind {
	case noteTransport:
		m.estimate.Feedback(c.transport, now)
	case noteREMB:
		m.estimate.REMB(c.remb, now)
	case noteReception:
		m.estimate.Report(estimate.Reception{
			Loss: c.reception.loss, RTT: c.reception.rtt, Answers: c.reception.answers, Sent: m.meter.recent(),
		}, now)
	}
	if !before && m.estimate.State().Overuse {
		sh.menu.read(sh.stream.sources.Load(), now)
		m.choose(&sh.menu, now)
		sh.changed = true
	}
}
