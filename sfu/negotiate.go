package sfu

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// role is which way the media of a session flows.
type role int

const (
	publishing role = iota
	viewing
)

// terms are what we agree to when it is offered.
type terms struct {
	feedback   []string // values of a=rtcp-fb
	extensions []string // URIs of header extensions
	flexfec    bool     // repair packets for video
	relay      bool     // with another node
}

// termsFor returns what suits a session. Transport-wide feedback costs more than
// the media of a viewer; so packets carry its numbers only while there are layers
// to choose from. REMB comes unasked, and is left out where there are none now and
// transport-wide feedback is there for those that may come. A receiver needs the
// time of sending for it.
func termsFor(r role, layered bool) terms {
	if r == publishing {
		return terms{
			feedback:   []string{"nack", "nack pli", "ccm fir", "transport-cc"},
			extensions: []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI, sdp.TransportCCURI, playoutDelayURI, codec.DependencyURI},
		}
	}
	t := terms{
		feedback:   []string{"nack", "nack pli", "ccm fir", "transport-cc"},
		extensions: []string{sdp.TransportCCURI, playoutDelayURI, codec.DependencyURI},
	}
	if layered {
		t.feedback = append(t.feedback, "goog-remb")
	}
	return t
}

// feedbackFor returns the feedback that suits a section: a viewer without
// transport-wide feedback could not be measured without REMB if layers came later.
func (t terms) feedbackFor(m *sdp.MediaDescription, r role) []string {
	offers := func(key, suffix string) bool {
		return slices.ContainsFunc(m.Attributes, func(a sdp.Attribute) bool { return a.Key == key && strings.HasSuffix(a.Value, suffix) })
	}
	numbered := offers("rtcp-fb", " transport-cc") && offers("rtpmap", " rtx/90000") // without RTX packets carry no numbers
	if r == publishing || slices.Contains(t.feedback, "goog-remb") || numbered {
		return t.feedback
	}
	return append(slices.Clone(t.feedback), "goog-remb")
}

// offered is what a negotiation needs of an SDP offer.
type offered struct {
	desc  sdp.SessionDescription
	setup string // value of a=setup

	groups map[uint32]string // names of layers by SSRC, of simulcast by SSRC groups
	clones []string          // mids of sections that the peer does not know

	spare []webrtc.RTPCodecParameters // video formats that Pion does not know of
	data  *dataSection                // that Pion does not know; nil: none
}

func parseOffer(text string) (*offered, error) {
	o := &offered{}
	if err := o.desc.UnmarshalString(text); err != nil {
		return nil, sluice.Errorf(sluice.CodeInvalid, "the SDP offer does not parse")
	}
	o.setup, _ = o.desc.Attribute("setup")
	for _, m := range o.desc.MediaDescriptions {
		if v, ok := m.Attribute("setup"); ok {
			o.setup = v
		}
	}
	return o, nil
}

// section returns the first media section of a kind, "audio" or "video".
func (o *offered) section(kind string) *sdp.MediaDescription {
	for _, m := range o.desc.MediaDescriptions {
		if m.MediaName.Media == kind {
			return m
		}
	}
	return nil
}

// simulcast reports whether the video is offered in several layers.
func (o *offered) simulcast() bool {
	m := o.section("video")
	if m == nil {
		return false
	}
	_, ok := m.Attribute("simulcast")
	return ok || len(o.groups) > 0
}

