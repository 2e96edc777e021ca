package sfu

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

const (
	// tracksPatience is how long a branch waits for a publisher's tracks to come,
	// and tracksSettle for the rest of them after the first.
	tracksPatience = 3 * time.Second
	tracksSettle   = 500 * time.Millisecond
	// branchSilence is how long a branch may be without feedback. Receivers report
	// each second, so that the other node is gone, or cannot be reached.
	branchSilence = int64(2500 * time.Millisecond)
)

// Branch is the session that feeds another node's relay. Each track of it is
// served by a shard as a viewer's is, but shows one layer as it is: nothing is
// chosen for it, and nobody counts it as a viewer.
type Branch struct {
	*session
	stream  *stream
	shard   *shard
	members []*Viewer // one for each track
	tracks  []sluice.RelayTrack
	beyond  atomic.Int64 // viewers behind it
	heard   atomic.Int64 // when feedback came last; SFU clock; 0: not connected yet

	mu    sync.Mutex
	added bool // to the shard
	left  bool
}

// Feed answers the offer of another node's relay. CodeStreamOffline means that
// nobody publishes the stream here, or that nothing came of it in time.
func (s *SFU) Feed(ctx context.Context, o sluice.Offer) (*Branch, error) {
	st := s.stream(o.Stream, false)
	if st == nil {
		return nil, errOffline()
	}
	defer s.unuse(st)
	src, err := st.complete(ctx)
	if err != nil {
		return nil, err
	}
	ses, err := s.newSession(o, viewing, relayTerms(), src.all())
	if err != nil {
		return nil, err
	}
	b := &Branch{session: ses, stream: st}
	ses.joined, ses.ended = b.join, b.leave
	if err := b.prepare(src); err != nil {
		ses.Close("offer refused")
		return nil, err
	}
	if err := ses.accept(ctx); err != nil {
		ses.Close("offer refused")
		return nil, err
	}
	for i, m := range b.members {
		b.tracks[i].SSRC = m.outgoing().ssrc
	}
	return b, nil
}

// complete waits until a publisher's tracks have come: all that it offered, or
// those that came within tracksSettle.
func (st *stream) complete(ctx context.Context) (*sources, error) {
	ctx, cancel := context.WithTimeout(ctx, tracksPatience)
	defer cancel()
	var settled <-chan time.Time
	for {
		st.mu.Lock()
		p, changed := st.publisher, st.changed
		st.mu.Unlock()
		src := st.sources.Load()
		if p == nil {
			return nil, errOffline()
		}
		if n := len(src.all()); n > 0 {
			if n >= p.expected() {
				return src, nil
			}
			if settled == nil {
				settled = time.After(tracksSettle)
			}
		}
		select {
		case <-changed:
		case <-settled:
			return src, nil
		case <-ctx.Done():
			return nil, errOffline()
		}
	}
}

// prepare adds a track for each layer that the offer has a section for, and
// takes the branch's place in the stream.
func (b *Branch) prepare(src *sources) error {
	rooms := map[string]int{}
	for _, m := range b.offer.desc.MediaDescriptions {
		rooms[m.MediaName.Media]++
	}
	for _, l := range src.all() {
		kind := webrtc.RTPCodecTypeVideo
		if !l.codec.Video() {
			kind = webrtc.RTPCodecTypeAudio
		}
		if rooms[kind.String()]--; rooms[kind.String()] < 0 {
			continue
		}
		spec := relayTrack(l)
		m := &Viewer{session: b.session, stream: b.stream, rtcp: b.pc, carries: &spec}
		t, sender, err := m.addTrack(kind)
		if err != nil {
			return err
		}
		if l.codec.Video() {
			m.video, m.sender = t, sender
		} else {
			m.audio, m.audioSender = t, sender
		}
		b.members, b.tracks = append(b.members, m), append(b.tracks, spec)
	}
	if len(b.members) == 0 {
		return sluice.Errorf(sluice.CodeUnprocessable, "the offer has no section for what the stream has")
	}
	st := b.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sfu.use(st)
	b.shard = st.shardFor()
	b.shard.viewers.Add(int64(len(b.members)))
	for _, m := range b.members {
		m.shard = b.shard
	}
	st.branches[b] = struct{}{}
	st.sfu.counters.branches.Add(1)
	return nil
}

