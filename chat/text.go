package chat

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxMarks is how many combining marks in a row a text may have.
	maxMarks = 4
	// maxName is the longest name, in runes.
	maxName = 32
	// maxID is the longest id of a user, in bytes.
	maxID = 128
)

// cleanText makes what a member typed fit to be shown as text: normal form C,
// one line, without control characters, without what turns the direction of the
// text around it, without invisible characters other than the joiners that
// scripts and emoji need, and without towers of marks.
func cleanText(text string) string {
	var b strings.Builder
	marks, space := 0, true
	for _, r := range norm.NFC.String(strings.ToValidUTF8(text, "\uFFFD")) {
		switch {
		case unicode.IsSpace(r) || r == '\u2028' || r == '\u2029':
			if !space {
				b.WriteByte(' ')
			}
			space, marks = true, 0
			continue
		case r == '\u200c' || r == '\u200d': // joiners
			if space {
				continue
			}
		case hidden(r):
			continue
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc):
			if marks++; marks > maxMarks || space {
				continue
			}
		default:
			marks = 0
		}
		space = false
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ")
}

// hidden reports whether a rune shows nothing: controls, format characters (bidi
// marks and overrides, zero-width ones, tags), surrogates, private use, fillers.
func hidden(r rune) bool {
	switch r {
	case '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u2800', '\u3164', '\uffa0', '\ufffc':
		return true
	case '\ufe0e', '\ufe0f': // choose between text and emoji
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) || r >= 0xfe00 && r <= 0xfe0d ||
		r >= 0xe0100 && r <= 0xe01ef || !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z)
}

// cleanName makes a name that cannot be taken for something else by its
// characters: compatibility forms are resolved, everything invisible is gone.
func cleanName(name string) string {
	name = cleanText(norm.NFKC.String(strings.ToValidUTF8(name, "")))
	var b strings.Builder
	n := 0
	for _, r := range name {
		if r == '\u200c' || r == '\u200d' || r == '\ufe0e' || r == '\ufe0f' {
			continue
		}
		if n++; n > maxName {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// skeleton is what two names have in common when people could take one for the
// other: case, spaces, marks and look-alikes make no difference (in the manner
// of UTS 39).
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		r = lookalike(unicode.ToLower(r))
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Z, unicode.P, unicode.Cf, unicode.Sk) {
			continue
		}
		b.WriteRune(r)
	}
	return strings.NewReplacer("rn", "m", "vv", "w", "cl", "d").Replace(b.String())
}

// lookalike maps letters of other scripts, digits and symbols that look like a
// Latin letter to it.
func lookalike(r rune) rune {
	// Pairs: what is taken for what.
	const pairs = "аaеeоoрpсcхxуyіiјjѕsһhԁdԛqԝwвbкkмmнhтtгrьbзzαaβbγyεeιiκkνvοoρpτtυuχxωwηnμuσoзzսuօoցgհhոn" +
		"0o1l|lıiłløođdħhßsæaœo$s@a3e4a5s8b"
	from := true
	match := false
	for _, p := range pairs {
		switch {
		case from:
			match = p == r
		case match:
			return p
		}
		from = !from
	}
	return r
}

// reserved are skeletons of names that nobody but the system has.
func reserved(s string) bool {
	for _, word := range []string{"moderator", "mod", "admin", "administrator", "streamer", "system", "sluice", "server", "host"} {
		if s == skeleton(word) {
			return true
		}
	}
	return false
}

// mark is a short public text that tells ids apart.
func mark(id string) string {
	sum := sha256.Sum256([]byte(id))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:4])
}

// guestName is the made-up name of a guest.
func guestName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return fmt.Sprintf("Guest %04d", (int(sum[0])<<16|int(sum[1])<<8|int(sum[2]))%10000)
}

// hasLink reports whether a text holds something that people could follow.
func hasLink(text string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(norm.NFKC.String(text))) {
		if strings.Contains(word, "://") || strings.HasPrefix(word, "www.") {
			return true
		}
		host, _, _ := strings.Cut(strings.Trim(word, "()[]<>\"'.,;:!?"), "/")
		host, _, _ = strings.Cut(host, ":")
		if i := strings.LastIndexByte(host, '.'); i > 0 && commonDomain(host[i+1:]) {
			return true
		}
	}
	return false
}

func commonDomain(top string) bool {
	switch top {
	case "com", "net", "org", "info", "biz", "io", "gg", "tv", "me", "co", "app", "dev", "xyz", "link", "live", "ly", "to", "cc", "ru", "cn",
		"de", "uk", "fr", "it", "nl", "eu", "us", "in", "jp", "br", "pl", "es", "shop", "site", "online", "top", "club", "store", "vip", "bet":
		return true
	}
	return false
}
