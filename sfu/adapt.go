package sfu

import (
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/sfu/internal/choice"
	"github.com/sluice-live/sluice/sfu/internal/estimate"
)

const (
	// dropQueue is the standing queue from which on a layer that is too large is
	// not even sent until the smaller one's keyframe comes.
	dropQueue = 60 * time.Millisecond
	// The pace of a viewer whose path is full or too narrow for the best layer, in
	// percent of the estimate: a keyframe must not overflow a short queue, and a
	// long queue must drain.
	narrowPace = 150
	drainPace  = 90
	drainFrom  = 80 * time.Millisecond
	// leastPace is the least pace in percent of the layer, so that nothing waits
	// here for ever.
	leastPace = 125
	// resendReserved is the share of the estimate, in percent, that is kept for
	// retransmissions.
	resendReserved = 5
	// probePackets is how many recent packets a probe repeats in turn.
	probePackets = 16
)

// menu is what all viewers of a shard choose from.
type menu struct {
	video  []*layer // ranked
	layers []choice.Layer
	audio  *layer
}

// read takes in what a publisher sends now.
func (c *menu) read(src *sources, now int64) {
	c.audio = src.audio
	c.video = ranked(src.video)
	c.layers = c.layers[:0]
	for _, l := range c.video {
		_, key := l.keyframe()
		w, h := l.dimensions()
		c.layers = append(c.layers, choice.Layer{
			RID: l.rid, Width: w, Height: h, Bitrate: l.bitrate(), Active: l.active(now), Keyframe: key,
		})
	}
}

// choose decides which layers a viewer gets. A stream without a publisher
// leaves what was wanted as it is: nothing comes, and the next publisher's
// layers replace it.
func (m *member) choose(c *menu, now int64) {
	if m.audio != nil && c.audio != nil {
		m.audio.want(c.audio, now)
	}
	if m.video == nil || len(c.video) == 0 {
		return
	}
	facts := choice.Facts{
		Now: time.Duration(now), Layers: c.layers,
		Limits: choice.Limits{RID: m.want.RID, MaxWidth: m.want.MaxWidth, MaxHeight: m.want.MaxHeight},
	}
	var path estimate.State
	if m.estimate != nil {
		path = m.estimate.State()
	}
	if path.Source != "" && path.Source != "none" {
		facts.Estimate, facts.Overuse, facts.Pausable = path.Bitrate, path.Overuse, path.Source == "transport-cc"
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
		m.change(c, d.Index, path.Queue, now)
	}
	if d.Probe > 0 && m.mayProbe() && m.estimate.CanProbe(now) {
		m.estimate.StartProbe(d.Probe, now)
	}
}

// paceFor returns how fast the layer at index may be sent, in bits per second; 0
// is without limit.
func paceFor(index int, f choice.Facts, path estimate.State) int {
	if index < 0 || !f.Pausable || !path.Overuse && path.Queue < drainFrom && f.Estimate > f.Layers[0].Bitrate {
		return 0
	}
	share := narrowPace
	if path.Queue >= drainFrom {
		share = drainPace
	}
	return max(f.Estimate*share, f.Layers[index].Bitrate*leastPace) / 100
}

// change makes the layer at index the wanted one. One that is left for a
// smaller one because the path is full stops at once.
func (m *member) change(c *menu, index int, queue time.Duration, now int64) {
	next := c.video[index]
	if old := m.video.current; old != nil && old != next && queue > dropQueue && next.bitrate() < old.bitrate() {
		hold(&m.video.current, nil)
	}
	m.video.chosen = m.want.RID != ""
	m.video.want(next, now)
}

// stop lets go of the layers of a viewer that has left.
func (m *member) stop() {
	for _, o := range []*outlet{m.video, m.audio} {
		if o != nil {
			hold(&o.wanted, nil)
			hold(&o.current, nil)
		}
	}
}

// mayProbe: padding goes out on the RTX stream.
func (m *member) mayProbe() bool {
	return m.estimate != nil && m.video != nil && m.video.track.rtxSSRC != 0 && m.video.format != nil && m.video.format.rtx != 0
}

// probe sends the padding that a probe asks for now, and reports whether the
// probe goes on.
func (m *member) probe(sh *shard, now int64) bool {
	if m.estimate == nil || !m.estimate.Probing() {
		return false
	}
	sh.probing = true
	for bytes := m.estimate.ProbeBudget(now); bytes > 0; {
		bytes -= m.video.pad(sh)
	}
	sh.probing = false
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
	if o.current != nil && o.cursor > 0 {
		if p := o.current.ring.At(o.cursor - 1 - min(o.resend.turn%probePackets, o.cursor-1)); p != nil {
			if repeated, ts, ok := o.repeat(sh, p); ok {
				payload, h.Timestamp = repeated, ts
			}
		}
	}
	if payload == nil {
		payload = sh.rtx[:maxPadding]
		clear(payload)
		payload[maxPadding-1] = maxPadding
		h.Padding = true
	}
	o.wire.write(sh, o.track, h, nil, payload)
	o.count(sh, Video, len(payload))
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
		m.estimate.Report(c.reception.loss, c.reception.rtt, now)
	}
	if !before && m.estimate.State().Overuse {
		sh.menu.read(sh.stream.sources.Load(), now)
		m.choose(&sh.menu, now)
		sh.changed = true
	}
}
