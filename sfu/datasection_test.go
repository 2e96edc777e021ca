package sfu

import (
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

// dataOffer is an offer with a data section between sound and picture.
func dataOffer(group, data string) string {
	lines := []string{
		"v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:" + group,
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=mid:a",
	}
	lines = append(lines, strings.Split(data, "|")...)
	lines = append(lines, "m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=mid:v", "")
	return strings.Join(lines, "\r\n")
}

const dataLines = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel|c=IN IP4 0.0.0.0|a=mid:d|a=sctp-port:5000"

func TestWithhold(t *testing.T) {
	for name, tt := range map[string]struct {
		group, data string
		want        bool
		most        uint32
	}{
		"browsers":             {"BUNDLE a d v", dataLines + "|a=max-message-size:262144", true, 262144},
		"size unsaid":          {"BUNDLE a d v", dataLines, true, 65535},
		"any size":             {"BUNDLE a d v", dataLines + "|a=max-message-size:0", true, 65535},
		"bundled only":         {"BUNDLE a d v", strings.Replace(dataLines, " 9 ", " 0 ", 1) + "|a=bundle-only", true, 65535},
		"refused":              {"BUNDLE a d v", strings.Replace(dataLines, " 9 ", " 0 ", 1), false, 0},
		"its own connection":   {"BUNDLE a v", dataLines, false, 0},
		"first of the bundle":  {"BUNDLE d a v", dataLines, false, 0},
		"another group":        {"LS a d", dataLines, false, 0},
		"without a name":       {"BUNDLE a d v", strings.Replace(dataLines, "a=mid:d", "a=x", 1), false, 0},
		"another format":       {"BUNDLE a d v", strings.Replace(dataLines, "webrtc-datachannel", "5000", 1), false, 0},
		"two of them":          {"BUNDLE a d v", dataLines + "|" + dataLines, false, 0},
		"nothing of the kind":  {"BUNDLE a v", "a=sendrecv", false, 0},
		"not over SCTP at all": {"BUNDLE a d v", strings.Replace(dataLines, "DTLS/SCTP", "TLS/BFCP", 1), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parseOffer(dataOffer(tt.group, tt.data))
			if err != nil {
				t.Fatal(err)
			}
			before, err := o.text()
			if err != nil {
				t.Fatal(err)
			}
			got := o.withholdData()
			text, err := o.text()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case got != tt.want:
				t.Fatalf("withheld: %t", got)
			case !got && text != before:
				t.Errorf("the offer has changed:\n%s", text)
			case got && (strings.Contains(text, "m=application") || !strings.Contains(text, "a=group:BUNDLE a v\r\n") || o.data.most != tt.most):
				t.Errorf("most %d, the offer is\n%s", o.data.most, text)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	answer := strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE a v",
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:a", "a=setup:passive", "a=ice-ufrag:u", "a=ice-pwd:p",
		"m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", "",
	}, "\r\n")
	if got := (&offered{}).restoreData(answer); got != answer {
		t.Errorf("nothing was withheld, and the answer is\n%s", got)
	}
	for index := range 3 {
		text := (&offered{data: &dataSection{index: index, mid: "d"}}).restoreData(answer)
		var desc sdp.SessionDescription
		if err := desc.UnmarshalString(text); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		if len(desc.MediaDescriptions) != 3 || !strings.HasSuffix(text, "\r\n") || !strings.Contains(text, "a=group:BUNDLE a v d\r\n") {
			t.Fatalf("the answer is\n%s", text)
		}
		m := desc.MediaDescriptions[index]
		for key, want := range map[string]string{"mid": "d", "setup": "passive", "ice-ufrag": "u", "ice-pwd": "p", "max-message-size": "16384", "sctp-port": "5000"} {
			if got, _ := m.Attribute(key); got != want {
				t.Errorf("%s is %q at %d:\n%s", key, got, index, text)
			}
		}
		if m.MediaName.Media != "application" || m.MediaName.Port.Value != 9 {
			t.Errorf("the section is %v", m.MediaName)
		}
	}
}

// FuzzDataSection withholds the section of what anybody may offer, and puts it
// back.
func FuzzDataSection(f *testing.F) {
	f.Add(dataOffer("BUNDLE a d v", dataLines))
	f.Add(dataOffer("BUNDLE a d v", dataLines+"|a=max-message-size:99999999999"))
	f.Add(dataOffer("BUNDLE", dataLines))
	f.Add("v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOffer(text)
		if err != nil {
			return
		}
		sections := len(o.desc.MediaDescriptions)
		withheld := o.withholdData()
		left, err := o.text()
		if err != nil {
			return // Pion reads what it does not write
		}
		if !withheld {
			if got := o.restoreData(left); got != left || len(o.desc.MediaDescriptions) != sections {
				t.Errorf("nothing was withheld, and there is\n%s", got)
			}
			return
		}
		if len(o.desc.MediaDescriptions) != sections-1 || o.data.mid == "" || o.data.most == 0 {
			t.Errorf("withheld %+v of\n%s", *o.data, text)
		}
		if got := strings.Count(o.restoreData(left), "\r\nm="); got != strings.Count(left, "\r\nm=")+1 {
			t.Errorf("%d sections of\n%s", got, left)
		}
	})
}
