package sfu

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// Viewer is a session that receives a stream.
type Viewer struct {
	*session
	stream       *stream
	shard        *shard
	video, audio *track            // nil when not offered
	sender       *webrtc.RTPSender // of the video
	audioSender  *webrtc.RTPSender
	rtcp         rtcpWriter
	reports      atomic.Bool        // all reports about its path are read
	carries      *sluice.RelayTrack // the track of a branch that this is; nil for a real viewer

	mu     sync.Mutex
	repair *webrtc.RTPReceiver // of reports about retransmissions; nil: none
	added  bool                // to its shard
	left   bool
	want   sluice.LayerChoice
}

// turns is how often an offer lets everything pass that is ready to run.
const turns = 5

// rtcpWriter sends RTCP to a viewer: its peer connection.
type rtcpWriter interface{ WriteRTCP([]rtcp.Packet) error }

// watch lets a viewer in.
//
// Offers are answered a few at a time, in the order in which they came. When
// many viewers join at once the first then see a picture long before the last
// are answered, and media does not wait behind all of them for a processor. While
// the processors are busy, the handshakes of those that have been answered go on
// before the next answer is made.
func (st *stream) watch(ctx context.Context, o sluice.Offer) (*Viewer, error) {
	select {
	case st.sfu.answering <- struct{}{}:
		defer func() { <-st.sfu.answering }()
	case <-ctx.Done():
		return nil, sluice.Errorf(sluice.CodeUnavailable, "the offer waited for its turn: %w", ctx.Err())
	}
	for range turns {
		runtime.Gosched()
	}
	layered := st.layered()
	ses, err := st.sfu.newSession(o, viewing, termsFor(viewing, layered), st.sources.Load().all())
	if err != nil {
		return nil, err
	}
	v := &Viewer{session: ses, stream: st, rtcp: ses.pc}
	ses.keepAccount(st, o)
	ses.joined, ses.ended = v.join, v.leave
	if err := v.prepare(); err != nil {
		ses.Close("offer refused")
		return nil, err
	}
	if err := ses.accept(ctx); err != nil {
		ses.Close("offer refused")
		return nil, err
	}
	return v, nil
}

// prepare adds the tracks that the offer has room for and takes the viewer's
// place in the stream.
func (v *Viewer) prepare() error {
	var err error
	if v.audio, v.audioSender, err = v.addTrack(webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	if v.video, v.sender, err = v.addTrack(webrtc.RTPCodecTypeVideo); err != nil {
		return err
	}
	if err := v.checkCodecs(); err != nil {
		return err
	}
	return v.stream.admit(v)
}

// admit gives a viewer its place, if the stream can take one more.
func (st *stream) admit(v *Viewer) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.publisher == nil && st.state == sluice.StreamOffline && !st.sfu.cfg.Wait {
		return errOffline()
	}
	if limit := st.sfu.cfg.MaxViewers; limit > 0 && len(st.viewers) >= limit {
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the stream has as many viewers as it may", RetryAfter: 10 * time.Second}
	}
	st.sfu.use(st)
	v.shard = st.shardFor()
	v.shard.viewers.Add(1)
	st.viewers[v] = struct{}{}
	st.sfu.counters.viewers.Add(1)
	st.notify()
	return nil
}

func (v *Viewer) addTrack(kind webrtc.RTPCodecType) (*track, *webrtc.RTPSender, error) {
	if v.offer.section(kind.String()) == nil {
		return nil, nil, nil
	}
	t := &track{kind: kind, stream: "sluice-" + v.stream.name}
	if kind == webrtc.RTPCodecTypeVideo {
		t.spare = v.offer.spare
	}
	transceiver, err := v.pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, nil, err
	}
	return t, transceiver.Sender(), nil
}

// checkCodecs refuses an offer without the codec of what is published now.
func (v *Viewer) checkCodecs() error {
	section := v.offer.section("video")
	layers := v.stream.sources.Load().video
	if section == nil || len(layers) == 0 {
		return nil
	}
	accepted := v.offer.accepted(section)
	for _, l := range layers {
		if slices.Contains(accepted, l.codec) {
			return nil
		}
	}
	return sluice.Errorf(sluice.CodeUnprocessable, "the stream is %s, which the offer does not accept", layers[0].codec)
}

// join gives the connected viewer to its shard.
func (v *Viewer) join() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.left {
		return
	}
	v.added = true
	v.account.join()
	v.shard.do(command{kind: addViewer, viewer: v, wire: v.newWire(), want: v.want})
	if v.sender != nil {
		v.readers.Go(func() { v.readFeedback(v.sender, v.feedback) })
	} else if v.audioSender != nil {
		v.readers.Go(func() { v.readFeedback(v.audioSender, v.hearing) })
	}
	v.log.Info("viewer connected", "after", time.Since(v.since).Round(time.Millisecond))
}

// measured starts to read the reports about the viewer's path that come under
// other SSRCs than that of its video, once. It does not wait.
func (v *Viewer) measured() {
	if v.video == nil || v.video.twccID == 0 || v.sender == nil || v.reports.Swap(true) {
		return
	}
	go func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.left {
			return
		}
		if v.audioSender != nil {
			v.readers.Go(func() { v.readFeedback(v.audioSender, v.transport) })
		}
		v.readRepairFeedback()
	}()
}

// leave takes the viewer out of its stream.
func (v *Viewer) leave() {
	v.mu.Lock()
	v.left = true
	v.account.leave(nil)
	added, repair := v.added, v.repair
	v.mu.Unlock()
	if added {
		v.shard.do(command{kind: removeViewer, viewer: v})
	}
	if repair != nil {
		if err := repair.Stop(); err != nil {
			v.log.Debug("end of reports about retransmissions", "err", err)
		}
	}
	st := v.stream
	st.mu.Lock()
	_, present := st.viewers[v]
	if present {
		delete(st.viewers, v)
		v.shard.viewers.Add(-1)
		st.sfu.counters.viewers.Add(-1)
		st.notify()
	}
	st.mu.Unlock()
	if present {
		st.sfu.unuse(st)
	}
}

// SelectLayer asks for a layer, or limits or frees the server's choice with an
// empty RID. A layer that the stream does not have is CodeUnprocessable and
// changes nothing.
func (v *Viewer) SelectLayer(want sluice.LayerChoice) error {
	if err := v.stream.sources.Load().check(want); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.want = want
	if v.added && !v.left {
		v.shard.do(command{kind: preferLayer, viewer: v, want: want})
	}
	return nil
}
