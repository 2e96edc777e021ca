package sfu

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// oneWay leaves of sections that send and receive the way that the session takes:
// Pion would answer that it does both, too.
func (o *offered) oneWay(r role) {
	way := "sendonly"
	if r == viewing {
		way = "recvonly"
	}
	session := direction(o.desc.Attributes)
	for _, m := range o.desc.MediaDescriptions {
		if m.MediaName.Media != "audio" && m.MediaName.Media != "video" {
			continue
		}
		said := direction(m.Attributes)
		if said == "" {
			said = session
		}
		if said != "" && said != "sendrecv" { // which nothing stands for (RFC 8866 section 6.7)
			continue
		}
		m.Attributes = append(slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool { return a.Key == "sendrecv" }), sdp.NewPropertyAttribute(way))
	}
}

// direction is what attributes say of it, "" for nothing.
func direction(attributes []sdp.Attribute) string {
	for _, a := range attributes {
		switch a.Key {
		case "sendrecv", "sendonly", "recvonly", "inactive":
			return a.Key
		}
	}
	return ""
}

// reduced takes reduced-size RTCP out of the sections of an answer for which it was not
// offered (RFC 5506 section 5.1): Pion always answers it.
func (o *offered) reduced(answer string) string {
	const begin = "\r\nm="
	parts := strings.Split(answer, begin) // of these the first is no section
	for i, m := range o.desc.MediaDescriptions {
		if _, offered := m.Attribute("rtcp-rsize"); !offered && i+1 < len(parts) {
			parts[i+1] = strings.Replace(parts[i+1], "\r\na=rtcp-rsize", "", 1)
		}
	}
	return strings.Join(parts, begin)
}
