package sfu

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// ICE timing: where the shard does not ask for consent (consent.go), Pion does
// every iceKeepalive; it knows no longer time. A session whose peer is silent is
// given up after iceDisconnected plus iceFailed (RFC 7675 asks for at most 30 s).
const (
	iceKeepalive    = 2 * time.Second
	iceDisconnected = 5 * time.Second
	iceFailed       = 5 * time.Second
)

// gatherTimeout bounds how long an answer waits for local candidates.
const gatherTimeout = 5 * time.Second

// session is the peer connection of a publisher or viewer and its life: from
// the offer to the moment everything is freed.
type session struct {
	id       string
	identity string
	since    time.Time
	remote   netip.Addr
	sfu      *SFU
	log      *slog.Logger
	api      *webrtc.API
	pc       *webrtc.PeerConnection
	offer    *offered
	arrivals *keeping  // tells a publisher what has come; nil of viewers
	keys     *dtlsKeys // nil when the shard cannot encrypt itself
	consent  bool      // is asked for by the shard, not by Pion
	answer   string    // of an offer that came
	local    string    // offer of ours
	role     role

	elsewhere bool // peers are told of PublicIPs only

	handshake   *time.Timer
	restart     sync.Mutex // held during an ICE restart
	connected   atomic.Bool
	pending     atomic.Bool // counted as pending
	closing     sync.Once
	ending      chan struct{} // closed when Close begins
	done        chan struct{} // and when it has freed everything
	readers     sync.WaitGroup
	channels    channels
	data        *dataPath // of the data channels; nil: Pion's
	association association
	account     account
	restarted   atomic.Pointer[consent] // renewed after an ICE restart; nil: none
	joined      func()                  // called once when connected; set before accept, may be nil
	ended       func()                  // called once when Close begins; set before accept, may be nil
	unplug      func() error            // closes the socket that is the session's alone; nil: none is
}

// newSession makes the peer connection for an offer, with a place among the
// pending sessions. It must be closed. layers are what a viewer will get, as
// far as they are known.
func (s *SFU) newSession(o sluice.Offer, r role, t terms, layers []*layer) (*session, error) {
	parsed, err := parseOffer(o.SDP)
	if err != nil {
		return nil, err
	}
	t.flexfec = s.cfg.FlexFEC && !t.relay && (r == viewing || !parsed.simulcast())
	engine, err := parsed.mediaEngine(t, r, layers)
	if err != nil {
		return nil, err
	}
	parsed.restrict(o.Remote)
	parsed.oneWay(r)
	if r == publishing {
		parsed.expand()
	}
	registry := &interceptor.Registry{}
	var arrivals *keeping
	if r == publishing {
		if registry, arrivals, err = publisherInterceptors(); err != nil {
			return nil, err
		}
	}
	se, err := s.settingEngine(parsed.setup)
	if err != nil {
		return nil, err
	}
	if t.relay {
		if err := s.relayAddresses(&se); err != nil {
			return nil, err
		}
	}
	var keys *dtlsKeys
	if r == viewing && parsed.setup != "passive" {
		keys = &dtlsKeys{}
		if s.deps.Chat != nil && parsed.withholdData() {
			keys.data = newDataPath(s.log, s.transport.conn)
			if err := s.transport.tap(&se, keys.data); err != nil {
				return nil, err
			}
		}
		keys.hook(&se)
	}
	asks := s.asksConsent(parsed, keys)
	if asks {
		se.SetICETimeouts(iceDisconnected, iceFailed, 0)
	}
	if err := s.reserve(o.Remote); err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(registry))
	ses, err := s.begin(api, o, r)
	if err != nil {
		return nil, err
	}
	ses.offer, ses.keys, ses.arrivals, ses.consent = parsed, keys, arrivals, asks
	ses.elsewhere = len(s.cfg.PublicIPs) > 0 && !t.relay
	if keys != nil && keys.data != nil {
		ses.carryData(keys.data, ChannelOwner{Stream: o.Stream, Grant: o.Grant, Remote: o.Remote, Publisher: r == publishing})
	}
	return ses, nil
}

