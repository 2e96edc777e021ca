package sfu

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// restAfter is how long a layer of a relay goes on unwatched before the other
// node is asked to leave it out.
const restAfter = int64(2 * time.Second)

// Receiver estimates that say whether a layer is wanted, in bits per second. Zero
// would not survive the codec of pion/rtcp.
const (
	restRate  = 1
	restBelow = 1000
	wakeRate  = 1e9
)

// Relay pulls a stream from another node and stands in the publisher's place
// here, so that nothing above knows the difference. It offers; the other node
// answers with a Branch.
//
// Layers that nobody watches rest: the other node is told by a receiver estimate
// next to nothing for their SSRC, and by a great one, with a keyframe request, when
// somebody wants them again. Both are repeated until they have shown effect.
type Relay struct {
	*Publisher
	told   atomic.Pointer[sluice.Stream] // by the other node
	tracks []sluice.RelayTrack
}

// remote is what a relay's layer has beside: what the other node says of it.
type remote struct {
	told    atomic.Pointer[sluice.Layer]
	resting atomic.Bool
	watched int64 // when it was last; of the feedback goroutine
}

// Relay makes a session that can pull a stream. It must be closed.
func (s *SFU) Relay(ctx context.Context, name string) (*Relay, error) {
	st := s.stream(name, true)
	if st == nil {
		return nil, errClosing()
	}
	ses, err := s.newPull(name)
	if err != nil {
		s.unuse(st)
		return nil, err
	}
	r := &Relay{Publisher: &Publisher{
		session: ses, stream: st, requests: make(chan *layer, maxLayers), repairs: make(chan repair, maxLayers),
	}}
	r.relay = r
	r.told.Store(&sluice.Stream{})
	ses.pc.OnTrack(r.track)
	ses.ended = r.end
	s.counters.relays.Add(1)
	if err := ses.propose(ctx); err != nil {
		r.Close("no offer could be made")
		return nil, err
	}
	return r, nil
}

func (r *Relay) end() {
	r.Publisher.end()
	r.sfu.counters.relays.Add(-1)
	r.sfu.unuse(r.stream)
}

// Offer is the SDP offer, all candidates of ours in it.
func (r *Relay) Offer() string { return r.local }

// Accept takes the other node's answer, and what it knows of the stream. Media
// flows from then on; nobody sees it before Attach.
func (r *Relay) Accept(answer sluice.RelayAnswer, stream sluice.Stream) error {
	if len(answer.Tracks) == 0 || len(answer.Tracks) > maxLayers {
		return sluice.Errorf(sluice.CodeUnprocessable, "the other node sends %d tracks", len(answer.Tracks))
	}
	r.tracks = answer.Tracks
	r.mu.Lock()
	for _, t := range answer.Tracks {
		c := codecNamed(t.Codec)
		if c == codec.Unknown {
			r.mu.Unlock()
			return sluice.Errorf(sluice.CodeUnprocessable, "the other node sends %q", t.Codec)
		}
		l := r.newLayer(c, t.RID, t.Format, t.SSRC)
		l.remote = &remote{watched: r.sfu.now()}
		if c == codec.Opus {
			l.red.opus, l.red.red = relayOpusPT, relayREDPT
		}
		r.layers = append(r.layers, l)
	}
	r.mu.Unlock()
	r.Tell(stream)
	err := r.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP})
	if err != nil {
		return sluice.Errorf(sluice.CodeUnprocessable, "the other node's answer cannot be used: %w", err)
	}
	r.readers.Go(r.sendFeedback)
	return nil
}

func codecNamed(name string) codec.Codec {
	for _, kind := range []string{"video/", "audio/"} {
		if c := codec.FromMimeType(kind + name); c != codec.Unknown {
			return c
		}
	}
	return codec.Unknown
}

// layerOf finds the layer of an incoming RTP stream.
func (r *Relay) layerOf(ssrc uint32) *layer {
	i := slices.IndexFunc(r.layers, func(l *layer) bool { return l.ssrc == ssrc })
	if i < 0 || r.ended {
		return nil
	}
	return r.layers[i]
}

// Attach puts the relay in the place of the stream's publisher: of another
// relay, or with over set of whoever it is. It reports whether it is there. The
// caller closes the former publisher, when Watched says that nobody sees it.
func (r *Relay) Attach(over bool) bool {
	st := r.stream
	st.mu.Lock()
	free := st.publisher == nil || st.publisher.relay != nil || over
	if st.claimed || !free {
		st.mu.Unlock()
		return false
	}
	st.claimed = true
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		st.claimed = false
		st.mu.Unlock()
	}()
	return st.attach(r.Publisher)
}

// Watched reports whether some viewer or tap still shows what the publisher sends.
func (p *Publisher) Watched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.layers, func(l *layer) bool { return l.watchers.Load() > 0 || l.taps.Load() > 0 })
}

// Ready reports whether the relay can take over without a gap: everything that
// is watched now has come, and can be begun.
func (r *Relay) Ready() bool {
	r.mu.Lock()
	mine := slices.Clone(r.layers)
	r.mu.Unlock()
	for _, l := range r.stream.sources.Load().all() {
		if l.watchers.Load() == 0 && l.taps.Load() == 0 {
			continue
		}
		i := slices.IndexFunc(mine, func(o *layer) bool { return o.rid == l.rid && o.codec.Video() == l.codec.Video() })
		if i < 0 {
			continue // it is gone for good
		}
		if _, key := mine[i].keyframe(); !key && l.codec.Video() || mine[i].lastArrival.Load() == 0 {
			return false
		}
	}
	return true
}

