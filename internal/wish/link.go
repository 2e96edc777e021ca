package wish

import "strings"

// Link is one value of a Link header (RFC 8288).
type Link struct {
	URL    string // goes out as it is: a STUN or TURN URI keeps its query
	Rel    string
	Params []Param // in this order
}

// Param is one attribute of a Link.
type Param struct{ Name, Value string }

// String renders the link. It returns "" when the URL cannot stand in a header.
func (l Link) String() string {
	if l.URL == "" || strings.ContainsFunc(l.URL, notInURL) {
		return ""
	}
	var b strings.Builder
	b.WriteString("<" + l.URL + ">; rel=" + quote(l.Rel))
	for _, p := range l.Params {
		b.WriteString("; " + p.Name + "=" + quote(p.Value))
	}
	return b.String()
}

// Param returns the value of an attribute, "" when it is missing.
func (l Link) Param(name string) string {
	for _, p := range l.Params {
		if strings.EqualFold(p.Name, name) {
			return p.Value
		}
	}
	return ""
}

// notInToken reports whether r cannot stand in an HTTP token.
func notInToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func notInURL(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == 0x7f }

// quote renders an HTTP quoted-string; control characters are left out.
func quote(v string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(v) {
		switch c := v[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= ' ' && c != 0x7f:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// ICEServer is a STUN or TURN server that a client is told to use.
type ICEServer struct {
	URLs       []string
	Username   string // TURN only
	Credential string // TURN only: a password
}

// Links returns one link for each URL (RFC 9725 section 4.6).
func (s ICEServer) Links() []Link {
	links := make([]Link, 0, len(s.URLs))
	for _, u := range s.URLs {
		l := Link{URL: u, Rel: "ice-server"}
		if s.Username != "" {
			l.Params = []Param{
				{"username", s.Username}, {"credential", s.Credential}, {"credential-type", "password"},
			}
		}
		links = append(links, l)
	}
	return links
}

// ParseLinks reads Link headers, several links in one header included. What
// cannot be read ends that header's list.
func ParseLinks(headers []string) []Link {
	var links []Link
	for _, h := range headers {
		for h != "" {
			l, rest, ok := parseLink(h)
			if !ok {
				break
			}
			links = append(links, l)
			h = rest
		}
	}
	return links
}

func parseLink(h string) (l Link, rest string, ok bool) {
	h = strings.TrimLeft(h, " \t,")
	if !strings.HasPrefix(h, "<") {
		return l, "", false
	}
	l.URL, h, ok = strings.Cut(h[1:], ">")
	if !ok || l.URL == "" || strings.ContainsFunc(l.URL, notInURL) {
		return l, "", false
	}
	for {
		h = strings.TrimLeft(h, " \t")
		if h == "" || h[0] == ',' {
			return l, strings.TrimPrefix(h, ","), true
		}
		if h[0] != ';' {
			return l, "", false
		}
		var p Param
		if p, h, ok = parseParam(h[1:]); !ok {
			return l, "", false
		}
		switch {
		case p.Name == "" || strings.ContainsFunc(p.Name, notInToken):
		case strings.EqualFold(p.Name, "rel"):
			l.Rel = or(l.Rel, p.Value)
		default:
			l.Params = append(l.Params, p)
		}
	}
}

func parseParam(h string) (p Param, rest string, ok bool) {
	h = strings.TrimLeft(h, " \t")
	end := strings.IndexAny(h, "=;,")
	if end < 0 {
		return Param{Name: strings.TrimSpace(h)}, "", true
	}
	p.Name = strings.TrimSpace(h[:end])
	if h[end] != '=' {
		return p, h[end:], true
	}
	h = strings.TrimLeft(h[end+1:], " \t")
	if !strings.HasPrefix(h, `"`) {
		end = strings.IndexAny(h, ";, \t")
		if end < 0 {
			end = len(h)
		}
		p.Value = h[:end]
		return p, h[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(h); i++ {
		switch h[i] {
		case '"':
			p.Value = b.String()
			return p, h[i+1:], true
		case '\\':
			if i++; i == len(h) {
				return p, "", false
			}
		}
		b.WriteByte(h[i])
	}
	return p, "", false
}