// mediaEngine registers what is offered and we know, with the offer's payload
// types and parameters, so that any H.264 profile is matched. What is left out
// is taken out of the offer too: Pion's work grows with the square of the
// formats. A viewer gets one format of each codec, like those of layers.
func (o *offered) mediaEngine(t terms, r role, layers []*layer) (*webrtc.MediaEngine, error) {
	engine := &webrtc.MediaEngine{}
	for _, m := range o.desc.MediaDescriptions {
		kind := webrtc.NewRTPCodecType(m.MediaName.Media)
		if kind == 0 {
			continue
		}
		feedback := t.feedbackFor(m, r)
		codecs := offeredCodecs(m, feedback)
		if r == viewing {
			codecs = onePerCodec(codecs, layers)
			if kind == webrtc.RTPCodecTypeVideo && !t.relay && len(codecs) > 0 && o.sections("video") == 1 {
				codecs = o.withhold(codecs, layers)
			}
		}
		if t.flexfec && len(codecs) > 0 {
			codecs = append(codecs, offeredFlexFEC(parseFormats(m), m.MediaName.Media)...)
		}
		if len(codecs) == 0 {
			return nil, sluice.Errorf(sluice.CodeUnprocessable, "the %s section offers no codec that is supported here", m.MediaName.Media)
		}
		for _, c := range codecs {
			if err := engine.RegisterCodec(c, kind); err != nil {
				return nil, sluice.Errorf(sluice.CodeUnprocessable, "the %s section: %w", m.MediaName.Media, err)
			}
		}
		extensions := t.extensions
		if r == viewing && !t.relay && kind == webrtc.RTPCodecTypeVideo && slices.Contains(feedback, "goog-remb") {
			extensions = append(slices.Clone(extensions), sdp.ABSSendTimeURI)
		}
		trim(m, codecs, extensions)
		declareStereo(m, layers)
		for _, uri := range extensions {
			if uri == codec.DependencyURI && r == viewing && !o.mixed() {
				continue // it has more bytes at times than the one-byte form has room for
			}
			ext := webrtc.RTPHeaderExtensionCapability{URI: uri}
			if err := engine.RegisterHeaderExtension(ext, kind); err != nil {
				return nil, err
			}
		}
	}
	return engine, nil
}

// mixed reports whether both forms of header extensions are taken in one stream
// (RFC 8285 section 6).
func (o *offered) mixed() bool {
	_, ok := o.desc.Attribute("extmap-allow-mixed")
	return ok
}

// onePerCodec keeps of each codec the format that suits the layers best, the
// first one when they do not tell, and its RTX format.
func onePerCodec(codecs []webrtc.RTPCodecParameters, layers []*layer) []webrtc.RTPCodecParameters {
	best := map[codec.Codec]webrtc.PayloadType{}
	scores := map[codec.Codec]int{}
	for _, p := range codecs {
		c := codec.FromMimeType(p.MimeType)
		if c == codec.Unknown {
			continue
		}
		score := similarity(p.SDPFmtpLine, likely(c, layers))
		if have, seen := scores[c]; !seen || score > have {
			best[c], scores[c] = p.PayloadType, score
		}
	}
	return slices.DeleteFunc(codecs, func(p webrtc.RTPCodecParameters) bool {
		if c := codec.FromMimeType(p.MimeType); c != codec.Unknown {
			return best[c] != p.PayloadType
		}
		for _, pt := range best {
			if repeated, ok := repeats(p.SDPFmtpLine); ok && repeated == strconv.Itoa(int(pt)) {
				return false
			}
			if p.SDPFmtpLine == "apt="+strconv.Itoa(int(pt)) {
				return false
			}
		}
		return true
	})
}

// likely is the format parameters that a codec will have: those of a layer, or
// what most encoders send.
func likely(c codec.Codec, layers []*layer) string {
	for _, l := range layers {
		if l.codec == c {
			return l.fmtp
		}
	}
	if c == codec.H264 {
		return "packetization-mode=1;profile-level-id=42e01f"
	}
	return "profile-id=0;profile=0"
}

// trim takes out of a media section what is not among codecs and extensions. What
// feedback a format has is known by its codec; so one line for each kind says it of
// all of them.
func trim(m *sdp.MediaDescription, codecs []webrtc.RTPCodecParameters, extensions []string) {
	keep := map[string]bool{}
	var feedback []sdp.Attribute
	for _, c := range codecs {
		keep[strconv.Itoa(int(c.PayloadType))] = true
		for _, f := range c.RTCPFeedback {
			line := sdp.NewAttribute("rtcp-fb", "* "+feedbackLine(f))
			if !slices.Contains(feedback, line) {
				feedback = append(feedback, line)
			}
		}
	}
	m.MediaName.Formats = slices.DeleteFunc(m.MediaName.Formats, func(pt string) bool { return !keep[pt] })
	m.Attributes = append(slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool {
		switch a.Key {
		case "rtpmap", "fmtp":
			pt, _, _ := strings.Cut(a.Value, " ")
			return !keep[pt]
		case "rtcp-fb":
			return true
		case "extmap":
			_, uri, _ := strings.Cut(a.Value, " ")
			uri, _, _ = strings.Cut(uri, " ")
			return !slices.Contains(extensions, uri)
		}
		return false
	}), feedback...)
}

