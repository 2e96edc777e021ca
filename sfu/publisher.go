package sfu

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/lost"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	// maxLayers bounds the incoming RTP streams of one publisher.
	maxLayers = 4
	// audioRingPackets is the ring of an audio layer: ten seconds of Opus.
	audioRingPackets = 512
)

// Publisher is the session that sends a stream.
type Publisher struct {
	*session
	stream *stream
	gone   bool      // it has ended; guarded by stream.mu
	offset ntpOffset // shared by the clocks of all layers
	relay  *Relay    // that this is; nil for a real publisher
	tier   int       // of its grant

	requests chan *layer // for keyframes
	repairs  chan repair
	rtt      atomic.Int64 // to the publisher, nanoseconds; 0 until known

	mu      sync.Mutex
	layers  []*layer
	mending []*webrtc.RTPReceiver // of repair packets
	ended   bool                  // no more readers
}

// newPublisher answers the offer. The publisher is not attached to its stream
// yet, so nothing that it sends is seen.
func newPublisher(ctx context.Context, st *stream, o sluice.Offer) (*Publisher, error) {
	ses, err := st.sfu.newSession(o, publishing, termsFor(publishing, false), nil)
	if err != nil {
		return nil, err
	}
	p := &Publisher{session: ses, stream: st, tier: o.Grant.Tier, requests: make(chan *layer, maxLayers), repairs: make(chan repair, maxLayers)}
	ses.pc.OnTrack(p.track)
	ses.keepAccount(st, o)
	ses.joined, ses.ended = ses.account.join, p.end
	if err := ses.accept(ctx); err != nil {
		ses.Close("offer refused")
		return nil, err
	}
	p.readers.Go(p.sendFeedback)
	return p, nil
}

// end takes the publisher away from its stream.
func (p *Publisher) end() {
	p.mu.Lock()
	p.ended = true
	mending := p.mending
	layers := slices.Clone(p.layers)
	p.mu.Unlock()
	p.account.leave(layers)
	for _, repairs := range mending {
		if err := repairs.Stop(); err != nil {
			p.log.Debug("end of repair packets", "err", err)
		}
	}
	p.stream.detach(p)
}

// track starts the readers of an incoming RTP stream.
func (p *Publisher) track(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	codecs := receiver.GetParameters().Codecs
	var l *layer
	if p.relay != nil {
		l = p.relay.layerOf(uint32(track.SSRC()))
	} else {
		l = p.addLayer(track, codecs)
	}
	if l == nil {
		p.log.Warn("ignore track", "rid", track.RID(), "codec", track.Codec().MimeType)
		return
	}
	p.log.Info("track", "layer", l.rid, "codec", l.codec.String(), "ssrc", l.ssrc)
	r := &reader{layer: l, sfu: p.sfu, wake: p.stream.wake, delayID: extensionID(receiver.GetParameters().HeaderExtensions, playoutDelayURI)}
	r.dependencyID = extensionID(receiver.GetParameters().HeaderExtensions, codec.DependencyURI)
	if l.codec.Video() && takesNACK(track.Codec()) {
		r.gaps, r.publisher = &lost.List{}, p
	}
	if l.codec.Video() && l.rid == "" && p.relay == nil {
		p.mendable(r, receiver)
	}
	p.readers.Go(func() {
		err := r.run(track)
		p.log.Debug("track ended", "layer", l.rid, "err", err)
	})
	p.readers.Go(func() { readReports(reportsOf(receiver, track.RID()), l, p.sfu.now) })
}

// addLayer makes the layer of a track; nil when it is not wanted. mu is held.
func (p *Publisher) addLayer(track *webrtc.TrackRemote, negotiated []webrtc.RTPCodecParameters) *layer {
	c, fmtp := codec.FromMimeType(track.Codec().MimeType), track.Codec().SDPFmtpLine
	opus, repeating, opusFmtp := payloadTypes(negotiated)
	if isRED(track.Codec().MimeType) || c == codec.Opus {
		c, fmtp = codec.Opus, opusFmtp
	}
	if c == codec.Unknown {
		return nil
	}
	rid := track.RID()
	if name, ok := p.offer.groups[uint32(track.SSRC())]; ok {
		rid = name
	}
	l := p.newLayer(c, rid, fmtp, uint32(track.SSRC()))
	l.red.opus, l.red.red = opus, repeating
	if p.ended || len(p.layers) >= maxLayers {
		return nil
	}
	p.layers = append(p.layers, l)
	p.stream.setSources(p, p.layers)
	p.account.publish(l, p.layered())
	return l
}

