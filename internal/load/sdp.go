package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

const twccURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// Payload types that are offered.
const (
	ptH264    = 96 // the first of three profiles, each followed by its RTX
	ptVP8     = 104
	ptOpus    = 111
	twccExtID = 3
)

// offer is what an SDP offer of ours says.
type offer struct {
	local       credentials
	fingerprint string
	candidate   netip.AddrPort
	codec       string // first in preference; the only one when publishing
	publish     bool
	chat        bool   // sound and data channels, no picture
	ssrc        uint32 // when publishing
	twcc        bool
	remb        bool
}

type offeredFormat struct {
	pt   int
	name string
	fmtp string
}

func (o offer) formats() []offeredFormat {
	const constraints = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
	h264 := []offeredFormat{
		{ptH264, "H264/90000", constraints + "42e01f"},
		{ptH264 + 2, "H264/90000", constraints + "42001f"},
		{ptH264 + 4, "H264/90000", constraints + "640028"},
	}
	vp8 := []offeredFormat{{ptVP8, "VP8/90000", ""}}
	switch {
	case o.publish && o.codec == VP8:
		return vp8
	case o.publish:
		return h264[:1]
	case o.codec == VP8:
		return append(vp8, h264...)
	default:
		return append(h264, vp8...)
	}
}

// String is the SDP.
func (o offer) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0")
	if o.publish {
		line("a=group:BUNDLE 0")
	} else {
		line("a=group:BUNDLE 0 1")
	}
	if o.chat {
		o.audio(line, 0)
		line("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0")
		o.credentials(line)
		line("a=mid:1\r\na=sctp-port:5000\r\na=max-message-size:%d", chatFrame)
		return b.String()
	}
	formats := o.formats()
	list := ""
	for _, f := range formats {
		list += fmt.Sprintf(" %d %d", f.pt, f.pt+1)
	}
	line("m=video 9 UDP/TLS/RTP/SAVPF%s", list)
	o.transport(line, 0)
	for _, f := range formats {
		line("a=rtpmap:%d %s", f.pt, f.name)
		if f.fmtp != "" {
			line("a=fmtp:%d %s", f.pt, f.fmtp)
		}
		line("a=rtcp-fb:%d nack\r\na=rtcp-fb:%d nack pli\r\na=rtcp-fb:%d ccm fir", f.pt, f.pt, f.pt)
		if o.twcc {
			line("a=rtcp-fb:%d transport-cc", f.pt)
		}
		if o.remb {
			line("a=rtcp-fb:%d goog-remb", f.pt)
		}
		line("a=rtpmap:%d rtx/90000\r\na=fmtp:%d apt=%d", f.pt+1, f.pt+1, f.pt)
	}
	if o.publish {
		line("a=msid:load video\r\na=ssrc:%d cname:load\r\na=ssrc:%d msid:load video", o.ssrc, o.ssrc)
		return b.String()
	}
	o.audio(line, 1)
	return b.String()
}

func (o offer) audio(line func(string, ...any), mid int) {
	line("m=audio 9 UDP/TLS/RTP/SAVPF %d 0 8", ptOpus) // as browsers do; some servers want PCMU
	o.transport(line, mid)
	line("a=rtpmap:%d opus/48000/2\r\na=fmtp:%d minptime=10;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000", ptOpus, ptOpus)
}

func (o offer) credentials(line func(string, ...any)) {
	line("a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:%s\r\na=setup:actpass", o.local.ufrag, o.local.pwd, o.fingerprint)
}

// transport writes what every section has.
func (o offer) transport(line func(string, ...any), mid int) {
	direction := "recvonly"
	if o.publish {
		direction = "sendonly"
	}
	network := "IP4"
	if o.candidate.Addr().Is6() {
		network = "IP6"
	}
	line("c=IN %s %s", network, o.candidate.Addr())
	o.credentials(line)
	line("a=mid:%d\r\na=%s\r\na=rtcp-mux\r\na=rtcp-rsize", mid, direction)
	if o.twcc {
		line("a=extmap:%d %s", twccExtID, twccURI)
	}
	if mid == 0 { // BUNDLE: one candidate for all
		line("a=candidate:1 1 udp %d %s %d typ host\r\na=end-of-candidates", hostPriority, o.candidate.Addr(), o.candidate.Port())
	}
}

