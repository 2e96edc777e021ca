package sfu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// Half of the work of an answer is Pion's, with formats, and grows with the square
// of their number. A viewer's packets are made here, so Pion needs to know of one
// video codec only, that of the layers. The viewer is told of the others all the
// same: the next publisher may send them.

// withhold keeps all but one of the video codecs of a viewer from Pion.
func (o *offered) withhold(codecs []webrtc.RTPCodecParameters, layers []*layer) []webrtc.RTPCodecParameters {
	main := slices.IndexFunc(codecs, func(p webrtc.RTPCodecParameters) bool {
		return slices.ContainsFunc(layers, func(l *layer) bool { return l.codec.Video() && l.codec == codec.FromMimeType(p.MimeType) })
	})
	if main < 0 {
		main = 0
	}
	var shown, spare []webrtc.RTPCodecParameters
	apt := fmt.Sprintf("apt=%d", codecs[main].PayloadType)
	for i, p := range codecs {
		if i == main || p.SDPFmtpLine == apt {
			shown = append(shown, p)
		} else {
			spare = append(spare, p)
		}
	}
	repeated := func(p webrtc.RTPCodecParameters) bool { return strings.HasPrefix(p.SDPFmtpLine, "apt=") }
	if !slices.ContainsFunc(shown, repeated) && slices.ContainsFunc(spare, repeated) {
		return codecs // only Pion names the SSRC of retransmissions
	}
	o.spare = spare
	return shown
}

// sections counts the media sections of a kind.
func (o *offered) sections(kind string) (n int) {
	for _, m := range o.desc.MediaDescriptions {
		if m.MediaName.Media == kind {
			n++
		}
	}
	return n
}

// tell adds the formats that Pion does not know of to the video section of an
// answer.
func (o *offered) tell(answer string) string {
	const section = "\r\nm=video "
	before, after, ok := strings.Cut(answer, section)
	if !ok || len(o.spare) == 0 || strings.HasPrefix(after, "0 ") {
		return answer
	}
	line, rest, _ := strings.Cut(after, "\r\n")
	end := len(rest)
	if next := strings.Index(rest, "\r\nm="); next >= 0 {
		end = next + len("\r\n")
	}
	var out strings.Builder
	out.Grow(len(answer) + len(o.spare)*150)
	out.WriteString(before + section + line)
	for _, p := range o.spare {
		fmt.Fprintf(&out, " %d", p.PayloadType)
	}
	out.WriteString("\r\n" + rest[:end])
	for _, p := range o.spare {
		_, name, _ := strings.Cut(p.MimeType, "/")
		fmt.Fprintf(&out, "a=rtpmap:%d %s/%d\r\n", p.PayloadType, name, p.ClockRate)
		if p.SDPFmtpLine != "" {
			fmt.Fprintf(&out, "a=fmtp:%d %s\r\n", p.PayloadType, p.SDPFmtpLine)
		}
		for _, f := range p.RTCPFeedback {
			fmt.Fprintf(&out, "a=rtcp-fb:%d %s\r\n", p.PayloadType, feedbackLine(f))
		}
	}
	out.WriteString(rest[end:])
	return out.String()
}

// feedbackLine is what a=rtcp-fb says of a kind of feedback.
func feedbackLine(f webrtc.RTCPFeedback) string { return strings.TrimSpace(f.Type + " " + f.Parameter) }

// accepted lists the codecs that a section of the answer takes.
func (o *offered) accepted(m *sdp.MediaDescription) (all []codec.Codec) {
	for _, p := range append(offeredCodecs(m, nil), o.spare...) {
		all = append(all, codec.FromMimeType(p.MimeType))
	}
	return all
}
