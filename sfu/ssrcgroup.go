package sfu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Simulcast by SSRC groups is what encoders without RIDs offer: one media section
// with several SSRCs, named by a=ssrc-group:SIM from the smallest picture to the
// largest (RFC 5576 defines the attribute). Pion knows one SSRC for each section;
// so the section is shown to it as several, of which the peer hears nothing.

// expand splits a video section with a SIM group into one for each layer.
func (o *offered) expand() {
	m := o.section("video")
	if m == nil || o.simulcast() {
		return
	}
	groups := ssrcGroups(m)
	group := slices.IndexFunc(groups, func(g []string) bool { return g[0] == "SIM" })
	if group < 0 {
		return
	}
	ssrcs := slices.Compact(slices.Sorted(slices.Values(groups[group][1:])))
	if len(ssrcs) != len(groups[group])-1 || len(ssrcs) < 2 || len(ssrcs) > maxLayers {
		return
	}
	mid, _ := m.Attribute("mid")
	whole := m.Attributes
	o.groups = map[uint32]string{}
	for i, ssrc := range groups[group][1:] {
		number, err := strconv.ParseUint(ssrc, 10, 32)
		if err != nil {
			o.groups = nil
			return
		}
		o.groups[uint32(number)] = strconv.Itoa(i)
	}
	for i, ssrc := range groups[group][1:] {
		section := m
		if i > 0 {
			clone := *m
			section = &clone
		}
		section.Attributes = only(whole, ssrc, repairOf(groups, ssrc), i, mid)
		if i > 0 {
			o.clones = append(o.clones, midOf(mid, i))
			o.desc.MediaDescriptions = append(o.desc.MediaDescriptions, section)
		}
	}
	o.desc.Attributes = bundled(o.desc.Attributes, mid, o.clones)
}

// midOf names the i-th copy of a section.
func midOf(mid string, i int) string { return fmt.Sprintf("%s-layer%d", mid, i) }

// ssrcGroups lists the groups of a section: semantics and SSRCs.
func ssrcGroups(m *sdp.MediaDescription) (groups [][]string) {
	for _, a := range m.Attributes {
		if fields := strings.Fields(a.Value); a.Key == "ssrc-group" && len(fields) > 1 {
			groups = append(groups, fields)
		}
	}
	return groups
}

// repairOf returns the SSRC of a layer's retransmissions, "" for none.
func repairOf(groups [][]string, ssrc string) string {
	for _, g := range groups {
		if g[0] == "FID" && len(g) == 3 && g[1] == ssrc {
			return g[2]
		}
	}
	return ""
}

// only returns the attributes of a section with the SSRCs of the i-th layer
// alone. Copies have a mid and a track of their own, and no candidates.
func only(whole []sdp.Attribute, ssrc, repair string, i int, mid string) []sdp.Attribute {
	var out []sdp.Attribute
	for _, a := range whole {
		id, rest, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "ssrc-group":
			continue
		case "ssrc":
			if id != ssrc && id != repair {
				continue
			}
			if stream, track, ok := strings.Cut(strings.TrimPrefix(rest, "msid:"), " "); ok && strings.HasPrefix(rest, "msid:") && i > 0 {
				a.Value = fmt.Sprintf("%s msid:%s %s-%d", id, stream, track, i)
			}
		case "msid":
			if i > 0 {
				a.Value = fmt.Sprintf("%s-%d", a.Value, i)
			}
		case "mid":
			if i > 0 {
				a.Value = midOf(mid, i)
			}
		case "candidate", "end-of-candidates":
			if i > 0 {
				continue
			}
		}
		out = append(out, a)
	}
	if repair != "" {
		out = append(out, sdp.Attribute{Key: "ssrc-group", Value: "FID " + ssrc + " " + repair})
	}
	return out
}

// bundled adds the copies of a section to its bundle.
func bundled(attributes []sdp.Attribute, mid string, clones []string) []sdp.Attribute {
	out := slices.Clone(attributes)
	for i, a := range out {
		if fields := strings.Fields(a.Value); a.Key == "group" && len(fields) > 0 && fields[0] == "BUNDLE" && slices.Contains(fields, mid) {
			out[i].Value += " " + strings.Join(clones, " ")
		}
	}
	return out
}

// collapse takes the copies of a section out of an answer.
func (o *offered) collapse(answer string) (string, error) {
	if len(o.clones) == 0 {
		return answer, nil
	}
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(answer); err != nil {
		return "", err
	}
	desc.MediaDescriptions = slices.DeleteFunc(desc.MediaDescriptions, func(m *sdp.MediaDescription) bool {
		mid, _ := m.Attribute("mid")
		return slices.Contains(o.clones, mid)
	})
	for i, a := range desc.Attributes {
		if a.Key == "group" {
			fields := slices.DeleteFunc(strings.Fields(a.Value), func(mid string) bool { return slices.Contains(o.clones, mid) })
			desc.Attributes[i].Value = strings.Join(fields, " ")
		}
	}
	b, err := desc.Marshal()
	return string(b), err
}