// begin makes a peer connection and the session around it. It has its place
// among the pending sessions, and gives it back when it fails.
func (s *SFU) begin(api *webrtc.API, o sluice.Offer, r role) (*session, error) {
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		Certificates: []webrtc.Certificate{s.certificate},
		BundlePolicy: webrtc.BundlePolicyMaxBundle,
	})
	if err != nil {
		s.release(o.Remote)
		s.running.Done()
		return nil, err
	}
	id := randomID()
	ses := &session{
		id: id, identity: o.Grant.Identity, since: time.Now(), remote: o.Remote, sfu: s, api: api, pc: pc,
		log:    s.log.With("stream", o.Stream, "session", id),
		role:   r,
		ending: make(chan struct{}), done: make(chan struct{}),
	}
	ses.pending.Store(true)
	s.enter(ses)
	ses.takeChannels(ChannelOwner{Stream: o.Stream, Grant: o.Grant, Remote: o.Remote, Publisher: r == publishing})
	return ses, nil
}

func randomID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// settingEngine prefers AES-GCM, which costs a seventh of AES-CM here; the DTLS
// server chooses, so we are it unless the offer forbids.
func (s *SFU) settingEngine(setup string) (webrtc.SettingEngine, error) {
	se := webrtc.SettingEngine{LoggerFactory: newPionLog(s.log)}
	if err := s.transport.settings(&se); err != nil {
		return se, err
	}
	se.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	dtlsRole := webrtc.DTLSRoleServer
	if setup == "passive" {
		dtlsRole = webrtc.DTLSRoleClient
	}
	if err := se.SetAnsweringDTLSRole(dtlsRole); err != nil {
		s.log.Error("set DTLS role", "err", err)
	}
	se.SetICETimeouts(iceDisconnected, iceFailed, iceKeepalive)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetIncludeLoopbackCandidate(s.cfg.Loopback)
	se.SetRemoteIPFilter(addressLimit(s.cfg.MaxAddresses))
	se.SetLite(s.cfg.ICELite)
	se.DisableActiveTCP(true)
	se.DisableMediaEngineCopy(true) // each session has its own
	se.DetachDataChannels()
	se.SetSCTPMaxReceiveBufferSize(sctpWindow)
	se.SetSCTPMaxMessageSize(sctpMessage)
	se.SetDTLSEllipticCurves(elliptic.P256) // which everybody has (RFC 8827 section 6.5), and in assembly
	se.SetDTLSInsecureSkipHelloVerify(true) // ICE has validated the address already
	if len(s.cfg.PublicIPs) > 0 {
		ips := make([]string, len(s.cfg.PublicIPs))
		for i, ip := range s.cfg.PublicIPs {
			ips[i] = ip.String()
		}
		if err := se.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External: ips, AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteReplace,
		}); err != nil {
			s.log.Error("set public addresses", "err", err)
		}
	}
	return se, nil
}

// accept answers the offer and starts the clock for the handshake.
func (ses *session) accept(ctx context.Context) error {
	ses.watchHandshake(ses.sfu.cfg.HandshakeTimeout)
	offer, err := ses.offer.text()
	if err != nil {
		return sluice.Errorf(sluice.CodeUnprocessable, "the offer cannot be read: %w", err)
	}
	answer, err := ses.negotiate(ctx, offer)
	if err != nil {
		return err
	}
	if ses.answer, err = ses.offer.collapse(answer); err != nil {
		return sluice.Errorf(sluice.CodeInternal, "the answer cannot be read: %w", err)
	}
	ses.answer = ses.offer.restoreData(ses.offer.tell(ses.offer.reduced(ses.answer)))
	return nil
}

// watchHandshake follows the connection, and ends the session when it does not
// come in time.
func (ses *session) watchHandshake(limit time.Duration) {
	ses.handshake = time.AfterFunc(limit, func() {
		if !ses.connected.Load() {
			ses.Close("no connection within the handshake timeout")
		}
	})
	ses.pc.OnConnectionStateChange(ses.stateChanged)
}

func (ses *session) stateChanged(state webrtc.PeerConnectionState) {
	ses.log.Debug("connection state", "state", state.String())
	switch state {
	case webrtc.PeerConnectionStateConnected:
		if ses.connected.CompareAndSwap(false, true) {
			ses.settle()
			if ses.joined != nil {
				ses.joined()
			}
		}
	case webrtc.PeerConnectionStateFailed:
		go ses.Close("connection failed")
	case webrtc.PeerConnectionStateClosed:
		go ses.Close("closed by the peer")
	}
}

