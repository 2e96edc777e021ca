package sfu

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// negotiate sets an offer and returns the answer with all candidates in it.
func (ses *session) negotiate(ctx context.Context, sdp string) (string, error) {
	if err := ses.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}); err != nil {
		return "", ses.refuses("the offer cannot be accepted", err)
	}
	answer, err := ses.pc.CreateAnswer(nil)
	if err != nil {
		return "", ses.refuses("the offer cannot be answered", err)
	}
	gathered := webrtc.GatheringCompletePromise(ses.pc)
	if err := ses.pc.SetLocalDescription(answer); err != nil {
		return "", ses.refuses("the offer cannot be answered", err)
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	select {
	case <-gathered:
	case <-ctx.Done():
		return "", sluice.Errorf(sluice.CodeUnavailable, "gathering candidates: %w", ctx.Err())
	}
	return ses.described(), nil
}

// refuses says that the offer is to blame, unless the session has ended meanwhile: on
// a machine that stands still an answer may come too late.
func (ses *session) refuses(what string, err error) error {
	select {
	case <-ses.ending:
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the session ended during its set-up", RetryAfter: time.Second, Err: err}
	default:
		return sluice.Errorf(sluice.CodeUnprocessable, what+": %w", err)
	}
}

// described is the local description with all addresses of this node in it, unless
// others are told instead.
func (ses *session) described() string {
	text := ses.pc.LocalDescription().SDP
	network, err := ses.sfu.transport.interfaces.get()
	if err != nil || ses.elsewhere {
		return text
	}
	return network.spread(text)
}