// Tell takes what the other node says of the stream now.
func (r *Relay) Tell(stream sluice.Stream) {
	before := r.told.Swap(&stream)
	r.mu.Lock()
	for _, l := range r.layers {
		i := slices.IndexFunc(stream.Layers, func(t sluice.Layer) bool { return t.RID == l.rid })
		if i >= 0 && l.codec.Video() {
			l.remote.told.Store(&stream.Layers[i])
			if w, h := l.dimensions(); w == 0 || h == 0 || l.remote.resting.Load() {
				l.size.Store(uint64(stream.Layers[i].Width)<<32 | uint64(stream.Layers[i].Height))
			}
		}
	}
	r.mu.Unlock()
	if before.State == stream.State && before.Viewers == stream.Viewers && slices.EqualFunc(before.Layers, stream.Layers, sameButRates) {
		return
	}
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	r.stream.notify()
}

func sameButRates(a, b sluice.Layer) bool {
	return a.RID == b.RID && a.Active == b.Active && a.Width == b.Width && a.Height == b.Height
}

// Carries reports whether these are the tracks that the relay has.
func (r *Relay) Carries(tracks []sluice.RelayTrack) bool {
	return slices.EqualFunc(r.tracks, tracks, sluice.RelayTrack.Same)
}

// Silent is how long no packet has come; nothing while none is to be expected.
func (r *Relay) Silent() time.Duration {
	told := r.told.Load()
	expected := told.Audio != nil && told.Audio.Active
	r.mu.Lock()
	for _, l := range r.layers {
		t := l.remote.told.Load()
		expected = expected || t != nil && t.Active && !l.remote.resting.Load()
	}
	r.mu.Unlock()
	if !expected {
		return 0
	}
	last := r.lastPacket()
	if last == 0 {
		return time.Since(r.since)
	}
	return time.Duration(r.sfu.now() - last)
}

// asking is what asks the other node for a keyframe of a layer, which wakes the
// layer when it rests.
func (r *Relay) asking(l *layer) []rtcp.Packet {
	pli := &rtcp.PictureLossIndication{MediaSSRC: l.ssrc}
	if l.remote.resting.Load() {
		l.gop.Store(0) // of before the rest
		l.remote.watched = r.sfu.now()
		l.remote.resting.Store(false)
	}
	return []rtcp.Packet{relayRate(l, wakeRate), pli}
}

// relayRate says how much of a layer is wanted: none, or all.
func relayRate(l *layer, rate float32) rtcp.Packet {
	return &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: rate, SSRCs: []uint32{l.ssrc}}
}

// rest looks which layers nobody watches, and returns what tells the other node.
func (r *Relay) rest() []rtcp.Packet {
	now := r.sfu.now()
	var out []rtcp.Packet
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.layers {
		if !l.codec.Video() {
			continue
		}
		rests := l.remote.resting.Load()
		switch watched := l.watchers.Load() > 0 || l.taps.Load() > 0; {
		case watched && rests:
			out = append(out, r.asking(l)...)
		case watched:
			l.remote.watched = now
		case now-l.remote.watched < restAfter:
		case !rests || now-l.lastArrival.Load() < layerTimeout:
			l.remote.resting.Store(true)
			out = append(out, relayRate(l, restRate))
		}
	}
	return out
}

// idle reports whether nobody here uses the stream. st.mu is held.
func (st *stream) idle() bool {
	if len(st.viewers) > 0 || len(st.branches) > 0 {
		return false
	}
	for _, l := range st.sources.Load().all() {
		if l.taps.Load() > 0 {
			return false
		}
	}
	return true
}

// Idle reports whether nobody here uses the stream: no viewer, no relay of
// another node, no tap.
func (r *Relay) Idle() bool {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	return r.stream.idle()
}

// Audience is how many viewers this node has, with those of the nodes that pull
// the stream from here.
func (r *Relay) Audience() int {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	return r.stream.audience()
}

// audience needs st.mu.
func (st *stream) audience() int {
	n := len(st.viewers)
	for b := range st.branches {
		n += int(b.beyond.Load())
	}
	return n
}

// Unused reports whether nobody here uses a stream: no viewer, no relay of
// another node, no tap.
func (s *SFU) Unused(name string) bool {
	st := s.stream(name, false)
	if st == nil {
		return true
	}
	defer s.unuse(st)
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.idle()
}

// Expire ends the wait for a publisher of a stream that is known not to return.
func (s *SFU) Expire(name string) {
	st := s.stream(name, false)
	if st == nil {
		return
	}
	defer s.unuse(st)
	st.mu.Lock()
	waiting := st.grace != nil && st.grace.Stop()
	st.grace = nil
	st.mu.Unlock()
	if waiting {
		st.graceOver()
	}
}

// elsewhere is what another node says of a relay's layer; nil for any other.
func (l *layer) elsewhere() *sluice.Layer {
	if l.remote == nil {
		return nil
	}
	return l.remote.told.Load()
}

// rests reports whether the layer is of a relay and left out by the other node,
// so that what its ring holds is old.
func (l *layer) rests() bool { return l.remote != nil && l.remote.resting.Load() }
