package wish

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"

	sluice "github.com/sluice-live/sluice"
)

// Direction says which way media goes, seen from the client.
type Direction int

// The two kinds of session.
const (
	Publish Direction = iota + 1 // the client sends: WHIP
	Watch                        // the client receives: WHEP
)

// Shape is what a checked offer looks like. An index is the number of the
// media section, counted from 0, and -1 when there is no such section.
type Shape struct {
	Ufrag, Pwd string // of the transport that all sections share
	Video      int
	VideoMid   string
	Audio      int
	AudioMid   string
	Data       bool // a data channel section is offered
	RIDs       []string
	Candidates int
}

// CheckOffer reads an SDP offer and refuses what must not reach the media
// plane: CodeTooLarge over the size limit, CodeInvalid for what is not an SDP
// offer, CodeUnprocessable for an offer that we do not serve (too many sections,
// rids or SSRCs, two videos, the wrong direction, no BUNDLE). It takes less than
// 5 ms for 64 KiB of anything.
func CheckOffer(offer string, want Direction, limits Limits) (Shape, error) {
	if len(offer) > limits.BodyBytes {
		return Shape{}, sluice.Errorf(sluice.CodeTooLarge, "the offer has more than %d bytes", limits.BodyBytes)
	}
	s, err := scanOffer(offer, limits)
	if err != nil {
		return Shape{}, err
	}
	shape, err := s.shape(want)
	if err != nil {
		return Shape{}, err
	}
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(offer); err != nil {
		return Shape{}, &sluice.Error{Code: sluice.CodeInvalid, Detail: "the offer is not well-formed SDP", Err: err}
	}
	return shape, nil
}

func invalid(format string, args ...any) error {
	return sluice.Errorf(sluice.CodeInvalid, format, args...)
}

func unprocessable(format string, args ...any) error {
	return sluice.Errorf(sluice.CodeUnprocessable, format, args...)
}

// shape judges a scanned offer.
func (s *scan) shape(want Direction) (Shape, error) {
	shape := Shape{Video: -1, Audio: -1, Candidates: s.candidates}
	active, media := 0, 0
	mids := make(map[string]bool, len(s.sections))
	for i := range s.sections {
		sec := &s.sections[i]
		if sec.mid != "" && mids[sec.mid] {
			return Shape{}, invalid("two media sections have the mid %q", clip(sec.mid))
		}
		mids[sec.mid] = true
		if sec.rejected() {
			continue
		}
		active++
		if err := s.checkSection(sec, want); err != nil {
			return Shape{}, err
		}
		switch sec.kind {
		case "video":
			if shape.Video >= 0 {
				return Shape{}, unprocessable("only one video section is served")
			}
			shape.Video, shape.VideoMid, shape.RIDs = i, sec.mid, sec.rids
			media++
		case "audio":
			if shape.Audio >= 0 {
				return Shape{}, unprocessable("only one audio section is served")
			}
			shape.Audio, shape.AudioMid = i, sec.mid
			media++
		default:
			if shape.Data {
				return Shape{}, unprocessable("only one data channel section is served")
			}
			shape.Data = true
		}
	}
	if media == 0 {
		return Shape{}, unprocessable("the offer has no audio and no video section")
	}
	transport, err := s.transport(active)
	if err != nil {
		return Shape{}, err
	}
	shape.Ufrag, shape.Pwd = transport.ufrag, transport.pwd
	return shape, nil
}

func (s *scan) checkSection(sec *section, want Direction) error {
	switch sec.kind {
	case "audio", "video":
		if !strings.Contains(sec.proto, "/TLS/RTP/SAVP") {
			return unprocessable("media must be DTLS-SRTP, not %q", clip(sec.proto))
		}
		if !sec.rtcpMux {
			return unprocessable("rtcp-mux is required")
		}
	case "application":
		if !strings.HasSuffix(sec.proto, "DTLS/SCTP") {
			return unprocessable("a data section must be DTLS/SCTP, not %q", clip(sec.proto))
		}
		return nil
	default:
		return unprocessable("a section of kind %q is not served", clip(sec.kind))
	}
	dir := sec.direction
	if dir == "" {
		dir = s.session.direction
	}
	switch {
	case want == Publish && (dir == "recvonly" || dir == "inactive"):
		return unprocessable("a publisher's %s section must send, this one is %s", sec.kind, dir)
	case want == Watch && (dir == "sendonly" || dir == "inactive"):
		return unprocessable("a viewer's %s section must receive, this one is %s", sec.kind, dir)
	}
	return nil
}

// transport finds the one transport that all sections share, and checks its
// ICE and DTLS parameters.
func (s *scan) transport(active int) (section, error) {
	var first *section
	for i := range s.sections {
		sec := &s.sections[i]
		if sec.rejected() {
			continue
		}
		if active > 1 && (sec.mid == "" || !slices.Contains(s.bundle, sec.mid)) {
			return section{}, unprocessable("all sections must be in one BUNDLE group")
		}
		if first == nil || len(s.bundle) > 0 && sec.mid == s.bundle[0] {
			first = sec
		}
	}
	t := *first
	t.ufrag, t.pwd = or(t.ufrag, s.session.ufrag), or(t.pwd, s.session.pwd)
	if !iceChars(t.ufrag, 4) {
		return section{}, invalid("the offer has no valid ice-ufrag")
	}
	if !iceChars(t.pwd, 22) {
		return section{}, invalid("the offer has no valid ice-pwd")
	}
	if !t.fingerprint && !s.session.fingerprint {
		return section{}, invalid("the offer has no valid fingerprint")
	}
	return t, nil
}

// iceChars reports whether v has least to 256 of RFC 8839's ice-char.
func iceChars(v string, least int) bool {
	if len(v) < least || len(v) > 256 {
		return false
	}
	for i := range len(v) {
		c := v[i]
		if !alphanumeric(c) && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// clip shortens what a caller sent, for quoting it back.
func clip(v string) string {
	const most = 32
	if len(v) <= most {
		return v
	}
	return fmt.Sprintf("%s…", strings.ToValidUTF8(v[:most], ""))
}
