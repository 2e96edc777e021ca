package wish

import (
	"strings"

	sluice "github.com/sluice-live/sluice"
)

// FragmentType is the media type of an SDP fragment (RFC 8840 section 9).
const FragmentType = "application/trickle-ice-sdpfrag"

// ParseFragment reads an SDP fragment. Media lines only separate: their content
// is not looked at, the mid counts (RFC 9725 section 4.3.2). Candidates are kept
// as they are, usable or not. A fragment that says nothing about ICE, or says
// two different things, is CodeInvalid.
func ParseFragment(body string, limits Limits) (sluice.ICE, error) {
	var ice sluice.ICE
	if len(body) > limits.BodyBytes {
		return ice, sluice.Errorf(sluice.CodeTooLarge, "the fragment has more than %d bytes", limits.BodyBytes)
	}
	f := fragment{limits: limits}
	for body != "" {
		var line string
		line, body, _ = strings.Cut(body, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		key, value, err := splitLine(line, limits.LineBytes)
		if err != nil {
			return ice, err
		}
		switch key {
		case 'm':
			f.sections++
			f.mid = ""
		case 'a':
			err = f.attribute(value)
		case 'c':
		default:
			err = invalid("a fragment holds only media lines and attributes")
		}
		if err != nil {
			return ice, err
		}
	}
	return f.result()
}

type fragment struct {
	limits   Limits
	ice      sluice.ICE
	mid      string // of the section being read
	sections int
}

func (f *fragment) attribute(value string) error {
	name, rest, _ := strings.Cut(value, ":")
	switch name {
	case "mid":
		f.mid = rest
		if f.ice.Mid == "" {
			f.ice.Mid = rest
		}
	case "ice-ufrag":
		return once(&f.ice.Ufrag, rest, 4, "ice-ufrag")
	case "ice-pwd":
		return once(&f.ice.Pwd, rest, 22, "ice-pwd")
	case "end-of-candidates":
		f.ice.Complete = true
	case "candidate":
		return f.candidate(value)
	}
	return nil // others, and Firefox's empty one, say nothing about ICE
}

func (f *fragment) candidate(value string) error {
	fields := strings.Fields(value)
	if len(fields) < 8 || fields[6] != "typ" {
		return invalid("a candidate is malformed")
	}
	if len(f.ice.Candidates) >= f.limits.Candidates {
		return invalid("the fragment has more than %d candidates", f.limits.Candidates)
	}
	if len(f.ice.Candidates) == 0 && f.mid != "" {
		f.ice.Mid = f.mid
	}
	f.ice.Candidates = append(f.ice.Candidates, value)
	return nil
}

// once sets an ICE parameter that may be repeated, but not with another value.
func once(to *string, v string, least int, name string) error {
	if !iceChars(v, least) {
		return invalid("the %s is malformed", name)
	}
	if *to != "" && *to != v {
		return invalid("the fragment has two different values of %s", name)
	}
	*to = v
	return nil
}

func (f *fragment) result() (sluice.ICE, error) {
	ice := f.ice
	if ice.Ufrag == "" && len(ice.Candidates) == 0 && !ice.Complete {
		return sluice.ICE{}, invalid("the fragment says nothing about ICE")
	}
	if ice.Pwd != "" && ice.Ufrag == "" {
		return sluice.ICE{}, invalid("the fragment has an ice-pwd without an ice-ufrag")
	}
	return ice, nil
}

// iceSession is what an answer says about ICE at its session level, and which
// section carries the transport. A restart must repeat it (RFC 9725 section 4.3.3).
type iceSession struct {
	lite    bool
	options string // value of a=ice-options, "" when there was none
	bundle  string // value of a=group:BUNDLE …
	media   string // first media line, without "m="
	mid     string
}

func readAnswer(answer string) iceSession {
	var s iceSession
	sections := 0
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		if v, ok := strings.CutPrefix(line, "m="); ok {
			if sections++; sections == 1 {
				s.media = v
			}
		}
		name, v, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch name {
		case "ice-lite":
			s.lite = true
		case "ice-options":
			if s.options == "" {
				s.options = v
			}
		case "group":
			if strings.HasPrefix(v, "BUNDLE ") {
				s.bundle = v
			}
		case "mid":
			if s.mid == "" {
				s.mid = v
			}
		}
	}
	return s
}

// fragment renders the server's side of an ICE restart.
func (s iceSession) fragment(ice sluice.ICE) string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, p := range parts {
			b.WriteString(p)
		}
		b.WriteString("\r\n")
	}
	if s.lite {
		line("a=ice-lite")
	}
	if s.options != "" {
		line("a=ice-options:", s.options)
	}
	if s.bundle != "" {
		line("a=group:", s.bundle)
	}
	line("m=", or(s.media, "audio 9 UDP/TLS/RTP/SAVPF 0"))
	line("a=mid:", or(or(ice.Mid, s.mid), "0"))
	line("a=ice-ufrag:", ice.Ufrag)
	line("a=ice-pwd:", ice.Pwd)
	for _, c := range ice.Candidates {
		line("a=", c)
	}
	if ice.Complete {
		line("a=end-of-candidates")
	}
	return b.String()
}
