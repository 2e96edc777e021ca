package sfu

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// relayHandshake is how long a relay has to connect: nodes are near and awake.
const relayHandshake = 3 * time.Second

// newPull makes the peer connection of a relay, with its place among the pending
// sessions. It must be closed.
func (s *SFU) newPull(stream string) (*session, error) {
	engine, err := relayEngine()
	if err != nil {
		return nil, err
	}
	registry, err := relayInterceptors()
	if err != nil {
		return nil, err
	}
	se, err := s.settingEngine("")
	if err != nil {
		return nil, err
	}
	se.SetLite(false) // the side that offers must check
	if err := s.relayAddresses(&se); err != nil {
		return nil, err
	}
	// All relays of two nodes have the other's media address as their peer.
	unplug, err := s.transport.apart(&se, s.log)
	if err != nil {
		return nil, err
	}
	if err := s.reserve(netip.Addr{}); err != nil {
		return nil, errors.Join(err, unplug())
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(registry))
	ses, err := s.begin(api, sluice.Offer{Stream: stream}, publishing)
	if err != nil {
		return nil, errors.Join(err, unplug())
	}
	ses.unplug = unplug
	return ses, nil
}

// propose makes an offer with room for all layers of a stream, and starts the
// clock for the handshake.
func (ses *session) propose(ctx context.Context) error {
	receive := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for range maxLayers - 1 {
		if _, err := ses.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, receive); err != nil {
			return err
		}
	}
	if _, err := ses.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, receive); err != nil {
		return err
	}
	offer, err := ses.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(ses.pc)
	if err := ses.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	select {
	case <-gathered:
	case <-ctx.Done():
		return sluice.Errorf(sluice.CodeUnavailable, "gathering candidates: %w", ctx.Err())
	}
	ses.local = ses.described()
	if ses.offer, err = parseOffer(ses.local); err != nil {
		return err
	}
	ses.watchHandshake(relayHandshake)
	return nil
}
