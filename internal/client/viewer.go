package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	readMTU       = 1500
	patience      = time.Second // without a picture until we ask for a keyframe
	nackInterval  = 20 * time.Millisecond
	checkInterval = 250 * time.Millisecond
)

// ViewerConfig says what to watch and how.
type ViewerConfig struct {
	URL         string        // WHEP endpoint
	Token       string        // bearer; "" for none
	NACK        bool          // ask for lost video packets
	TransportCC bool          // send transport-wide congestion feedback
	Silence     time.Duration // without a packet, after which the server is asked whether the session is still there; 0: never
	Consent     time.Duration // between checks of the path; 0: one second
	NoAudio     bool
	NoVideo     bool
	HTTP        *http.Client // nil: an own one
	Log         *slog.Logger // nil: none

	// The functions are called by the goroutine that reads the track and must
	// not call Close. Each may be nil.
	OnPacket func(kind, mime string, p *rtp.Packet) // p and its payload are valid during the call
	OnFrame  func(FrameInfo)                        // each complete video frame
	Sink     Sink                                   // takes everything, for recording
	// OnChat asks for a chat channel and takes its frames, one after the other.
	OnChat func(frame []byte)
}

// Sink takes what a viewer receives. Audio and video come from different
// goroutines.
type Sink interface {
	// Packet takes a packet in order of arrival; it is the sink's to keep.
	Packet(kind, mime string, clockRate uint32, p *rtp.Packet)
	// Report tells which RTP time of a track was which wall clock (NTP format).
	Report(kind string, ntp uint64, rtpTime uint32)
}

// Viewer is a running WHEP session.
type Viewer struct {
	session
	cfg  ViewerConfig
	chat *webrtc.DataChannel // nil without OnChat

	mu     sync.Mutex
	tracks []*inTrack
}

// ViewerStats is what a viewer has received.
type ViewerStats struct {
	State string     `json:"state"` // of the peer connection
	Audio TrackStats `json:"audio"`
	Video TrackStats `json:"video"`
	PLIs  uint64     `json:"plis"` // that we sent
}

// Watch starts a session: it returns when the server has answered.
func Watch(ctx context.Context, cfg ViewerConfig) (*Viewer, error) {
	if cfg.NoAudio && cfg.NoVideo {
		return nil, errors.New("nothing to watch")
	}
	api, err := viewerAPI(cfg)
	if err != nil {
		return nil, err
	}
	v := &Viewer{cfg: cfg}
	if err := v.init(api, cfg.Log); err != nil {
		return nil, err
	}
	if err := v.start(ctx); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *Viewer) start(ctx context.Context) error {
	recvonly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	if !v.cfg.NoAudio {
		if _, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, recvonly); err != nil {
			return fmt.Errorf("adding audio: %w", err)
		}
	}
	if !v.cfg.NoVideo {
		if _, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, recvonly); err != nil {
			return fmt.Errorf("adding video: %w", err)
		}
	}
	if v.cfg.OnChat != nil {
		if err := v.openChat(); err != nil {
			return err
		}
	}
	posted := time.Now()
	v.pc.OnTrack(func(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		t := v.addTrack(remote, posted)
		v.spawn(func() { v.readReports(receiver, t.stats.Kind) })
		v.spawn(func() { v.read(remote, t) })
	})
	local, err := offer(ctx, v.pc)
	if err != nil {
		return err
	}
	if err := v.negotiate(ctx, v.cfg.HTTP, v.cfg.URL, v.cfg.Token, local); err != nil {
		return err
	}
	if !v.cfg.NoVideo || v.cfg.Silence > 0 {
		v.spawn(v.feedback)
	}
	return nil
}

