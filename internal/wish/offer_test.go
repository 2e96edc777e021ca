package wish

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
)

func directionOf(file string) Direction {
	if strings.Contains(file, "whep") {
		return Watch
	}
	return Publish
}

func TestCheckOfferOfRealClients(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d offers, %v", len(files), err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		t.Run(name, func(t *testing.T) {
			shape, err := CheckOffer(readFile(t, name), directionOf(name), DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if len(shape.Ufrag) < 4 || len(shape.Pwd) < 22 || shape.Video < 0 {
				t.Errorf("shape %+v", shape)
			}
			if want := strings.Contains(name, "datachannel"); shape.Data != want {
				t.Errorf("data section %v, want %v", shape.Data, want)
			}
			if strings.Contains(name, "simulcast") && strings.Join(shape.RIDs, ",") != "q,h,f" {
				t.Errorf("rids %v", shape.RIDs)
			}
			if strings.Contains(name, "gstreamer") && (shape.Video != 0 || shape.VideoMid != "video0" || shape.AudioMid != "audio1") {
				t.Errorf("shape %+v", shape)
			}
			lf := strings.ReplaceAll(readFile(t, name), "\r\n", "\n")
			if _, err := CheckOffer(lf, directionOf(name), DefaultLimits()); err != nil {
				t.Errorf("with bare line feeds: %v", err)
			}
		})
	}
}

// edit returns OBS's offer with one replacement.
func edit(t testing.TB, from, to string) string {
	t.Helper()
	offer := readFile(t, "obs-32.2.2-whip-offer.sdp")
	if !strings.Contains(offer, from) {
		t.Fatalf("%q is not in the offer", from)
	}
	return strings.ReplaceAll(offer, from, to)
}

func extra(t testing.TB, lines string) string {
	return readFile(t, "obs-32.2.2-whip-offer.sdp") + lines
}

func rids(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString("a=rid:r send\r\n")
	}
	return b.String()
}