func (p *Publisher) newLayer(c codec.Codec, rid, fmtp string, ssrc uint32) *layer {
	size := p.sfu.cfg.RingPackets
	if !c.Video() {
		size = audioRingPackets
	}
	return &layer{
		rid: rid, codec: c, ssrc: ssrc, ring: ring.New(size), request: p.requests,
		fmtp:  fmtp,
		clock: clock{hertz: c.ClockRate(), offset: &p.offset},
	}
}

// layered reports whether several layers were offered.
func (p *Publisher) layered() bool {
	if p.relay != nil {
		return slices.ContainsFunc(p.relay.tracks, func(t sluice.RelayTrack) bool { return t.RID != "" })
	}
	return p.offer.simulcast()
}

// expected is how many tracks a publisher has offered to send.
func (p *Publisher) expected() int {
	if p.relay != nil {
		return len(p.relay.tracks)
	}
	n := 0
	for _, m := range p.offer.desc.MediaDescriptions {
		if kind := m.MediaName.Media; kind != "audio" && kind != "video" {
			continue
		}
		n++
		if send, ok := m.Attribute("simulcast"); ok {
			n += strings.Count(send, ";")
		}
	}
	return n
}

// repair is packets of one incoming stream that should be sent again.
type repair struct {
	ssrc uint32
	seqs []uint16
}

// takesNACK reports whether NACKs were negotiated for a codec.
func takesNACK(c webrtc.RTPCodecParameters) bool {
	return slices.ContainsFunc(c.RTCPFeedback, func(f webrtc.RTCPFeedback) bool { return f.Type == "nack" && f.Parameter == "" })
}

// ask hands a repair over; it is dropped when the publisher's goroutine is busy
// with earlier ones, since the packets will be asked for again.
func (p *Publisher) ask(r repair) {
	select {
	case p.repairs <- r:
	default:
	}
}

// rttInterval is how often the round trip to a publisher is looked up.
const rttInterval = time.Second

// sendFeedback sends keyframe requests and NACKs of all layers until the session
// ends.
func (p *Publisher) sendFeedback() {
	tick := time.NewTicker(rttInterval)
	defer tick.Stop()
	for {
		var packets []rtcp.Packet
		select {
		case l := <-p.requests:
			packets = append(packets, &rtcp.PictureLossIndication{MediaSSRC: l.ssrc})
			if p.relay != nil {
				packets = p.relay.asking(l)
			}
			p.sfu.counters.plisOut.Add(1)
		case r := <-p.repairs:
			packets = append(packets, &rtcp.TransportLayerNack{MediaSSRC: r.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(r.seqs)})
			p.sfu.counters.nacksOut.Add(uint64(len(r.seqs)))
		case <-tick.C:
			p.measure()
			if p.relay == nil {
				continue
			}
			if packets = p.relay.rest(); len(packets) == 0 {
				continue
			}
		case <-p.ending:
			return
		}
		if err := p.pc.WriteRTCP(packets); err != nil {
			p.log.Debug("send feedback", "err", err)
		}
	}
}

// measure takes the round trip from ICE's own checks.
func (p *Publisher) measure() {
	if stats, ok := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats(); ok {
		p.rtt.Store(int64(stats.CurrentRoundTripTime * float64(time.Second)))
	}
}

// lastPacket is when the newest media packet came; SFU clock, 0 before it.
func (p *Publisher) lastPacket() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last int64
	for _, l := range p.layers {
		last = max(last, l.lastArrival.Load())
	}
	return last
}

const (
	// probeSettle is how long packets may still come in from a publisher that
	// has died, out of socket buffers.
	probeSettle = 100 * time.Millisecond
	// probeTime is how long a publisher may be silent before it counts as dead
	// when another wants its place, and startTime how long before its first packet.
	probeTime = 600 * time.Millisecond
	startTime = 2 * time.Second
	// probeInterval is how often that is looked at.
	probeInterval = 10 * time.Millisecond
)

// alive reports whether media still comes in. It looks for up to probeTime, or
// startTime, of its own time: a moment in which this process stands still is one look.
func (p *Publisher) alive(ctx context.Context) bool {
	start, last, wait := p.sfu.now(), p.lastPacket(), probeTime
	switch {
	case last == 0:
		wait = startTime
	case p.sfu.vigil.silent(start, last) > int64(probeTime)+vigilGap:
		return false
	}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for looks := wait / probeInterval; ; looks-- {
		select {
		case <-tick.C:
			if p.lastPacket() > start+int64(probeSettle) {
				return true
			}
			if looks <= 0 {
				return false
			}
		case <-p.done:
			return false
		case <-ctx.Done():
			return true
		}
	}
}
