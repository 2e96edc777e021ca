package sfu

import (
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

// TestAnswerNamesAllCodecs: a viewer can show what the next publisher sends, each
// codec in one format with its retransmissions and feedback.
func TestAnswerNamesAllCodecs(t *testing.T) {
	s := newTestSFU(t, Config{Wait: true})
	for _, file := range []string{"chromium-156-whep-offer.sdp", "firefox-153esr-whep-offer.sdp"} {
		offer := offerOf(t, file)
		v, err := s.Watch(t.Context(), offer)
		if err != nil {
			t.Fatal(err)
		}
		var got sdp.SessionDescription
		if err := got.UnmarshalString(v.Answer()); err != nil {
			t.Fatalf("%v\n%s", err, v.Answer())
		}
		at := slices.IndexFunc(got.MediaDescriptions, func(m *sdp.MediaDescription) bool { return m.MediaName.Media == "video" })
		m := got.MediaDescriptions[at]
		names := map[string]int{}
		for _, f := range parseFormats(m) {
			names[f.name]++
			if f.name != "rtx" && (!slices.Contains(f.feedback, "nack") || !slices.Contains(f.feedback, "nack pli")) {
				t.Errorf("%s: %s has feedback %v", file, f.name, f.feedback)
			}
		}
		codecs := 0
		for _, name := range []string{"VP8", "VP9", "H264", "AV1", "H265"} {
			if strings.Contains(offer.SDP, " "+name+"/90000") {
				codecs++
				if names[name] != 1 {
					t.Errorf("%s: %s is named %d times\n%s", file, name, names[name], v.Answer())
				}
			}
		}
		if codecs < 3 || names["rtx"] != codecs || len(m.MediaName.Formats) != 2*codecs {
			t.Errorf("%s: %d codecs, formats %v of %v", file, codecs, names, m.MediaName.Formats)
		}
		for _, f := range v.video.formats {
			if f.rtx == 0 || v.video.rtxSSRC == 0 {
				t.Errorf("%s: %s without retransmission", file, f.codec)
			}
		}
		if len(v.video.formats) != codecs {
			t.Errorf("%s: %d formats to send", file, len(v.video.formats))
		}
	}
}
