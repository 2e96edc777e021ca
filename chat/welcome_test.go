package chat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/chat"
)

// TestWelcomeFits lets in members whose connections take frames of different
// lengths: each gets as much of the history as fits.
func TestWelcomeFits(t *testing.T) {
	n := alone(t, fast())
	alice := enter(t, n, who("alice"))
	const said = 40
	for i := range said {
		alice.send(fmt.Sprint(i), strings.Repeat("<", 450)) // each takes six bytes on the wire
	}
	alice.hears("message", said)
	for most, want := range map[int][2]int{0: {said / 2, said - 1}, 16 << 10: {4, 6}, 1200: {0, 0}} {
		p := enter(t, n, who("bob", func(w *chat.Who) { w.MaxFrame = most }))
		if got := len(p.history()); got < want[0] || got > want[1] {
			t.Errorf("a connection that takes %d bytes got %d messages", most, got)
		}
		p.mu.Lock()
		if limit := most; limit > 0 && p.sizes[0] > limit || p.sizes[0] > 60<<10 {
			t.Errorf("a connection that takes %d bytes got %d", most, p.sizes[0])
		}
		p.mu.Unlock()
		p.leave()
	}
}
