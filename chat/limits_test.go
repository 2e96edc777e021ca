package chat_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
)

func TestLimits(t *testing.T) {
	c := fast()
	c.Rate, c.Burst = 0.001, 3
	n := alone(t, c)
	alice, bob := enter(t, n, who("alice")), enter(t, n, who("bob"))
	for i := range 4 {
		alice.send(fmt.Sprint(i), fmt.Sprint(i))
	}
	if f := alice.refused(1, "rate_limited"); f["ref"] != "3" || f["retry_after"].(float64) < 1 {
		t.Errorf("%v", f)
	}
	bob.hearsTexts("0", "1", "2")
	for i, tt := range []struct{ frame, code string }{
		{`{"type":"send","ref":"x","text":"` + strings.Repeat("é", 501) + `"}`, "too_long"},
		{`{"type":"send","ref":"x","text":"short","more":"` + strings.Repeat("a", 5000) + `"}`, "too_long"},
		{`{"type":"send","ref":"x","text":" \u200b "}`, "invalid"},
		{`{"type":"dance","ref":"x"}`, "invalid"},
		{`[]`, "invalid"},
	} {
		carol := enter(t, n, who(fmt.Sprint("carol", i)))
		carol.say("%s", tt.frame)
		carol.refused(1, tt.code)
	}
	full := enter(t, n, who("dave"))
	full.send("1", strings.Repeat("é", 500))
	full.hears("message", 1)
	mute := enter(t, n, who("eve", func(w *chat.Who) { w.Grant.Chat = false }))
	mute.send("1", "x")
	mute.refused(1, "forbidden")
	stranger := &person{t: t, in: make(chan []byte), gone: make(chan struct{}), news: make(chan struct{})}
	err := n.Serve(stranger, who("eve", func(w *chat.Who) { w.Grant.Stream = "other" }))
	if sluice.CodeOf(err) != sluice.CodeForbidden {
		t.Errorf("a token for another stream: %v", err)
	}
}

// TestFlooder sends far more than allowed: it is muted, then put out.
func TestFlooder(t *testing.T) {
	c := fast()
	c.FrameRate = 10
	n := alone(t, c)
	flooder, bob := enter(t, n, who("flooder")), enter(t, n, who("bob"))
	floods := func() bool {
		select {
		case flooder.in <- []byte(`{"type":"send","text":"x"}`):
			return true
		case <-flooder.gone:
			return false
		}
	}
	sent := 0
	for floods() {
		if sent++; sent > 10_000 {
			t.Fatal("the flooder stays")
		}
	}
	bob.send("1", "quiet again")
	eventually(t, "bob is heard", func() bool { return slices.Contains(bob.texts(), "quiet again") })
	if said := len(bob.of("message")); said > 50 { // whatever it said is before that
		t.Errorf("%d of its messages came through", said)
	}
}

func TestSlowMemberIsPutOut(t *testing.T) {
	n := alone(t, fast())
	alice, slow, bob := enter(t, n, who("alice")), enter(t, n, who("slow")), enter(t, n, who("bob"))
	slow.mu.Lock()
	slow.deaf = true
	slow.mu.Unlock()
	alice.send("1", "hello")
	<-slow.ended
	alice.send("2", "again")
	bob.hearsTexts("hello", "again")
	if c := n.Counters(); c.Dropped != 1 || c.Members != 2 {
		t.Errorf("counters %+v", c)
	}
}

// TestRoomRate has each of two members within their own rate, and both beyond that
// of the room.
func TestRoomRate(t *testing.T) {
	c := fast()
	c.RoomRate = 2
	n := alone(t, c)
	alice, bob := enter(t, n, who("alice")), enter(t, n, who("bob"))
	const each = 20
	for i := range each {
		alice.send(fmt.Sprint("a", i), fmt.Sprint("a", i))
		bob.send(fmt.Sprint("b", i), fmt.Sprint("b", i))
	}
	alice.refused(1, "rate_limited")
	bob.refused(1, "rate_limited")
	eventually(t, "answers to all", func() bool {
		return len(alice.of("message"))+len(alice.of("error"))+len(bob.of("error")) == 2*each
	})
}

// TestMessagesUnderWay has a bus that hangs: what a member sends is kept for it up to
// a limit, and said when the bus goes on.
func TestMessagesUnderWay(t *testing.T) {
	const most = 64
	l := newLog()
	n := newNode(t, l, openCatalog(t), newStage(), fast())
	alice, bob := enter(t, n, who("alice")), enter(t, n, who("bob"))
	goOn := l.hang()
	defer goOn()
	for i := range most + 1 {
		alice.send(fmt.Sprint(i), fmt.Sprint(i))
	}
	if f := alice.refused(1, "rate_limited"); f["ref"] != fmt.Sprint(most) {
		t.Errorf("refused is %v", f["ref"])
	}
	goOn()
	bob.hears("message", most)
}
