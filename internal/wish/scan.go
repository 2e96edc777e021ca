package wish

import (
	"strings"

	sluice "github.com/sluice-live/sluice"
)

// section is what one media section, or the session part before the first,
// says. Only what the check needs is kept.
type section struct {
	kind, port, proto string
	mid, direction    string
	ufrag, pwd        string
	fingerprint       bool
	rtcpMux           bool
	bundleOnly        bool
	rids              []string
}

// rejected reports whether the offerer itself has switched the section off
// (port 0, and not because it is bundle-only).
func (s *section) rejected() bool { return s.port == "0" && !s.bundleOnly }

type scan struct {
	limits     Limits
	session    section
	sections   []section
	bundle     []string
	attributes int
	candidates int
	ssrcs      map[string]struct{}
	rids       int
}

// scanOffer walks the lines once, within the limits.
func scanOffer(offer string, limits Limits) (*scan, error) {
	s := &scan{limits: limits, ssrcs: make(map[string]struct{}, 8)}
	for n := 0; offer != ""; n++ {
		var line string
		line, offer, _ = strings.Cut(offer, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "" && offer == "" {
			break // a last empty line
		}
		key, value, err := splitLine(line, limits.LineBytes)
		if err != nil {
			return nil, err
		}
		if n == 0 && line != "v=0" {
			return nil, invalid("an SDP offer begins with v=0")
		}
		switch key {
		case 'm':
			err = s.media(value)
		case 'a':
			err = s.attribute(value)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(s.sections) == 0 {
		return nil, invalid("the offer has no media section")
	}
	return s, nil
}

// splitLine returns the parts of "k=value".
func splitLine(line string, most int) (key byte, value string, err error) {
	if len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' {
		return 0, "", invalid("a line is not of the form type=value")
	}
	if len(line) > most {
		return 0, "", sluice.Errorf(sluice.CodeTooLarge, "a line has more than %d bytes", most)
	}
	for i := range len(line) {
		if line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
			return 0, "", invalid("a line holds a control character")
		}
	}
	return line[0], line[2:], nil
}

func (s *scan) media(value string) error {
	if len(s.sections) >= s.limits.Sections {
		return unprocessable("the offer has more than %d media sections", s.limits.Sections)
	}
	fields := strings.Fields(value)
	if len(fields) < 4 {
		return invalid("a media line has fewer than four parts")
	}
	s.sections = append(s.sections, section{kind: fields[0], port: fields[1], proto: fields[2]})
	return nil
}

func (s *scan) attribute(value string) error {
	s.attributes++
	if s.attributes > s.limits.Attributes {
		return unprocessable("the offer has more than %d attributes", s.limits.Attributes)
	}
	cur := &s.session
	if len(s.sections) > 0 {
		cur = &s.sections[len(s.sections)-1]
	}
	name, rest, _ := strings.Cut(value, ":")
	switch name {
	case "sendrecv", "sendonly", "recvonly", "inactive":
		cur.direction = name
	case "mid":
		cur.mid = rest
	case "ice-ufrag":
		cur.ufrag = rest
	case "ice-pwd":
		cur.pwd = rest
	case "rtcp-mux", "rtcp-mux-only":
		cur.rtcpMux = true
	case "bundle-only":
		cur.bundleOnly = true
	case "fingerprint":
		if !validFingerprint(rest) {
			return invalid("a fingerprint is malformed")
		}
		cur.fingerprint = true
	case "setup":
		return checkSetup(rest)
	case "group":
		return s.group(rest)
	case "candidate":
		return s.candidate()
	case "rid":
		return s.rid(cur, rest)
	case "simulcast":
		return s.simulcast(rest)
	case "ssrc", "ssrc-group":
		return s.ssrc(name, rest)
	}
	return nil
}

func checkSetup(v string) error {
	switch v {
	case "actpass", "active", "passive":
		return nil
	}
	return invalid("setup must be actpass, active or passive")
}

func (s *scan) group(v string) error {
	fields := strings.Fields(v)
	if len(fields) == 0 || fields[0] != "BUNDLE" {
		return nil // LS and others
	}
	if len(s.bundle) > 0 && len(fields) > 1 {
		return unprocessable("only one BUNDLE group is served")
	}
	s.bundle = fields[1:]
	return nil
}

func (s *scan) candidate() error {
	s.candidates++
	if s.candidates > s.limits.Candidates {
		return invalid("the offer has more than %d candidates", s.limits.Candidates)
	}
	return nil
}

func (s *scan) rid(cur *section, v string) error {
	id, _, _ := strings.Cut(v, " ")
	if err := sluice.CheckRID(id); err != nil {
		return err
	}
	if s.rids++; s.rids > s.limits.RIDs {
		return unprocessable("the offer has more than %d rids", s.limits.RIDs)
	}
	cur.rids = append(cur.rids, id)
	return nil
}

// simulcast counts the streams of each direction, alternatives included.
func (s *scan) simulcast(v string) error {
	for _, list := range strings.Fields(v) {
		if n := 1 + strings.Count(list, ";") + strings.Count(list, ","); n > s.limits.RIDs {
			return unprocessable("the offer has more than %d simulcast streams", s.limits.RIDs)
		}
	}
	return nil
}

func (s *scan) ssrc(name, v string) error {
	fields := strings.Fields(v)
	if len(fields) == 0 {
		return invalid("an %s attribute is empty", name)
	}
	ids := fields[:1]
	if name == "ssrc-group" {
		ids = fields[1:]
	}
	for _, id := range ids {
		s.ssrcs[id] = struct{}{}
		if len(s.ssrcs) > s.limits.SSRCs {
			return unprocessable("the offer names more than %d SSRCs", s.limits.SSRCs)
		}
	}
	return nil
}

// validFingerprint reports whether v is "hash XX:XX:…" (RFC 8122) of at least
// 20 bytes, which is SHA-1.
func validFingerprint(v string) bool {
	hash, digits, ok := strings.Cut(v, " ")
	if !ok || !strings.HasPrefix(strings.ToLower(hash), "sha-") || len(digits) < 59 || len(digits)%3 != 2 {
		return false
	}
	for i := range len(digits) {
		c := digits[i]
		if i%3 == 2 {
			if c != ':' {
				return false
			}
			continue
		}
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if !hex {
			return false
		}
	}
	return true
}