// text is the offer as Pion gets it.
func (o *offered) text() (string, error) {
	b, err := o.desc.Marshal()
	return string(b), err
}

// offeredCodecs lists the supported codecs of a media section in its order, and
// the RTX and RED formats that belong to them.
func offeredCodecs(m *sdp.MediaDescription, feedback []string) []webrtc.RTPCodecParameters {
	formats := parseFormats(m)
	var codecs []webrtc.RTPCodecParameters
	known := map[string]bool{}
	for _, f := range formats {
		if codec.FromMimeType(m.MediaName.Media+"/"+f.name) == codec.Unknown {
			continue
		}
		known[f.payloadType] = true
		codecs = append(codecs, f.parameters(m.MediaName.Media, feedback))
	}
	for _, f := range formats {
		apt, ok := strings.CutPrefix(f.fmtp, "apt=")
		if ok && strings.EqualFold(f.name, "rtx") && known[apt] {
			codecs = append(codecs, f.parameters(m.MediaName.Media, nil))
		}
	}
	return append(codecs, offeredRED(formats, m.MediaName.Media, known)...)
}

// format is one payload type of a media section.
type format struct {
	payloadType string
	name        string
	clock       uint32
	channels    uint16
	fmtp        string
	feedback    []string
}

func (f format) parameters(media string, feedback []string) webrtc.RTPCodecParameters {
	pt, _ := strconv.ParseUint(f.payloadType, 10, 7)
	p := webrtc.RTPCodecParameters{PayloadType: webrtc.PayloadType(pt)}
	p.MimeType = media + "/" + f.name
	p.ClockRate, p.Channels, p.SDPFmtpLine = f.clock, f.channels, f.fmtp
	for _, want := range feedback {
		for _, have := range f.feedback {
			if strings.EqualFold(want, have) {
				kind, parameter, _ := strings.Cut(want, " ")
				p.RTCPFeedback = append(p.RTCPFeedback, webrtc.RTCPFeedback{Type: kind, Parameter: parameter})
			}
		}
	}
	return p
}

// parseFormats reads rtpmap, fmtp and rtcp-fb lines, which come in any order,
// and lists formats in the offerer's order of preference. A format without a
// valid rtpmap is left out.
func parseFormats(m *sdp.MediaDescription) []format {
	fmtp := map[string]string{}
	feedback := map[string][]string{}
	rtpmap := map[string]string{}
	for _, a := range m.Attributes {
		pt, value, _ := strings.Cut(a.Value, " ")
		value = strings.TrimSpace(value)
		switch a.Key {
		case "rtpmap":
			rtpmap[pt] = value
		case "fmtp":
			fmtp[pt] = value
		case "rtcp-fb":
			feedback[pt] = append(feedback[pt], value)
		}
	}
	var formats []format
	for _, pt := range m.MediaName.Formats {
		f, ok := parseRTPMap(pt, rtpmap[pt])
		if !ok {
			continue
		}
		f.fmtp = fmtp[pt]
		f.feedback = append(feedback[pt], feedback["*"]...)
		formats = append(formats, f)
	}
	return formats
}

func parseRTPMap(pt, value string) (format, bool) {
	if n, err := strconv.ParseUint(pt, 10, 8); err != nil || n > 127 {
		return format{}, false
	}
	parts := strings.Split(value, "/")
	if len(parts) < 2 {
		return format{}, false
	}
	clock, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return format{}, false
	}
	f := format{payloadType: pt, name: parts[0], clock: uint32(clock)}
	if len(parts) > 2 {
		channels, err := strconv.ParseUint(parts[2], 10, 16)
		if err != nil {
			return format{}, false
		}
		f.channels = uint16(channels)
	}
	return f, true
}

// publisherInterceptors report to a publisher what arrived. Lost packets are
// asked for by the readers. Viewers have none: their shard does all the work.
func publisherInterceptors() (*interceptor.Registry, *keeping, error) {
	registry := &interceptor.Registry{}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, nil, err
	}
	sender, err := twcc.NewSenderInterceptor()
	if err != nil {
		return nil, nil, err
	}
	registry.Add(receiver)
	arrivals := &keeping{Factory: sender}
	registry.Add(arrivals)
	return registry, arrivals, nil
}
