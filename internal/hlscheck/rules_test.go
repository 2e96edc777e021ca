package hlscheck

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const head = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n" +
	"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.00000,HOLD-BACK=6.00000,CAN-SKIP-UNTIL=12.00000\n" +
	"#EXT-X-PART-INF:PART-TARGET=1.00000\n"

// text writes a playlist of segments first to last of two parts each, and a
// growing one of so many parts.
func text(first, last, growing int) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-MAP:URI=\"init0.mp4\"\n", head, first)
	for n := first; n <= last; n++ {
		fmt.Fprintf(b, "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:%02d.000Z\n", 2*n)
		if n > last-3 {
			fmt.Fprintf(b, "#EXT-X-PART:DURATION=1.00000,URI=\"%d.0.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=1.00000,URI=\"%d.1.m4s\"\n", n, n)
		}
		fmt.Fprintf(b, "#EXTINF:2.00000,\n%d.m4s\n", n)
	}
	for n := range growing {
		fmt.Fprintf(b, "#EXT-X-PART:DURATION=1.00000,URI=\"%d.%d.m4s\"%s\n", last+1, n, map[bool]string{true: ",INDEPENDENT=YES"}[n == 0])
	}
	fmt.Fprintf(b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"%d.%d.m4s\"\n", last+1, growing)
	return b.String()
}

func TestRules(t *testing.T) {
	edit := func(playlist, old, with string) string {
		if !strings.Contains(playlist, old) {
			panic("no " + old)
		}
		return strings.Replace(playlist, old, with, 1)
	}
	tests := []struct {
		name   string
		first  string
		second string
		after  time.Duration
		rule   string // "": nothing is wrong
	}{
		{"good", text(0, 3, 1), text(0, 4, 0), time.Second, ""},
		{"a new part", text(0, 3, 0), text(0, 3, 1), time.Second, ""},
		{"segments leave", text(0, 5, 0), text(2, 6, 1), time.Second, ""},
		{"target duration changes", text(0, 3, 1), edit(text(0, 4, 0), "TARGETDURATION:2", "TARGETDURATION:3"), time.Second, "4.4.3.1"},
		{"segment is too long", text(0, 3, 1), edit(text(0, 4, 0), "#EXTINF:2.00000,\n4.m4s", "#EXTINF:2.60000,\n4.m4s"), time.Second, "4.4.3.1"},
		{"part target changes", text(0, 3, 1), edit(text(0, 4, 0), "PART-TARGET=1.0", "PART-TARGET=1.1"), time.Second, "4.4.3.7"},
		{"sequence falls", text(1, 3, 1), text(0, 4, 0), time.Second, "6.2.2"},
		{"segment changes its address", text(0, 3, 1), edit(text(0, 4, 0), "\n2.m4s", "\n2b.m4s"), time.Second, "6.2.1"},
		{"segment changes its duration", text(0, 3, 1), edit(text(0, 4, 0), "#EXTINF:2.00000,\n2.m4s", "#EXTINF:1.99900,\n2.m4s"), time.Second, "6.2.1"},
		{"address of a part is used again", text(0, 3, 1), edit(text(0, 4, 0), "4.1.m4s", "3.1.m4s"), time.Second, "6.2.2"},
		{"part is too long", text(0, 3, 0), edit(text(0, 3, 1), `1.00000,URI="4.0`, `1.10000,URI="4.0`), time.Second, "4.4.4.9"},
		{"part is too short", text(0, 3, 0), edit(text(0, 4, 0), `1.00000,URI="4.0`, `0.80000,URI="4.0`), time.Second, "4.4.4.9"},
		{"parts are longer than the segment", text(0, 3, 0), edit(text(0, 4, 0), "#EXTINF:2.00000,\n4.m4s", "#EXTINF:1.90000,\n4.m4s"), time.Second, "4.4.4.9"},
		{"segment begins with a dependent part", text(0, 3, 0), edit(text(0, 4, 0), `4.0.m4s",INDEPENDENT=YES`, `4.0.m4s"`), time.Second, "4.4.2.1"},
		{"date jumps", text(0, 3, 0), edit(text(0, 4, 0), "12:00:08.000", "12:00:08.200"), time.Second, "4.4.4.6"},
		{"no date", edit(text(0, 3, 0), "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:00.000Z\n", ""), text(0, 3, 0), time.Second, "4.4.4.6"},
		{"no map", edit(text(0, 3, 0), "#EXT-X-MAP:URI=\"init0.mp4\"\n", ""), text(0, 3, 0), time.Second, "4.4.4.5"},
		{"parts vanish", text(0, 3, 1), text(0, 3, 0), time.Second, "6.2.1"},
		{"segment comes late", text(0, 3, 1), text(0, 4, 0), 5 * time.Second, "6.2.1"},
		{"version is too low", text(0, 3, 1), edit(text(0, 4, 0), "VERSION:9", "VERSION:6"), time.Second, "7"},
		{"hold back is too short", text(0, 3, 1), edit(text(0, 4, 0), "PART-HOLD-BACK=3.0", "PART-HOLD-BACK=2.0"), time.Second, "4.4.3.8"},
		{"skip boundary is too near", text(0, 3, 1), edit(text(0, 4, 0), "UNTIL=12.0", "UNTIL=11.0"), time.Second, "4.4.3.8"},
		{"two hints", text(0, 3, 1), text(0, 4, 0) + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n", time.Second, "4.4.5.3"},
		{"lines after the end", text(0, 3, 1), text(0, 4, 0) + "#EXT-X-ENDLIST\n#EXTINF:2.00000,\n5.m4s\n", time.Second, "4.4.3.4"},
		{"discontinuity sequence rises alone", text(0, 3, 1), edit(text(0, 4, 0), "DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1"), time.Second, "6.2.2"},
		{"delta skips what we never saw", text(3, 3, 1), "#EXTM3U\n" + edit(text(0, 4, 0), "#EXTM3U\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n"), time.Second, "6.2.5.1"},
		{"unknown tag", text(0, 3, 1), text(0, 4, 0) + "#EXT-X-FOO:1\n", time.Second, "4.4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			broken := map[string]string{}
			h := NewHistory(func(rule, detail string) { broken[rule] = detail })
			at := time.Unix(0, 0)
			for _, playlist := range []string{tt.first, tt.second} {
				p, err := Parse(playlist)
				if err != nil {
					t.Fatal(err)
				}
				h.Take(p, at)
				at = at.Add(tt.after)
			}
			if _, ok := broken[tt.rule]; tt.rule != "" && !ok {
				t.Errorf("found %v, not %s", broken, tt.rule)
			}
			if tt.rule == "" && len(broken) > 0 {
				t.Errorf("found %v", broken)
			}
		})
	}
}

