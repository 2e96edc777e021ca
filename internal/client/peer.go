package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/client/clips"
)

// readBuffer of a socket, in bytes.
const readBuffer = 2 << 20

// gatherTimeout bounds the wait for our own candidates.
const gatherTimeout = 5 * time.Second

// defaultHTTP is the client used when the caller gives none. Many sessions of
// one process should share one of their own.
func defaultHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     10 * time.Second,
		ForceAttemptHTTP2:   true,
	}}
}

// settings binds sockets to loopback when the server is there, so that the
// session needs no other interface.
func settings(endpoint string) (webrtc.SettingEngine, error) {
	var s webrtc.SettingEngine
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return s, fmt.Errorf("not an http(s) URL: %q", endpoint)
	}
	inner, err := stdnet.NewNet()
	if err != nil {
		return s, fmt.Errorf("listing network interfaces: %w", err)
	}
	s.SetNet(roomyNet{inner})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	iceTiming(&s, time.Second)
	if loopback(target.Hostname()) {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		s.SetIncludeLoopbackCandidate(true)
		s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	} else {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	}
	return s, nil
}

// iceTiming has the path checked at an interval: a dead server is noticed after
// seven of them.
func iceTiming(s *webrtc.SettingEngine, consent time.Duration) {
	s.SetICETimeouts(3*consent, 4*consent, consent)
}

// roomyNet gives sockets a large read buffer: a viewer's start is a burst of a
// whole group of pictures.
type roomyNet struct{ transport.Net }

// ListenUDP implements transport.Net.
func (n roomyNet) ListenUDP(network string, address *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(readBuffer); err != nil { // the kernel caps it without an error
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const (
	audioPT   = 120
	videoPT   = 96 // the first; each codec takes two, the second for RTX; audio is above them
	clockRate = 90000
)

func opusParameters() webrtc.RTPCodecParameters {
	return webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
			SDPFmtpLine: "minptime=10;useinbandfec=1",
		},
		PayloadType: audioPT,
	}
}

// registerVideo adds a codec and its RTX.
func registerVideo(m *webrtc.MediaEngine, pt webrtc.PayloadType, mime, fmtp string) error {
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	codec := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mime, ClockRate: clockRate, SDPFmtpLine: fmtp, RTCPFeedback: feedback},
		PayloadType:        pt,
	}
	if err := m.RegisterCodec(codec, webrtc.RTPCodecTypeVideo); err != nil {
		return err
	}
	rtx := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: clockRate, SDPFmtpLine: fmt.Sprintf("apt=%d", pt)},
		PayloadType:        pt + 1,
	}
	return m.RegisterCodec(rtx, webrtc.RTPCodecTypeVideo)
}

func h264Format(profile string) string {
	return "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" + profile
}

// publisherAPI offers exactly what the clip holds.
func publisherAPI(endpoint string, clip *clips.Clip) (*webrtc.API, error) {
	set, err := settings(endpoint)
	if err != nil {
		return nil, err
	}
	m := &webrtc.MediaEngine{}
	if clip.Audio != nil {
		if err := m.RegisterCodec(opusParameters(), webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	if len(clip.Layers) > 0 {
		mime, format, err := videoFormat(clip.Layers[len(clip.Layers)-1])
		if err != nil {
			return nil, err
		}
		if err := registerVideo(m, videoPT, mime, format); err != nil {
			return nil, err
		}
	}
	if err := headerExtensions(m, sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	// Sender reports and retransmission are ours: Pion's take the time of
	// writing for the time of capture, and put no rid on what they resend.
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(m, registry); err != nil {
		return nil, err
	}
	m.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, webrtc.RTPCodecTypeVideo)
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(set), webrtc.WithInterceptorRegistry(registry)), nil
}

func videoFormat(t *clips.Track) (mime, format string, err error) {
	switch t.Codec {
	case clips.H264:
		return webrtc.MimeTypeH264, h264Format(t.Profile), nil
	case clips.H265:
		return webrtc.MimeTypeH265, "", nil
	case clips.VP8:
		return webrtc.MimeTypeVP8, "", nil
	case clips.VP9:
		return webrtc.MimeTypeVP9, "profile-id=0", nil
	case clips.AV1:
		return webrtc.MimeTypeAV1, "", nil
	}
	return "", "", fmt.Errorf("cannot send %s", t.Codec)
}

func headerExtensions(m *webrtc.MediaEngine, uris ...string) error {
	for _, uri := range uris {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
			if kind == webrtc.RTPCodecTypeAudio && uri != sdp.SDESMidURI {
				continue
			}
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// viewerAPI offers every codec that a server may forward.
func viewerAPI(cfg ViewerConfig) (*webrtc.API, error) {
	set, err := settings(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Consent > 0 {
		iceTiming(&set, cfg.Consent)
	}
	m := &webrtc.MediaEngine{}
	if err := m.RegisterCodec(opusParameters(), webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	for i, c := range []struct{ mime, format string }{
		{webrtc.MimeTypeVP8, ""},
		{webrtc.MimeTypeH264, h264Format("42e01f")},
		{webrtc.MimeTypeH264, h264Format("42001f")},
		{webrtc.MimeTypeH264, h264Format("4d001f")},
		{webrtc.MimeTypeH264, h264Format("640028")},
		{webrtc.MimeTypeVP9, "profile-id=0"},
		{webrtc.MimeTypeAV1, ""},
		{webrtc.MimeTypeH265, ""},
	} {
		if err := registerVideo(m, webrtc.PayloadType(videoPT+2*i), c.mime, c.format); err != nil {
			return nil, err
		}
	}
	if err := headerExtensions(m, sdp.SDESMidURI); err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	if cfg.NACK {
		generator, err := nack.NewGeneratorInterceptor()
		if err != nil {
			return nil, err
		}
		registry.Add(generator)
	}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	registry.Add(receiver)
	if cfg.TransportCC {
		if err := webrtc.ConfigureTWCCSenderWithOptions(m, registry, twcc.SendInterval(100*time.Millisecond)); err != nil {
			return nil, err
		}
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(set), webrtc.WithInterceptorRegistry(registry)), nil
}

// offer makes the offer with all our candidates in it.
func offer(ctx context.Context, pc *webrtc.PeerConnection) (string, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	local, err := pc.CreateOffer(nil)
	if err != nil {
		return "", fmt.Errorf("making the offer: %w", err)
	}
	if err := pc.SetLocalDescription(local); err != nil {
		return "", fmt.Errorf("using the offer: %w", err)
	}
	timer := time.NewTimer(gatherTimeout)
	defer timer.Stop()
	select {
	case <-gathered:
	case <-timer.C: // go with what there is
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return pc.LocalDescription().SDP, nil
}
