package chat

import (
	"strings"
	"unicode"
)

// WordList is a Judge that refuses texts with certain words, and takes everybody
// with a name of their own for a follower.
type WordList struct {
	words map[string]bool // skeletons
}

// NewWordList makes one.
func NewWordList(words []string) *WordList {
	l := &WordList{words: map[string]bool{}}
	for _, w := range words {
		if s := skeleton(cleanText(w)); s != "" {
			l.words[s] = true
		}
	}
	return l
}

// Allow implements Judge. Case, marks and look-alikes make no difference.
func (l *WordList) Allow(_, text string) bool {
	if len(l.words) == 0 {
		return true
	}
	apart := func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`.,;:!?"()/-`, r) }
	for word := range strings.FieldsFuncSeq(text, apart) {
		if l.words[skeleton(word)] {
			return false
		}
	}
	return true
}

// Follows implements Judge.
func (l *WordList) Follows(_, _ string, guest bool) bool { return !guest }