// answer is what we need of an SDP answer.
type answer struct {
	remote      credentials
	fingerprint string
	dtlsClient  bool // which role is ours
	candidates  []netip.AddrPort
	formats     map[uint8]string // codec by payload type, lower case
	twccExt     uint8            // id of the header extension, 0 without
}

func parseAnswer(text string) (*answer, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("the SDP answer does not parse: %w", err)
	}
	a := &answer{formats: map[uint8]string{}, dtlsClient: true}
	a.take(desc.Attributes)
	seen := false
	for _, m := range desc.MediaDescriptions {
		if m.MediaName.Port.Value == 0 {
			continue // refused
		}
		a.take(m.Attributes)
		a.takeFormats(m)
		seen = seen || m.MediaName.Media == "video" || m.MediaName.Media == "application"
	}
	switch {
	case !seen:
		return nil, errors.New("the SDP answer refuses video and data channels")
	case a.remote.ufrag == "" || a.remote.pwd == "":
		return nil, errors.New("the SDP answer has no ICE credentials")
	case a.fingerprint == "":
		return nil, errors.New("the SDP answer has no fingerprint")
	}
	return a, nil
}

// take reads transport attributes. The first of each counts: with BUNDLE all
// are those of one transport.
func (a *answer) take(attributes []sdp.Attribute) {
	first := func(to *string, value string) {
		if *to == "" {
			*to = strings.TrimSpace(value)
		}
	}
	for _, attr := range attributes {
		switch attr.Key {
		case "ice-ufrag":
			first(&a.remote.ufrag, attr.Value)
		case "ice-pwd":
			first(&a.remote.pwd, attr.Value)
		case "fingerprint":
			first(&a.fingerprint, attr.Value)
		case "setup":
			a.dtlsClient = attr.Value != "active"
		case "candidate":
			if c, ok := parseCandidate(attr.Value); ok {
				a.candidates = append(a.candidates, c)
			}
		case "extmap":
			id, uri, _ := strings.Cut(attr.Value, " ")
			id, _, _ = strings.Cut(id, "/")
			if n, err := strconv.ParseUint(id, 10, 8); err == nil && strings.HasPrefix(uri, twccURI) {
				a.twccExt = uint8(n)
			}
		}
	}
}

func (a *answer) takeFormats(m *sdp.MediaDescription) {
	for _, attr := range m.Attributes {
		if attr.Key != "rtpmap" {
			continue
		}
		pt, name, _ := strings.Cut(attr.Value, " ")
		n, err := strconv.ParseUint(pt, 10, 7)
		if err != nil {
			continue
		}
		name, _, _ = strings.Cut(name, "/")
		a.formats[uint8(n)] = strings.ToLower(name)
	}
}

// parseCandidate reads a UDP candidate with an address (RFC 8839 section 5.1).
func parseCandidate(value string) (netip.AddrPort, bool) {
	fields := strings.Fields(value)
	if len(fields) < 8 || fields[1] != "1" || !strings.EqualFold(fields[2], "udp") {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddr(fields[4])
	if err != nil {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(fields[5], 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(port)), true
}

// publishedAs returns the payload type that the answer accepts for a codec.
func (a *answer) publishedAs(codec string) (uint8, error) {
	for pt, name := range a.formats {
		if name == codec {
			return pt, nil
		}
	}
	return 0, fmt.Errorf("the SDP answer does not accept %s", codec)
}

// reachable are the candidates that a socket bound to local can send to.
func (a *answer) reachable(local netip.Addr) []netip.AddrPort {
	var all []netip.AddrPort
	for _, c := range a.candidates {
		if c.Addr().Is4() == local.Is4() && !c.Addr().IsUnspecified() {
			all = append(all, c)
		}
	}
	return all
}
