package wish

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sluice "github.com/sluice-live/sluice"
)

func TestParseFragmentOfRealClients(t *testing.T) {
	tests := []struct {
		name       string
		mid        string
		candidates int
		complete   bool
	}{
		{"chromium-156-whip-whep-js-patch.sdpfrag", "0", 2, true},
		{"firefox-153esr-whip-whep-js-patch.sdpfrag", "0", 8, true},
		{"gstreamer-1.28.8-simple-whip-client-patch1.sdpfrag", "video0", 9, false},
		{"gstreamer-1.28.8-simple-whip-client-patch2.sdpfrag", "video0", 0, true},
	}
	files, _ := filepath.Glob("testdata/*.sdpfrag")
	if len(files) != len(tests) {
		t.Fatalf("%d files", len(files))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ice, err := ParseFragment(readFile(t, tt.name), DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if ice.Mid != tt.mid || len(ice.Candidates) != tt.candidates || ice.Complete != tt.complete {
				t.Errorf("got %+v", ice)
			}
			if len(ice.Ufrag) < 4 || len(ice.Pwd) < 22 {
				t.Errorf("ufrag %q", ice.Ufrag)
			}
			for _, c := range ice.Candidates {
				if !strings.HasPrefix(c, "candidate:") {
					t.Errorf("candidate %q", c)
				}
			}
		})
	}
}

func TestParseFragmentRefuses(t *testing.T) {
	pwd := strings.Repeat("p", 22)
	tests := []struct {
		name, body string
		code       sluice.Code
	}{
		{"nothing", "", sluice.CodeInvalid},
		{"line ends", "\r\n\r\n", sluice.CodeInvalid},
		{"garbage", "garbage", sluice.CodeInvalid},
		{"an offer", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n", sluice.CodeInvalid},
		{"mid only", "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n", sluice.CodeInvalid},
		{"two ufrags", "a=ice-ufrag:aaaa\r\na=ice-ufrag:bbbb\r\n", sluice.CodeInvalid},
		{"short ufrag", "a=ice-ufrag:aaa\r\na=ice-pwd:" + pwd + "\r\n", sluice.CodeInvalid},
		{"pwd without ufrag", "a=ice-pwd:" + pwd + "\r\na=end-of-candidates\r\n", sluice.CodeInvalid},
		{"short pwd", "a=ice-ufrag:aaaa\r\na=ice-pwd:p\r\n", sluice.CodeInvalid},
		{"half a candidate", "a=candidate:1 1 udp\r\n", sluice.CodeInvalid},
		{"too many candidates", strings.Repeat("a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n", 129), sluice.CodeInvalid},
		{"too large", strings.Repeat("a=\r\n", 20000), sluice.CodeTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseFragment(tt.body, DefaultLimits()); sluice.CodeOf(err) != tt.code {
				t.Errorf("got %v, want %q", err, tt.code)
			}
		})
	}
}

func TestFragmentRoundTrip(t *testing.T) {
	ice := sluice.ICE{
		Ufrag: "abcd", Pwd: strings.Repeat("p", 24), Mid: "video0", Complete: true,
		Candidates: []string{
			"candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host",
			"candidate:2 1 tcp 1671430143 0a1b.local 9 typ host tcptype active",
		},
	}
	for _, s := range []iceSession{{}, {lite: true, options: "trickle ice2", bundle: "BUNDLE 0 1", media: "audio 9 UDP/TLS/RTP/SAVPF 111", mid: "0"}} {
		text := s.fragment(ice)
		got, err := ParseFragment(text, DefaultLimits())
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if got.Ufrag != ice.Ufrag || got.Pwd != ice.Pwd || got.Mid != ice.Mid || !got.Complete || !slices.Equal(got.Candidates, ice.Candidates) {
			t.Errorf("got %+v", got)
		}
		if strings.Contains(text, "a=ice-lite\r\n") != s.lite || strings.Contains(text, "a=ice-options:"+s.options) != (s.options != "") {
			t.Errorf("session attributes in %q", text)
		}
	}
}
