package hlscheck

import (
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestTimeGoesOn: media time continues from part to part, but into a part with which a
// segment begins that has a discontinuity, of which there is nothing but that part yet.
func TestTimeGoesOn(t *testing.T) {
	times := map[string]uint32{"/4.0.m4s": 0, "/4.1.m4s": 90, "/5.0.m4s": 1000}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, ok := times[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "video/mp4") // of another rule with the same number
		box := func(kind string, body ...byte) []byte {
			return append(append([]byte{0, 0, 0, byte(8 + len(body))}, kind...), body...)
		}
		tfhd := box("tfhd", 0, 2, 0, 0x28, 0, 0, 0, 1, 0, 0, 0, 90, 0, 0, 0, 0)
		tfdt := box("tfdt", append(make([]byte, 4), binary.BigEndian.AppendUint32(nil, at)...)...)
		_, _ = w.Write(box("moof", box("traf", slices.Concat(tfhd, tfdt, box("trun", 0, 0, 0, 0, 0, 0, 0, 1))...)...))
	}))
	defer server.Close()
	base, err := url.Parse(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	jumps := func(second string) bool {
		r := &run{client: server.Client()}
		f := follower{run: r, name: "v", base: base, bytes: map[string][]byte{}}
		f.media = mediaCheck{fail: func(rule, format string, args ...any) { r.fail(f.name, rule, format, args...) }}
		for _, playlist := range []string{text(0, 3, 0), text(0, 3, 2), second} {
			p, err := Parse(playlist)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.take(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		<-f.hint.answer
		return slices.ContainsFunc(r.result.Violations, func(v Violation) bool { return v.Rule == "3.1.2" && strings.Contains(v.Detail, "820 units") })
	}
	next := text(0, 4, 1)
	if !jumps(next) {
		t.Error("a jump of time is not found")
	}
	if jumps(strings.Replace(next, "#EXT-X-PART:DURATION=1.00000,URI=\"5.0", "#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=1.00000,URI=\"5.0", 1)) {
		t.Error("a discontinuity is taken for a jump of time")
	}
}