func TestMediaRules(t *testing.T) {
	// A fragment at 0 whose only sample is 30 units long and depends on another.
	box := func(kind string, body ...byte) []byte {
		return append([]byte{0, 0, 0, byte(8 + len(body)), kind[0], kind[1], kind[2], kind[3]}, body...)
	}
	fragment := func(at byte, flags byte) []byte {
		tfhd := box("tfhd", 0, 2, 0, 0x28, 0, 0, 0, 1, 0, 0, 0, 30, 0, flags, 0, 0)
		tfdt := box("tfdt", 0, 0, 0, 0, 0, 0, 0, at)
		trun := box("trun", 0, 0, 0, 0, 0, 0, 0, 1)
		return box("moof", box("traf", append(append(tfhd, tfdt...), trun...)...)...)
	}
	var broken []string
	m := mediaCheck{fail: func(rule, format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }}
	m.part(Part{URI: "a", Independent: true}, fragment(0, 0))
	m.part(Part{URI: "b"}, fragment(30, 1))
	if len(broken) > 0 {
		t.Fatal(broken)
	}
	m.part(Part{URI: "c", Independent: true}, fragment(60, 1))
	m.part(Part{URI: "d"}, fragment(120, 1))
	m.part(Part{URI: "e"}, []byte("no boxes"))
	m.part(Part{URI: "f"}, nil)
	want := []string{"part c says INDEPENDENT", "part d begins 30 units", "part e holds malformed", "part f holds no fragment"}
	for i, w := range want {
		if i >= len(broken) || !strings.HasPrefix(broken[i], w) {
			t.Errorf("found %q, want %q", broken, want)
			break
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text(0, 3, 1))
	f.Add("#EXTM3U\n#EXT-X-SKIP:SKIPPED-SEGMENTS=-1\n")
	f.Add("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\"\nx\n")
	f.Fuzz(func(t *testing.T, playlist string) {
		h := NewHistory(func(string, string) {})
		if p, err := Parse(playlist); err == nil {
			h.Take(p, time.Unix(0, 0))
			h.Take(p, time.Unix(1, 0))
		}
		_, _ = ParseMultivariant(playlist)
		m := mediaCheck{fail: func(string, string, ...any) {}}
		m.part(Part{}, []byte(playlist))
	})
}

// Segments of the same time have the same discontinuity sequence number, wherever
// playlists begin.
func TestRenditionsDiffer(t *testing.T) {
	parsed := func(text string) *Playlist {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	broken := strings.Replace(text(0, 3, 0), "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:04", "#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:04", 1)
	late := text(2, 3, 0)
	if detail := differ(parsed(broken), parsed(late)); detail == "" {
		t.Error("a rendition that begins late with 0 is found good")
	}
	if detail := apart(parsed(broken), parsed(late)); detail != "" {
		t.Error(detail)
	}
	if detail := apart(parsed(broken), parsed(text(9, 12, 0))); detail == "" {
		t.Error("a rendition without the beginning is found good")
	}
	late = strings.Replace(late, "DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1", 1)
	if detail := differ(parsed(broken), parsed(late)); detail != "" {
		t.Error(detail)
	}
}
