package sfu

import (
	"math/rand/v2"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/prefetch"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

func newMember(v *Viewer, w wire, want sluice.LayerChoice, now int64) *member {
	m := &member{viewer: v, want: want, asking: now + rand.Int64N(consentInterval)}
	if v.video != nil {
		m.video = &outlet{track: v.video, wire: w, refilled: now, tokens: burstPackets * paceUnit}
	}
	if v.audio != nil {
		m.audio = &outlet{track: v.audio, wire: w, refilled: now, tokens: burstPackets * paceUnit}
	}
	m.work(w)
	return m
}

// workingSpans is how many values of a member are needed for each frame.
const workingSpans = 7

// work notes the memory that forwarding to the viewer needs.
func (m *member) work(w wire) {
	spans := []prefetch.Span{prefetch.Of(m.video), prefetch.Of(m.audio)}
	if m.video != nil {
		spans = append(spans, prefetch.Of(m.video.track))
	}
	if direct, ok := w.(*directWire); ok {
		spans = append(spans, prefetch.Of(direct), prefetch.Of(direct.to.Load()))
		if s, ok := direct.sealer.(*gcmSealer); ok {
			spans = append(spans, prefetch.Of(s), s.aead.Memory())
		}
	}
	copy(m.working[:], spans)
}

// fetch begins to bring that memory into the cache.
func (m *member) fetch() {
	for i := range m.working {
		m.working[i].Fetch()
	}
}

// received takes in what the viewer has reported of its reception.
func (m *member) received(now int64) {
	if m.video != nil {
		m.video.delay.confirm(m.reception.highest)
	}
	if m.crowded() {
		return
	}
	if m.video != nil {
		m.video.track.guard(m.reception.loss, now)
	}
	if m.audio != nil {
		m.audio.endure(m.reception.loss, now)
	}
}

// crowded reports whether the viewer's path is full, and ends what is sent beside
// the media then: packets are lost because too much is sent, and redundancy would
// make it more.
func (m *member) crowded() bool {
	if m.estimate == nil {
		return false
	}
	path := m.estimate.State()
	if path.Queue <= dropQueue && (!path.Overuse || path.Source != "transport-cc") {
		return false
	}
	if m.audio != nil {
		m.audio.lossy = 0
	}
	if m.video != nil {
		m.video.track.shield = nil
	}
	return true
}

// describe lists the shard's viewers for the outside.
func (sh *shard) describe() []sluice.Viewer {
	all := make([]sluice.Viewer, 0, len(sh.members))
	for _, m := range sh.members {
		if m.viewer.carries == nil {
			all = append(all, m.snapshot())
		}
	}
	return all
}

func (m *member) snapshot() sluice.Viewer {
	out := m.viewer.snapshot()
	out.Pinned, out.Reason, out.Waiting = m.pins(), m.why(), m.waiting()
	if m.estimate != nil {
		path := m.estimate.State()
		out.Estimate, out.EstimateBy = path.Bitrate, path.Source
	}
	out.NACKs, out.PLIs, out.Resent = m.nacks, m.plis, m.resent
	out.Loss, out.JitterMS, out.RTTMS = m.reception.loss, m.reception.jitterMS, float64(m.reception.rtt)/1e6
	for _, o := range []*outlet{m.video, m.audio} {
		if o != nil {
			out.PacketsSent += o.packets
			out.BytesSent += o.bytes
			out.Dropped += o.dropped
		}
	}
	if o := m.video; o != nil {
		if o.current != nil {
			out.Layer = o.current.rid
		}
		if o.wanted != nil {
			out.Target = o.wanted.rid
			out.Now, out.Wanted = o.scales()
		}
	}
	return out
}

// why tells people why the viewer gets the layer that it gets.
func (m *member) why() string {
	o := m.video
	switch {
	case o == nil:
		return "the viewer takes no video"
	case m.idle:
		return "nobody publishes video now"
	case o.wanted != nil && o.track.format(o.wanted) == nil:
		return "the viewer's player knows no codec of the stream"
	case o.wanted != nil && o.wanted != o.current:
		return m.reason.String() + "; its next keyframe is waited for"
	}
	return m.reason.String()
}

// scales tells the spatial and temporal layers that are forwarded and wanted; nil
// for none.
func (o *outlet) scales() (now, wanted *sluice.Scale) {
	scale := func(l *layer, p thin.Point) *sluice.Scale {
		points := l.scale()
		if len(points) == 0 {
			return nil
		}
		return &sluice.Scale{
			Spatial:  int(min(p.Spatial, points[0].Spatial)),
			Temporal: int(min(p.Temporal, points[0].Temporal)),
		}
	}
	if o.current != nil {
		now = scale(o.current, o.thin.Now())
	}
	return now, scale(o.wanted, o.point)
}

// pins reports whether the viewer has chosen its layer itself.
func (m *member) pins() bool { return m.want.RID != "" || m.want.Spatial.Set }

// waiting says why no video flows, "" when it does or is not wanted.
func (m *member) waiting() string {
	o := m.video
	switch {
	case o == nil:
		return ""
	case m.idle || m.reason.Nothing():
		return "publisher"
	case m.reason.Paused():
		return "bandwidth"
	case o.wanted == nil:
		return "publisher"
	case o.current == nil && o.track.format(o.wanted) == nil:
		return "codec"
	case o.current == nil:
		return "keyframe"
	}
	return ""
}

// snapshot is what is known of a viewer without its shard.
func (v *Viewer) snapshot() sluice.Viewer {
	reason := ""
	if !v.connected.Load() {
		reason = "the viewer is not connected yet"
	}
	return sluice.Viewer{ID: v.id, Identity: v.identity, Since: v.since, Connected: v.connected.Load(), Reason: reason}
}

// viewerSnapshots asks every shard for its viewers and adds those that are not
// connected yet.
func (st *stream) viewerSnapshots() []sluice.Viewer {
	shards := *st.shards.Load()
	replies := make(chan []sluice.Viewer, len(shards))
	for _, sh := range shards {
		sh.do(command{kind: describe, reply: replies})
	}
	var all []sluice.Viewer
	seen := map[string]bool{}
	for range shards {
		select {
		case part := <-replies:
			for _, v := range part {
				seen[v.ID] = true
			}
			all = append(all, part...)
		case <-st.stop:
			return all
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for v := range st.viewers {
		if !seen[v.id] {
			all = append(all, v.snapshot())
		}
	}
	return all
}
