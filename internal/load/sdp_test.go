package load

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

func offerOf(publish bool) offer {
	return offer{
		local: credentials{"ufrag", "password"}, fingerprint: "sha-256 AB:CD", candidate: netip.MustParseAddrPort("127.0.0.1:1234"),
		codec: VP8, publish: publish, ssrc: 77, twcc: true, remb: true,
	}
}

func TestOfferParses(t *testing.T) {
	for _, publish := range []bool{true, false} {
		text := offerOf(publish).String()
		var desc sdp.SessionDescription
		if err := desc.UnmarshalString(text); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		sections, direction := 2, "recvonly"
		if publish {
			sections, direction = 1, "sendonly"
		}
		if len(desc.MediaDescriptions) != sections {
			t.Errorf("%d sections", len(desc.MediaDescriptions))
		}
		for _, m := range desc.MediaDescriptions {
			if _, ok := m.Attribute(direction); !ok {
				t.Errorf("%s is not %s", m.MediaName.Media, direction)
			}
		}
		video := desc.MediaDescriptions[0]
		if video.MediaName.Formats[0] != "104" {
			t.Errorf("the preferred codec is %v", video.MediaName.Formats)
		}
		if c, ok := video.Attribute("candidate"); !ok || !strings.Contains(c, "127.0.0.1 1234 typ host") {
			t.Errorf("candidate %q", c)
		}
	}
}

func TestChatOffer(t *testing.T) {
	o := offerOf(false)
	o.chat = true
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(o.String()); err != nil {
		t.Fatalf("%v in\n%s", err, o)
	}
	var sections []string
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		sections = append(sections, m.MediaName.Media+" "+mid)
	}
	if got := strings.Join(sections, ", "); got != "audio 0, application 1" {
		t.Errorf("sections %s", got)
	}
}

const answerText = `v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 AA:BB
a=group:BUNDLE 0
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=setup:passive
a=mid:0
a=ice-ufrag:u
a=ice-pwd:p
a=rtpmap:96 H264/90000
a=rtpmap:97 rtx/90000
a=extmap:3/recvonly http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=candidate:1 1 udp 2130706431 127.0.0.1 8189 typ host
a=candidate:1 2 udp 2130706431 127.0.0.1 8190 typ host
a=candidate:2 1 tcp 1 127.0.0.1 8189 typ host tcptype passive
a=candidate:3 1 UDP 2130706431 ::1 8189 typ host
a=candidate:4 1 udp 2130706431 abc.local 8189 typ host
m=audio 0 UDP/TLS/RTP/SAVPF 111
a=rtpmap:111 opus/48000/2
`

func TestAnswer(t *testing.T) {
	a, err := parseAnswer(strings.ReplaceAll(answerText, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a.remote != (credentials{"u", "p"}) || a.fingerprint != "sha-256 AA:BB" || !a.dtlsClient || a.twccExt != 3 {
		t.Errorf("got %+v", a)
	}
	if len(a.formats) != 2 || a.formats[96] != "h264" || a.formats[97] != "rtx" {
		t.Errorf("formats %v", a.formats)
	}
	if got := a.reachable(netip.MustParseAddr("127.0.0.1")); len(got) != 1 || got[0] != netip.MustParseAddrPort("127.0.0.1:8189") {
		t.Errorf("reachable from IPv4: %v", got)
	}
	if got := a.reachable(netip.MustParseAddr("::1")); len(got) != 1 || got[0].Addr() != netip.IPv6Loopback() {
		t.Errorf("reachable from IPv6: %v", got)
	}
	if pt, err := a.publishedAs(H264); err != nil || pt != 96 {
		t.Errorf("H.264 as %d, %v", pt, err)
	}
	if _, err := a.publishedAs(VP8); err == nil {
		t.Error("VP8 is accepted")
	}
}

func TestAnswerRefused(t *testing.T) {
	tests := []struct{ name, old, replacement, why string }{
		{"no SDP", "v=0", "x", "does not parse"},
		{"no video", "m=video 9", "m=video 0", "refuses video"},
		{"no credentials", "a=ice-ufrag:u", "a=x", "credentials"},
		{"no fingerprint", "a=fingerprint:sha-256 AA:BB", "a=x", "fingerprint"},
	}
	for _, tt := range tests {
		_, err := parseAnswer(strings.Replace(answerText, tt.old, tt.replacement, 1))
		if err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	active, err := parseAnswer(strings.Replace(answerText, "a=setup:passive", "a=setup:active", 1))
	if err != nil || active.dtlsClient {
		t.Errorf("setup:active makes us the DTLS client: %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(answerText)
	f.Add(offerOf(true).String())
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAnswer(text)
		if err == nil && (a.remote.ufrag == "" || a.fingerprint == "") {
			t.Error("an answer without credentials is accepted")
		}
	})
}