// settle gives the place among the pending sessions back.
func (ses *session) settle() {
	if ses.pending.CompareAndSwap(true, false) {
		ses.sfu.release(ses.remote)
	}
}

// ID is the session's public id.
func (ses *session) ID() string { return ses.id }

// Answer is the SDP answer, all candidates of ours in it.
func (ses *session) Answer() string { return ses.answer }

// Done is closed when the session has ended.
func (ses *session) Done() <-chan struct{} { return ses.done }

// Trickle adds remote candidates (RFC 8840). What cannot be used is dropped.
func (ses *session) Trickle(_ context.Context, remote sluice.ICE) error {
	for _, c := range restricted(remote.Candidates, ses.remote) {
		init := webrtc.ICECandidateInit{Candidate: c}
		if remote.Ufrag != "" {
			init.UsernameFragment = &remote.Ufrag
		}
		if err := ses.pc.AddICECandidate(init); err != nil {
			ses.log.Debug("drop remote candidate", "err", err)
		}
	}
	return nil
}

// Restart replaces the remote ICE parameters and returns new ones of ours (RFC
// 9725 section 4.3.3). DTLS and media go on. On error the session runs on with
// the parameters it had until consent expires.
func (ses *session) Restart(ctx context.Context, remote sluice.ICE) (sluice.ICE, error) {
	if !ses.restart.TryLock() {
		return sluice.ICE{}, &sluice.Error{Code: sluice.CodeTooManyRequests, Detail: "another ICE restart is under way", RetryAfter: time.Second}
	}
	defer ses.restart.Unlock()
	if !ses.connected.Load() {
		return sluice.ICE{}, sluice.Errorf(sluice.CodeUnprocessable, "the session is not connected yet")
	}
	remote.Candidates = restricted(remote.Candidates, ses.remote)
	offer, err := ses.offer.withICE(remote)
	if err != nil {
		return sluice.ICE{}, err
	}
	answer, err := ses.negotiate(ctx, offer)
	if err != nil {
		return sluice.ICE{}, err
	}
	if c := ses.restarted.Load(); c != nil {
		if err := c.renew(); err != nil {
			return sluice.ICE{}, err
		}
	}
	return iceOf(answer)
}

// withICE returns the offer with other ICE parameters and candidates.
func (o *offered) withICE(remote sluice.ICE) (string, error) {
	desc := o.desc
	desc.Attributes = replaceICE(desc.Attributes, remote, false)
	desc.MediaDescriptions = append(desc.MediaDescriptions[:0:0], desc.MediaDescriptions...)
	for i, m := range desc.MediaDescriptions {
		section := *m
		section.Attributes = replaceICE(section.Attributes, remote, i == 0)
		desc.MediaDescriptions[i] = &section
	}
	b, err := desc.Marshal()
	return string(b), err
}

// Close ends the session and returns when everything is freed. It may be
// called any number of times, but not by the session's own readers.
func (ses *session) Close(reason string) {
	ses.closing.Do(func() { ses.close(reason) })
	<-ses.done
}

func (ses *session) close(reason string) {
	close(ses.ending)
	if ses.handshake != nil {
		ses.handshake.Stop()
	}
	ses.settle()
	if !ses.connected.Load() {
		ses.sfu.counters.sessionsFailed.Add(1)
	}
	if ses.ended != nil {
		ses.ended()
	}
	ses.endChannels()
	if ses.data != nil {
		ses.endData()
	}
	if err := ses.pc.GracefulClose(); err != nil && !errors.Is(err, context.Canceled) {
		ses.log.Debug("close peer connection", "err", err)
	}
	if ses.unplug != nil {
		if err := ses.unplug(); err != nil {
			ses.log.Debug("close relay socket", "err", err)
		}
	}
	ses.readers.Wait()
	ses.log.Info("session ended", "reason", reason, "duration", time.Since(ses.since).Round(time.Millisecond))
	ses.sfu.exit(ses)
	close(ses.done)
}
