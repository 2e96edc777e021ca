package sfu

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

func isOpus(mime string) bool { return codec.FromMimeType(mime) == codec.Opus }

func isRED(mime string) bool { return strings.EqualFold(mime, "audio/red") }

// repeats reports whether RED with these format parameters, such as "111/111",
// repeats frames of one payload type only, and which (RFC 2198 section 5).
func repeats(fmtp string) (pt string, ok bool) {
	pt, rest, ok := strings.Cut(fmtp, "/")
	for part := range strings.SplitSeq(rest, "/") {
		ok = ok && part == pt
	}
	return pt, ok
}

// offeredRED lists the RED formats that repeat one of the known formats.
func offeredRED(formats []format, media string, known map[string]bool) []webrtc.RTPCodecParameters {
	var codecs []webrtc.RTPCodecParameters
	for _, f := range formats {
		if pt, ok := repeats(f.fmtp); ok && known[pt] && isRED(media+"/"+f.name) && f.clock == codec.Opus.ClockRate() && f.channels == 2 {
			codecs = append(codecs, f.parameters(media, nil))
		}
	}
	return codecs
}

// declareStereo makes the answer's sprop-stereo say what is sent (RFC 7587
// section 6.1) rather than repeat what the offerer said of itself: nothing to a
// publisher, and to a viewer what its publisher said. Pion answers with the
// parameters of the offer, so they are changed there.
func declareStereo(m *sdp.MediaDescription, layers []*layer) {
	const key = "sprop-stereo"
	opus := map[string]bool{}
	for _, f := range parseFormats(m) {
		opus[f.payloadType] = isOpus(m.MediaName.Media + "/" + f.name)
	}
	stereo := slices.ContainsFunc(layers, func(l *layer) bool { return l.codec == codec.Opus && parameter(l.fmtp, key) == "1" })
	kept := m.Attributes[:0]
	for _, a := range m.Attributes {
		pt, fmtp, ok := strings.Cut(a.Value, " ")
		if a.Key == "fmtp" && ok && opus[pt] {
			if fmtp = replaceParameter(fmtp, key, stereo); fmtp == "" {
				continue
			}
			a.Value = pt + " " + fmtp
		}
		kept = append(kept, a)
	}
	m.Attributes = kept
}

// replaceParameter takes a format parameter away, and adds it with the value 1
// when set.
func replaceParameter(fmtp, key string, set bool) string {
	var parts []string
	for part := range strings.SplitSeq(fmtp, ";") {
		part = strings.TrimSpace(part)
		if name, _, _ := strings.Cut(part, "="); part != "" && !strings.EqualFold(name, key) {
			parts = append(parts, part)
		}
	}
	if set {
		parts = append(parts, key+"=1")
	}
	return strings.Join(parts, ";")
}
