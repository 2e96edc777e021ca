package sfu

import (
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/sluice-live/sluice"
)

// replaceICE returns attributes with other ICE credentials; candidates are
// dropped, and those of remote added when withCandidates is set.
func replaceICE(attributes []sdp.Attribute, remote sluice.ICE, withCandidates bool) []sdp.Attribute {
	var out []sdp.Attribute
	for _, a := range attributes {
		switch a.Key {
		case "ice-ufrag":
			a.Value = remote.Ufrag
		case "ice-pwd":
			a.Value = remote.Pwd
		case sdp.AttrKeyCandidate, sdp.AttrKeyEndOfCandidates:
			continue
		}
		out = append(out, a)
	}
	if withCandidates {
		for _, c := range remote.Candidates {
			out = append(out, sdp.Attribute{Key: sdp.AttrKeyCandidate, Value: strings.TrimPrefix(c, "candidate:")})
		}
	}
	return out
}

// iceOf reads the ICE parameters and candidates of a description.
func iceOf(text string) (sluice.ICE, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(text); err != nil {
		return sluice.ICE{}, err
	}
	ice := sluice.ICE{Complete: true}
	read := func(attributes []sdp.Attribute) {
		for _, a := range attributes {
			switch a.Key {
			case "ice-ufrag":
				ice.Ufrag = a.Value
			case "ice-pwd":
				ice.Pwd = a.Value
			case sdp.AttrKeyCandidate:
				ice.Candidates = append(ice.Candidates, "candidate:"+a.Value)
			}
		}
	}
	read(desc.Attributes)
	if len(desc.MediaDescriptions) > 0 {
		first := desc.MediaDescriptions[0]
		ice.Mid, _ = first.Attribute(sdp.AttrKeyMID)
		read(first.Attributes)
	}
	return ice, nil
}
