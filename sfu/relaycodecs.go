package sfu

import (
	"strconv"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// relayFeedback is what nodes answer each other.
func relayFeedback() []string { return []string{"nack", "nack pli"} }

// relayTerms are those of both ends of a relay: no transport-wide feedback, as
// nothing is chosen by what the path carries.
func relayTerms() terms {
	return terms{feedback: relayFeedback(), extensions: relayExtensions(), relay: true}
}

func relayExtensions() []string { return []string{playoutDelayURI, codec.DependencyURI} }

// relayFirstPT is the payload type of the first format between nodes. The
// formats are one of each codec: the publisher's parameters travel beside them.
const (
	relayFirstPT = 96
	relayOpusPT  = relayFirstPT
	relayREDPT   = relayFirstPT + 1
)

// relayEngine knows what one node offers another.
func relayEngine() (*webrtc.MediaEngine, error) {
	engine := &webrtc.MediaEngine{}
	pt := webrtc.PayloadType(relayFirstPT)
	add := func(c webrtc.RTPCodecCapability, kind webrtc.RTPCodecType) error {
		err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: c, PayloadType: pt}, kind)
		pt++
		return err
	}
	opus := strconv.Itoa(relayOpusPT)
	for _, c := range []webrtc.RTPCodecCapability{
		{MimeType: webrtc.MimeTypeOpus, ClockRate: codec.Opus.ClockRate(), Channels: 2, SDPFmtpLine: "useinbandfec=1"},
		{MimeType: "audio/red", ClockRate: codec.Opus.ClockRate(), Channels: 2, SDPFmtpLine: opus + "/" + opus},
	} {
		if err := add(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	for _, c := range []codec.Codec{codec.H264, codec.VP8, codec.VP9, codec.AV1, codec.H265} {
		media := webrtc.RTPCodecCapability{
			MimeType: "video/" + c.String(), ClockRate: c.ClockRate(), SDPFmtpLine: relayFormat(c), RTCPFeedback: feedback,
		}
		repair := webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: c.ClockRate(), SDPFmtpLine: "apt=" + strconv.Itoa(int(pt)),
		}
		for _, one := range []webrtc.RTPCodecCapability{media, repair} {
			if err := add(one, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, err
			}
		}
	}
	for _, uri := range relayExtensions() {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if err := engine.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return nil, err
			}
		}
	}
	return engine, nil
}

func relayFormat(c codec.Codec) string {
	if c == codec.H264 {
		return "packetization-mode=1;level-asymmetry-allowed=1;profile-level-id=42e01f"
	}
	return ""
}

// relayInterceptors report what arrives.
func relayInterceptors() (*interceptor.Registry, error) {
	registry := &interceptor.Registry{}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	registry.Add(receiver)
	return registry, nil
}

// relayAddresses advertises the interfaces' own addresses beside the configured
// ones: nodes may share a network behind the address translation.
func (s *SFU) relayAddresses(se *webrtc.SettingEngine) error {
	if len(s.cfg.PublicIPs) == 0 {
		return nil
	}
	var ips []string
	for _, ip := range s.cfg.PublicIPs {
		ips = append(ips, ip.String())
	}
	return se.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
		External: ips, AsCandidateType: webrtc.ICECandidateTypeHost, Mode: webrtc.ICEAddressRewriteAppend,
	})
}
