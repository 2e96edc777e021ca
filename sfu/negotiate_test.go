package sfu

import (
	"slices"
	"testing"
)

// TestREMBIsTakenWhereNothingElseTells: layers may come after the viewer.
func TestREMBIsTakenWhereNothingElseTells(t *testing.T) {
	const session = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
	for _, tt := range []struct {
		name, lines   string
		role          role
		layered, want bool
	}{
		{"layers", "a=rtcp-fb:96 transport-cc\r\n", viewing, true, true},
		{"one layer", "a=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\n", viewing, false, false},
		{"one layer, for all formats", "a=rtcp-fb:* transport-cc\r\na=rtpmap:97 rtx/90000\r\n", viewing, false, false},
		{"one layer without retransmissions", "a=rtcp-fb:96 transport-cc\r\n", viewing, false, true},
		{"one layer without transport-cc", "", viewing, false, true},
		{"publisher", "", publishing, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseOffer(session + tt.lines)
			if err != nil {
				t.Fatal(err)
			}
			m := o.section("video")
			codecs := offeredCodecs(m, termsFor(tt.role, tt.layered).feedbackFor(m, tt.role))
			var got []string
			for _, fb := range codecs[0].RTCPFeedback {
				got = append(got, fb.Type)
			}
			if slices.Contains(got, "goog-remb") != tt.want {
				t.Errorf("agreed to %v", got)
			}
			if _, err := o.mediaEngine(termsFor(tt.role, tt.layered), tt.role, nil); err != nil {
				t.Fatal(err)
			}
			if _, timed := m.Attribute("extmap"); timed != tt.want {
				t.Errorf("the time of sending is taken: %v", timed)
			}
		})
	}
}
