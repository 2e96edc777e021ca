package sfu

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// dataSection is the section for data channels of an offer, which Pion does not
// get to see.
type dataSection struct {
	index int // among the sections
	mid   string
	most  uint32 // longest message that the peer takes, in bytes
}

// withholdData takes the section for data channels out of an offer. It reports
// whether there is one that goes with the others over one connection, which is
// not its own.
func (o *offered) withholdData() bool {
	section := &dataSection{index: -1, most: math.MaxUint16} // RFC 8841 section 6.1
	for i, m := range o.desc.MediaDescriptions {
		if m.MediaName.Media != "application" {
			continue
		}
		if section.index >= 0 || !slices.Equal(m.MediaName.Formats, []string{"webrtc-datachannel"}) || !slices.Contains(m.MediaName.Protos, "SCTP") {
			return false
		}
		if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled {
			return false
		}
		section.index = i
		section.mid, _ = m.Attribute("mid")
		if text, ok := m.Attribute("max-message-size"); ok {
			if most, err := strconv.ParseUint(text, 10, 32); err == nil && most > 0 {
				section.most = uint32(most)
			}
		}
	}
	if section.index < 0 || !o.unbundle(section.mid) {
		return false
	}
	o.desc.MediaDescriptions = slices.Delete(o.desc.MediaDescriptions, section.index, section.index+1)
	o.data = section
	return true
}

// unbundle takes a section out of the bundle. It reports false when the section
// is not there, or is the one whose connection the others use.
func (o *offered) unbundle(mid string) bool {
	for i, a := range o.desc.Attributes {
		if a.Key != "group" {
			continue
		}
		mids := strings.Fields(a.Value)
		if len(mids) == 0 || mids[0] != "BUNDLE" {
			continue
		}
		at := slices.Index(mids, mid)
		if mid == "" || at < 2 {
			return false
		}
		attributes := slices.Clone(o.desc.Attributes)
		attributes[i] = sdp.Attribute{Key: "group", Value: strings.Join(slices.Delete(mids, at, at+1), " ")}
		o.desc.Attributes = attributes
		return true
	}
	return false
}

// restoreData puts the section that was withheld into an answer. Its connection is
// that of the first section.
func (o *offered) restoreData(answer string) string {
	if o.data == nil {
		return answer
	}
	const end, begin = "\r\n", "\r\nm="
	parts := strings.Split(answer, begin) // of these the first is no section
	var b strings.Builder
	fmt.Fprintf(&b, "application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\na=sendrecv\r\na=sctp-port:5000\r\na=max-message-size:%d", o.data.mid, sctpMessage)
	if len(parts) > 1 {
		for _, line := range strings.Split(parts[1], end) {
			if strings.HasPrefix(line, "a=setup:") || strings.HasPrefix(line, "a=ice-ufrag:") || strings.HasPrefix(line, "a=ice-pwd:") {
				b.WriteString(end + line)
			}
		}
	}
	at := min(o.data.index+1, len(parts))
	section := b.String()
	if at == len(parts) {
		parts[at-1] = strings.TrimSuffix(parts[at-1], end)
		section += end
	}
	lines := strings.Split(parts[0], end)
	for i, line := range lines {
		if strings.HasPrefix(line, "a=group:BUNDLE") {
			lines[i] += " " + o.data.mid
		}
	}
	parts[0] = strings.Join(lines, end)
	return strings.Join(slices.Insert(parts, at, section), begin)
}
