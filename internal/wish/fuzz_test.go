package wish

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sluice "github.com/sluice-live/sluice"
)

func seed(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
}

func checkCode(t *testing.T, err error, allowed ...sluice.Code) {
	t.Helper()
	if err != nil && !slices.Contains(allowed, sluice.CodeOf(err)) {
		t.Errorf("code %q: %v", sluice.CodeOf(err), err)
	}
}

func FuzzCheckOffer(f *testing.F) {
	seed(f, "*.sdp")
	f.Add("v=0\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=bundle-only\r\n")
	f.Add("v=0\na=group:BUNDLE\nm=video 9 UDP/TLS/RTP/SAVPF 96\n")
	f.Fuzz(func(t *testing.T, offer string) {
		for _, want := range []Direction{Publish, Watch} {
			shape, err := CheckOffer(offer, want, DefaultLimits())
			checkCode(t, err, sluice.CodeInvalid, sluice.CodeTooLarge, sluice.CodeUnprocessable)
			if err == nil && (shape.Ufrag == "" || shape.Pwd == "" || shape.Video < 0 && shape.Audio < 0 || len(shape.RIDs) > 3) {
				t.Errorf("accepted %+v", shape)
			}
		}
	})
}

func FuzzParseFragment(f *testing.F) {
	seed(f, "*.sdpfrag")
	f.Add("a=candidate:1 1 udp 1 h.local 1 typ host\na=end-of-candidates")
	f.Fuzz(func(t *testing.T, body string) {
		ice, err := ParseFragment(body, DefaultLimits())
		checkCode(t, err, sluice.CodeInvalid, sluice.CodeTooLarge)
		if err != nil || ice.Ufrag == "" || ice.Pwd == "" {
			return
		}
		again, err := ParseFragment(readAnswer(body).fragment(ice), Limits{BodyBytes: 1 << 20, LineBytes: 8 << 10, Candidates: 128})
		if err != nil {
			t.Fatalf("rendered form: %v", err)
		}
		if again.Ufrag != ice.Ufrag || again.Pwd != ice.Pwd || !slices.Equal(again.Candidates, ice.Candidates) || again.Complete != ice.Complete {
			t.Errorf("got %+v, want %+v", again, ice)
		}
	})
}

func FuzzParseLinks(f *testing.F) {
	f.Add(`<stun:stun.example.net>; rel="ice-server", </x>; rel=next; a="b\"c"`)
	f.Add(`<x>;;;=,=;"`)
	f.Fuzz(func(t *testing.T, header string) {
		for _, l := range ParseLinks([]string{header}) {
			text := l.String()
			if text == "" || strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%+v renders as %q", l, text)
			}
		}
	})
}

func FuzzCheckIfMatch(f *testing.F) {
	for _, s := range []string{`"abc"`, `*`, `"*"`, `W/"abc"`, `"a", "abc"`, `,,,`, `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		err := checkIfMatch([]string{header}, `"abc"`)
		checkCode(t, err, sluice.CodePreconditionRequired, sluice.CodePreconditionFailed)
		if err == nil && !strings.Contains(header, "abc") && !strings.Contains(header, "*") {
			t.Errorf("%q matches", header)
		}
	})
}