func TestCheckOfferRefuses(t *testing.T) {
	section := "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:9\r\n"
	tests := []struct {
		name  string
		offer string
		code  sluice.Code
	}{
		{"nothing", "", sluice.CodeInvalid},
		{"only a version", "v=0\r\n", sluice.CodeInvalid},
		{"garbage of 64 KiB", strings.Repeat("\xff\x00garbage", 64<<10/9), sluice.CodeInvalid},
		{"64 KiB without a line end", strings.Repeat("x", 64<<10), sluice.CodeInvalid},
		{"64 KiB of line ends", strings.Repeat("\n", 64<<10), sluice.CodeInvalid},
		{"over 64 KiB", strings.Repeat("x", 64<<10+1), sluice.CodeTooLarge},
		{"a long line", extra(t, "a="+strings.Repeat("x", 5000)+"\r\n"), sluice.CodeTooLarge},
		{"a control character", extra(t, "a=x\x00y\r\n"), sluice.CodeInvalid},
		{"json", `{"type":"offer"}`, sluice.CodeInvalid},
		{"800 media sections", "v=0\r\n" + strings.Repeat(section, 800), sluice.CodeUnprocessable},
		{"five media sections", extra(t, strings.Repeat(section, 3)), sluice.CodeUnprocessable},
		{"a second video", extra(t, readFile(t, "obs-32.2.2-whip-offer.sdp")[strings.Index(readFile(t, "obs-32.2.2-whip-offer.sdp"), "m=video"):]), sluice.CodeInvalid},
		{"a second video with its own mid", strings.Replace(extra(t, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=rtcp-mux\r\n"), "BUNDLE 0 1", "BUNDLE 0 1 2", 1), sluice.CodeUnprocessable},
		{"500 rids", extra(t, rids(460)), sluice.CodeUnprocessable},
		{"four rids", extra(t, rids(4)), sluice.CodeUnprocessable},
		{"a rid that is a path", extra(t, "a=rid:/../../x send\r\n"), sluice.CodeInvalid},
		{"a rid with a quote", extra(t, "a=rid:h\"x send\r\n"), sluice.CodeInvalid},
		{"a rid of 65 bytes", extra(t, "a=rid:"+strings.Repeat("x", 65)+" send\r\n"), sluice.CodeInvalid},
		{"a rid without a name", extra(t, "a=rid: send\r\n"), sluice.CodeInvalid},
		{"500 in one simulcast line", extra(t, "a=simulcast:send "+strings.Repeat("a;", 499)+"a\r\n"), sluice.CodeUnprocessable},
		{"nine ssrcs", extra(t, "a=ssrc-group:SIM 1 2 3 4 5 6 7 8 9\r\n"), sluice.CodeUnprocessable},
		{"501 attributes", extra(t, strings.Repeat("a=x\r\n", 480)), sluice.CodeUnprocessable},
		{"129 candidates", extra(t, strings.Repeat("a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n", 129)), sluice.CodeInvalid},
		{"recvonly", edit(t, "a=sendonly", "a=recvonly"), sluice.CodeUnprocessable},
		{"inactive", edit(t, "a=sendonly", "a=inactive"), sluice.CodeUnprocessable},
		{"no ufrag", edit(t, "a=ice-ufrag:P1Es", "a=x"), sluice.CodeInvalid},
		{"short ufrag", edit(t, "a=ice-ufrag:P1Es", "a=ice-ufrag:P1E"), sluice.CodeInvalid},
		{"no pwd", edit(t, "a=ice-pwd:", "a=x:"), sluice.CodeInvalid},
		{"no fingerprint", edit(t, "a=fingerprint:", "a=x:"), sluice.CodeInvalid},
		{"malformed fingerprint", edit(t, "sha-256 EF", "sha-256 XX"), sluice.CodeInvalid},
		{"no bundle", edit(t, "a=group:BUNDLE 0 1", "a=x"), sluice.CodeUnprocessable},
		{"half a bundle", edit(t, "a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), sluice.CodeUnprocessable},
		{"two bundles", edit(t, "a=group:LS 0 1", "a=group:BUNDLE 1"), sluice.CodeUnprocessable},
		{"the same mid twice", edit(t, "a=mid:1", "a=mid:0"), sluice.CodeInvalid},
		{"no rtcp-mux", edit(t, "a=rtcp-mux", "a=x"), sluice.CodeUnprocessable},
		{"plain RTP", edit(t, "UDP/TLS/RTP/SAVPF", "RTP/AVP"), sluice.CodeUnprocessable},
		{"holdconn", edit(t, "a=setup:actpass", "a=setup:holdconn"), sluice.CodeInvalid},
		{"text", edit(t, "m=audio", "m=text"), sluice.CodeUnprocessable},
		{"all switched off", edit(t, " 9 UDP", " 0 UDP"), sluice.CodeUnprocessable},
		{"data channel only", "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n", sluice.CodeUnprocessable},
		{"no origin line", strings.Replace(readFile(t, "obs-32.2.2-whip-offer.sdp"), "o=", "z=", 1), sluice.CodeInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			_, err := CheckOffer(tt.offer, Publish, DefaultLimits())
			if got := sluice.CodeOf(err); got != tt.code {
				t.Errorf("got %q (%v), want %q", got, err, tt.code)
			}
			if took := time.Since(start); took > 250*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestCheckOfferDirections(t *testing.T) {
	watch := readFile(t, "firefox-153esr-whep-offer.sdp")
	tests := []struct {
		name  string
		offer string
		want  Direction
		ok    bool
	}{
		{"publisher sends", edit(t, "a=sendonly", "a=sendonly"), Publish, true},
		{"publisher sends and receives", edit(t, "a=sendonly", "a=sendrecv"), Publish, true},
		{"publisher says nothing", edit(t, "a=sendonly", "a=x"), Publish, true},
		{"viewer only sends", edit(t, "a=sendonly", "a=sendonly"), Watch, false},
		{"viewer inactive", strings.ReplaceAll(watch, "a=recvonly", "a=inactive"), Watch, false},
		{"viewer receives", watch, Watch, true},
		{"viewer sends and receives", strings.ReplaceAll(watch, "a=recvonly", "a=sendrecv"), Watch, true},
		{"session level decides", strings.Replace(edit(t, "a=sendonly", "a=x"), "t=0 0", "t=0 0\r\na=recvonly", 1), Publish, false},
		{"one of two receives", strings.Replace(edit(t, "a=sendonly", "a=sendonly"), "a=sendonly", "a=recvonly", 1), Publish, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := CheckOffer(tt.offer, tt.want, DefaultLimits())
			if (err == nil) != tt.ok {
				t.Errorf("%v, want ok %v", err, tt.ok)
			}
			if err != nil && sluice.CodeOf(err) != sluice.CodeUnprocessable {
				t.Errorf("code %q", sluice.CodeOf(err))
			}
		})
	}
}

func TestLimitsAreConfigurable(t *testing.T) {
	offer := readFile(t, "chromium-156-whip-simulcast-h264-offer.sdp")
	limits := DefaultLimits()
	limits.RIDs = 2
	if _, err := CheckOffer(offer, Publish, limits); sluice.CodeOf(err) != sluice.CodeUnprocessable {
		t.Errorf("rids: %v", err)
	}
	limits = Limits{Attributes: 20}.withDefaults()
	if _, err := CheckOffer(offer, Publish, limits); sluice.CodeOf(err) != sluice.CodeUnprocessable {
		t.Errorf("attributes: %v", err)
	}
	if err := (Limits{SSRCs: -1}).Validate(); err == nil {
		t.Error("a negative limit is valid")
	}
}

func BenchmarkCheckOffer(b *testing.B) {
	offer := readFile(b, "chromium-156-whip-default-offer.sdp")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CheckOffer(offer, Publish, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckOffer64KiB(b *testing.B) {
	line := "a=fmtp:96 " + strings.Repeat("x", 110) + "\r\n"
	offer := readFile(b, "obs-32.2.2-whip-offer.sdp")
	offer += strings.Repeat(line, (64<<10-len(offer))/len(line))
	limits := DefaultLimits()
	limits.Attributes = 5000
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CheckOffer(offer, Publish, limits); err != nil {
			b.Fatal(err)
		}
	}
}
