package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/client/clips"
)

// PublisherConfig says what to publish and where.
type PublisherConfig struct {
	URL   string      // WHIP endpoint
	Token string      // bearer; "" for none
	Clip  *clips.Clip // sent in a loop; with several layers as simulcast with rids q, h, f
	// KeyframesOnRequest answers a PLI by jumping to the clip's next keyframe.
	// Otherwise keyframes come when the clip has them, as from an encoder that
	// takes no requests.
	KeyframesOnRequest bool
	HTTP               *http.Client // nil: an own one
	Log                *slog.Logger // nil: none

	moves bool // it goes where it is told to, see Moving
}

// Publisher is a running WHIP session.
type Publisher struct {
	session
	tracks  []*outTrack
	told    chan string // holds at most one
	skipped atomic.Uint64
}

// PublisherStats is what a publisher has sent and was asked.
type PublisherStats struct {
	State string `json:"state"` // of the peer connection
	OutStats
	Layers []OutStats `json:"layers"` // best last
	Audio  OutStats   `json:"audio"`
	// Skipped counts how often this process stood still for so long that media is
	// missing.
	Skipped uint64 `json:"skipped"`
}

// OutStats counts one track, or all.
type OutStats struct {
	RID       string `json:"rid,omitempty"`
	Packets   uint64 `json:"packets"` // without retransmissions
	Bytes     uint64 `json:"bytes"`   // header and payload
	Keyframes uint64 `json:"keyframes"`
	NACKs     uint64 `json:"nacks"` // sequence numbers asked for
	Resent    uint64 `json:"resent"`
	PLIs      uint64 `json:"plis"` // and FIRs
}

// Publish starts a session: it returns when the server has answered. Media flows
// as soon as the connection is up (Connected).
func Publish(ctx context.Context, cfg PublisherConfig) (*Publisher, error) {
	if cfg.Clip == nil || len(cfg.Clip.Layers) == 0 && cfg.Clip.Audio == nil {
		return nil, errors.New("nothing to publish")
	}
	api, err := publisherAPI(cfg.URL, cfg.Clip)
	if err != nil {
		return nil, err
	}
	p := &Publisher{told: make(chan string, 1)}
	if err := p.init(api, cfg.Log); err != nil {
		return nil, err
	}
	if err := p.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Publisher) start(ctx context.Context, cfg PublisherConfig) error {
	senders, err := p.addTracks(cfg.Clip)
	if err != nil {
		return err
	}
	local, err := offer(ctx, p.pc)
	if err != nil {
		return err
	}
	if len(cfg.Clip.Layers) > 1 {
		local = withoutSSRCs(local)
	}
	if err := p.negotiate(ctx, cfg.HTTP, cfg.URL, cfg.Token, local); err != nil {
		return err
	}
	for _, transceiver := range p.pc.GetTransceivers() {
		for _, t := range p.tracks {
			if t.Kind() == transceiver.Kind() {
				t.mu.Lock()
				t.mid = transceiver.Mid()
				t.mu.Unlock()
			}
		}
	}
	for i, t := range p.tracks {
		p.spawn(func() { p.readFeedback(senders[i], t) })
	}
	if cfg.moves {
		p.spawn(p.listen)
	}
	pace := &pacer{
		skipped: &p.skipped, tracks: p.tracks, period: cfg.Clip.Period,
		onRequest: cfg.KeyframesOnRequest, rtcp: p.pc.WriteRTCP,
	}
	p.spawn(func() {
		select {
		case <-p.connected:
		case <-p.ctx.Done():
			return
		}
		if err := pace.run(p.ctx); err != nil {
			p.end(err)
		}
	})
	return nil
}

// addTracks returns the sender of each of p.tracks.
func (p *Publisher) addTracks(clip *clips.Clip) ([]*webrtc.RTPSender, error) {
	var senders []*webrtc.RTPSender
	add := func(media *clips.Track, rid string, to *webrtc.RTPSender) (*webrtc.RTPSender, error) {
		t, err := newOutTrack(media, rid)
		if err != nil {
			return nil, err
		}
		if to != nil {
			err = to.AddEncoding(t)
		} else {
			var tr *webrtc.RTPTransceiver
			tr, err = p.pc.AddTransceiverFromTrack(t, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if err == nil {
				to = tr.Sender()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("adding a track: %w", err)
		}
		p.tracks, senders = append(p.tracks, t), append(senders, to)
		return to, nil
	}
	if clip.Audio != nil {
		if _, err := add(clip.Audio, "", nil); err != nil {
			return nil, err
		}
	}
	rids := []string{""}
	if len(clip.Layers) > 1 {
		rids = []string{"q", "h", "f"}
	}
	if len(clip.Layers) > len(rids) {
		return nil, fmt.Errorf("at most %d layers, not %d", len(rids), len(clip.Layers))
	}
	var video *webrtc.RTPSender
	var err error
	for i, layer := range clip.Layers {
		if video, err = add(layer, rids[i], video); err != nil {
			return nil, err
		}
	}
	return senders, nil
}

func (p *Publisher) readFeedback(sender *webrtc.RTPSender, t *outTrack) {
	for {
		var packets []rtcp.Packet
		var err error
		if t.rid == "" {
			packets, _, err = sender.ReadRTCP()
		} else {
			packets, _, err = sender.ReadSimulcastRTCP(t.rid)
		}
		if err != nil {
			return // the connection is closed
		}
		if err := t.feedback(packets); err != nil {
			p.log.Debug("feedback not answered", "err", err)
		}
	}
}

// Stats returns the counters until now.
func (p *Publisher) Stats() PublisherStats {
	s := PublisherStats{State: p.state(), Layers: []OutStats{}, Skipped: p.skipped.Load()}
	for _, t := range p.tracks {
		one := OutStats{
			RID: t.rid, Packets: t.packets.Load(), Bytes: t.bytes.Load(), Keyframes: t.keyframes.Load(),
			NACKs: t.nacks.Load(), Resent: t.resent.Load(), PLIs: t.plis.Load(),
		}
		if t.Kind() == webrtc.RTPCodecTypeAudio {
			s.Audio = one
		} else {
			s.Layers = append(s.Layers, one)
		}
		s.Packets += one.Packets
		s.Bytes += one.Bytes
		s.Keyframes += one.Keyframes
		s.NACKs += one.NACKs
		s.Resent += one.Resent
		s.PLIs += one.PLIs
	}
	return s
}

// withoutSSRCs leaves the layers of a simulcast offer to their rids, as browsers
// do. Pion writes SSRCs and repeats the msid for each layer.
func withoutSSRCs(offer string) string {
	sections := strings.Split(offer, "\r\nm=")
	for i, section := range sections {
		if !strings.Contains(section, "\r\na=simulcast:") {
			continue
		}
		var kept []string
		msid := false
		for _, line := range strings.Split(section, "\r\n") {
			switch {
			case strings.HasPrefix(line, "a=ssrc:"), strings.HasPrefix(line, "a=ssrc-group:"):
				continue
			case strings.HasPrefix(line, "a=msid:"):
				if msid {
					continue
				}
				msid = true
			}
			kept = append(kept, line)
		}
		sections[i] = strings.Join(kept, "\r\n")
	}
	return strings.Join(sections, "\r\nm=")
}