func (v *Viewer) addTrack(remote *webrtc.TrackRemote, posted time.Time) *inTrack {
	kind := remote.Kind().String()
	t := newInTrack(kind, remote.Codec().MimeType, uint32(remote.SSRC()), remote.Codec().ClockRate, posted)
	if kind == webrtc.RTPCodecTypeVideo.String() {
		t.onFrame = v.cfg.OnFrame
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, other := range v.tracks {
		if other.stats.Kind == kind {
			other.mu.Lock()
			t.stats.Breaks.SSRC = other.stats.Breaks.SSRC + 1
			other.mu.Unlock()
		}
	}
	v.tracks = append(v.tracks, t)
	return t
}

// read runs until the track ends.
func (v *Viewer) read(remote *webrtc.TrackRemote, t *inTrack) {
	buffer := make([]byte, readMTU)
	var p rtp.Packet
	kind, mime, rate := t.stats.Kind, t.stats.Codec, uint32(t.rate)
	for {
		n, attributes, err := remote.Read(buffer)
		if err != nil {
			return
		}
		now := time.Now()
		p.Header.Extensions = p.Header.Extensions[:0]
		if err := p.Unmarshal(buffer[:n]); err != nil {
			v.log.Debug("bad packet", "err", err)
			continue
		}
		repaired := attributes.Get(webrtc.AttributeRtxSsrc) != nil
		t.push(&p, n, repaired, now)
		if v.cfg.OnPacket != nil {
			v.cfg.OnPacket(kind, mime, &p)
		}
		if v.cfg.Sink != nil {
			own := &rtp.Packet{Header: p.Header, Payload: slices.Clone(p.Payload)}
			own.Header.Extensions, own.Header.Extension = nil, false
			v.cfg.Sink.Packet(kind, mime, rate, own)
		}
	}
}

// readReports must run for receiver reports to be right, sink or not.
func (v *Viewer) readReports(receiver *webrtc.RTPReceiver, kind string) {
	for {
		packets, _, err := receiver.ReadRTCP()
		if err != nil {
			return
		}
		if v.cfg.Sink == nil {
			continue
		}
		for _, packet := range packets {
			if sr, ok := packet.(*rtcp.SenderReport); ok {
				v.cfg.Sink.Report(kind, sr.NTPTime, sr.RTPTime)
			}
		}
	}
}

// feedback asks for lost packets, and for a keyframe when no picture came.
func (v *Viewer) feedback() {
	select {
	case <-v.connected:
	case <-v.ctx.Done():
		return
	}
	interval := checkInterval
	if v.cfg.NACK {
		interval = nackInterval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	lastPLI := time.Now()
	watch := silence{limit: v.cfg.Silence, since: lastPLI}
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if watch.over(v.Stats(), now) {
			v.spawn(v.askServer)
		}
		var out []rtcp.Packet
		for _, t := range v.current() {
			if t.stats.Kind != webrtc.RTPCodecTypeVideo.String() {
				continue
			}
			if v.cfg.NACK {
				if want := t.wanted(now); len(want) > 0 {
					slices.Sort(want)
					out = append(out, &rtcp.TransportLayerNack{MediaSSRC: t.stats.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(want)})
				}
			}
			if now.Sub(lastPLI) > patience && t.snapshot().FirstFrame == 0 {
				lastPLI = now
				t.mu.Lock()
				t.plis++
				t.mu.Unlock()
				out = append(out, &rtcp.PictureLossIndication{MediaSSRC: t.stats.SSRC})
			}
		}
		if len(out) > 0 {
			if err := v.pc.WriteRTCP(out); err != nil {
				v.log.Debug("feedback not sent", "err", err)
			}
		}
	}
}

// current returns the last track of each kind.
func (v *Viewer) current() []*inTrack {
	v.mu.Lock()
	defer v.mu.Unlock()
	last := map[string]*inTrack{}
	for _, t := range v.tracks {
		last[t.stats.Kind] = t
	}
	tracks := make([]*inTrack, 0, len(last))
	for _, t := range last {
		tracks = append(tracks, t)
	}
	return tracks
}

// Stats returns the counters until now.
func (v *Viewer) Stats() ViewerStats {
	s := ViewerStats{State: v.state()}
	for _, t := range v.current() {
		one := t.snapshot()
		if one.Kind == webrtc.RTPCodecTypeVideo.String() {
			s.Video = one
		} else {
			s.Audio = one
		}
		t.mu.Lock()
		s.PLIs += t.plis
		t.mu.Unlock()
	}
	return s
}
