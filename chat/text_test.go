package chat

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{
		" hello \n\t world ":               "hello world",
		"a\u202eb\u2066c\u200fd":           "abcd",
		"a\u200bb\ufeffc\x00d\x1b[31m":     "abcd[31m",
		"👨\u200d👩\u200d👧 ok\ufe0f":         "👨\u200d👩\u200d👧 ok\ufe0f",
		"\u200d\u200cx":                    "x",
		"e\u0301":                          "é",
		"z" + strings.Repeat("\u0335", 50): "z" + strings.Repeat("\u0335", maxMarks),
		"\u0301\u0301":                     "",
		"نص عربي and עברית":                "نص عربي and עברית",
		"می\u200cخواهم":                    "می\u200cخواهم",
		"\xff\xfe":                         "\uFFFD",
		"<script>alert(1)</script>":        "<script>alert(1)</script>",
	} {
		if got := cleanText(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"Ａｌｉｃｅ":                 "Alice",
		"\u202eecila":           "ecila",
		"a\u200db":              "ab",
		" Ana  María ":          "Ana María",
		strings.Repeat("x", 99): strings.Repeat("x", maxName),
		"\u3164":                "",
	} {
		if got := cleanName(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestHasLink(t *testing.T) {
	for text, want := range map[string]bool{
		"see https://x": true, "WWW.x.y": true, "go to evil.com/x now": true, "ｅｖｉｌ.ｃｏｍ": true, "(evil.com:80)": true,
		"no link here.": false, "e.g. this": false, "3.14": false, "wait...what": false, "ok.But": false,
	} {
		if hasLink(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestWordList(t *testing.T) {
	l := NewWordList([]string{"Spam", "", " bad "})
	for text, want := range map[string]bool{
		"hello": true, "spammer": true, "SPAM": false, "so sp\u0430m!": false, "s\u0301pam": false, "a (bad) word": false, "b@d": false, "": true,
	} {
		if l.Allow("demo", text) != want {
			t.Errorf("%q", text)
		}
	}
	if !l.Follows("demo", "alice", false) || l.Follows("demo", "~x", true) {
		t.Error("who has a name of their own follows")
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Alice", "\u202eecila", "Аlice", "👨\u200d👩", "e\u0301\u0301\u0301\u0301\u0301", "\xff", "\u1160\u115f", strings.Repeat("ﷺ", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, text := cleanName(s), cleanText(s)
		for _, got := range []string{name, text} {
			if !utf8.ValidString(got) || strings.TrimSpace(got) != got {
				t.Fatalf("%q becomes %q", s, got)
			}
			for _, r := range got {
				if hidden(r) && r != '\u200c' && r != '\u200d' {
					t.Fatalf("%q keeps %U", s, r)
				}
			}
		}
		if utf8.RuneCountInString(name) > maxName {
			t.Fatalf("%q is too long", name)
		}
		if again := cleanText(text); again != text {
			t.Fatalf("%q, cleaned again, becomes %q", text, again)
		}
		skeleton(name)
		hasLink(text)
	})
}

func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"type":"send","ref":"c1","text":"hello"}`, `{"type":"ban","user":"u","seconds":1e9,"reason":"r"}`, `{"type":"slow","seconds":-1}`,
		`{"type":"history","before":"x","limit":50}`, `[]`, `null`, `{"type":1}`, `{"seconds":1e999}`, "{\"text\":\"\xff\"}", ``, `{"ref":"` + strings.Repeat("r", 65) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		q, fault := parseRequest(frame)
		if fault != nil {
			if !json.Valid(fault.frame(q.Ref)) {
				t.Fatal("the error is no JSON")
			}
			return
		}
		if n, ok := q.seconds(maxBan); ok && (n < 0 || n > maxBan) {
			t.Fatalf("%d seconds", n)
		}
		b := marshal(messageFrame{Type: "message", Text: cleanText(q.Text), Ref: q.Ref})
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"n":"x","e":[{"k":"m","u":{"id":"a","name":"b","role":"viewer"},"t":"hello"}]}`))
	f.Add([]byte(`{"e":[{"k":"s"},{"k":"b","x":"u","s":-5},{"k":"d"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e envelope
		_ = json.Unmarshal(data, &e) // must not panic
	})
}

func TestPack(t *testing.T) {
	frame := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }
	for _, tt := range []struct {
		sizes []int
		want  []int
	}{
		{nil, nil},
		{[]int{10}, []int{10}},
		{[]int{10, 10}, []int{23}},
		{[]int{549, 548, 10}, []int{1100, 10}},
		{[]int{2000, 10, 10, 2000}, []int{2000, 23, 2000}},
	} {
		var frames [][]byte
		for _, n := range tt.sizes {
			frames = append(frames, frame(n))
		}
		var got []int
		for _, p := range pack(frames) {
			got = append(got, len(p))
			if !json.Valid(p) {
				t.Errorf("not JSON: %s", p)
			}
		}
		if len(got) != len(tt.want) {
			t.Errorf("%v becomes %v", tt.sizes, got)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%v becomes %v, want %v", tt.sizes, got, tt.want)
			}
		}
	}
}