// outgoing is the viewer's only track.
func (v *Viewer) outgoing() *track {
	if v.video != nil {
		return v.video
	}
	return v.audio
}

func relayTrack(l *layer) sluice.RelayTrack {
	return sluice.RelayTrack{Codec: l.codec.String(), Format: l.fmtp, RID: l.rid}
}

// join gives the connected branch's tracks to their shard. They share one wire:
// the shard is the only one that uses it.
func (b *Branch) join() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left {
		return
	}
	b.added = true
	b.heard.Store(b.sfu.now())
	w := b.members[0].newWire()
	for _, m := range b.members {
		b.shard.do(command{kind: addViewer, viewer: m, wire: w})
		if m.sender != nil {
			m.readers.Go(func() { m.readFeedback(m.sender, b.listen(m.feedback)) })
		} else {
			m.readers.Go(func() { m.readFeedback(m.audioSender, b.listen(m.hearing)) })
		}
	}
	b.log.Info("relay connected", "after", time.Since(b.since).Round(time.Millisecond))
}

// listen notes that the other node is there.
func (b *Branch) listen(take func(rtcp.Packet)) func(rtcp.Packet) {
	return func(p rtcp.Packet) {
		b.heard.Store(b.sfu.now())
		take(p)
	}
}

// prune closes the branches of nodes that are gone. mu is held.
func (st *stream) prune(now int64) {
	for b := range st.branches {
		if heard := b.heard.Load(); heard > 0 && st.sfu.vigil.silent(now, heard) > branchSilence {
			go b.Close("the other node is silent")
		}
	}
}

// leave takes the branch out of its stream.
func (b *Branch) leave() {
	b.mu.Lock()
	b.left = true
	added := b.added
	b.mu.Unlock()
	if added {
		for _, m := range b.members {
			b.shard.do(command{kind: removeViewer, viewer: m})
		}
	}
	st := b.stream
	st.mu.Lock()
	_, present := st.branches[b]
	if present {
		delete(st.branches, b)
		b.shard.viewers.Add(-int64(len(b.members)))
		st.sfu.counters.branches.Add(-1)
		st.notify()
	}
	st.mu.Unlock()
	if present {
		st.sfu.unuse(st)
	}
}

// Answer is what the other node gets.
func (b *Branch) Answer() sluice.RelayAnswer {
	return sluice.RelayAnswer{SDP: b.answer, Tracks: b.tracks}
}

// SetViewers notes how many viewers the other node has, with those of the nodes
// behind it.
func (b *Branch) SetViewers(n int) {
	if b.beyond.Swap(int64(n)) == int64(n) {
		return
	}
	b.stream.mu.Lock()
	defer b.stream.mu.Unlock()
	b.stream.notify()
}

// Stream is what the other node does not know: a snapshot without its own
// viewers, and the tracks that a new branch would have. changed is closed when
// there is a newer one.
func (b *Branch) Stream() (snapshot sluice.Stream, tracks []sluice.RelayTrack, changed <-chan struct{}) {
	snapshot, changed = b.stream.snapshot()
	snapshot.Viewers = max(snapshot.Viewers-int(b.beyond.Load()), 0)
	for _, l := range b.stream.sources.Load().all() {
		tracks = append(tracks, relayTrack(l))
	}
	return snapshot, tracks, changed
}

// pull chooses for a branch's track: its layer, unless the other node needs it
// not now, or the publisher has another in its place.
func (m *member) pull(c *menu, now int64) {
	layers, o := c.video, m.video
	if o == nil {
		layers, o = nil, m.audio
		if c.audio != nil {
			layers = []*layer{c.audio}
		}
	}
	if len(layers) == 0 {
		return // nobody publishes now
	}
	for _, l := range layers {
		if relayTrack(l) == *m.viewer.carries && !m.paused {
			o.aim(thin.Whole())
			o.want(l, now)
			return
		}
	}
	o.want(nil, now)
}
