package chat_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
)

func TestEverybodyHearsOneOrder(t *testing.T) {
	l, store := newLog(), openCatalog(t)
	a, b := newNode(t, l, store, newStage(), fast()), newNode(t, l, store, newStage(), fast())
	alice, bob, carol := enter(t, a, who("alice")), enter(t, b, who("bob")), enter(t, a, who("carol"))
	const each = 40
	for i := range each {
		alice.send(fmt.Sprint("a", i), fmt.Sprint("a", i))
		bob.send(fmt.Sprint("b", i), fmt.Sprint("b", i))
	}
	for _, p := range []*person{alice, bob, carol} {
		p.hears("message", 2*each)
	}
	if want := alice.texts(); !slices.Equal(bob.texts(), want) || !slices.Equal(carol.texts(), want) {
		t.Errorf("not the same order:\n%q\n%q\n%q", want, bob.texts(), carol.texts())
	}
	var ids []string
	for i, f := range alice.of("message") {
		ids = append(ids, f["id"].(string))
		if mine := f["user"].(map[string]any)["id"] == "alice"; mine != (f["ref"] != nil) {
			t.Errorf("message %d: ref %v", i, f["ref"])
		}
		if f["id"] != carol.of("message")[i]["id"] || f["id"] != bob.of("message")[i]["id"] {
			t.Errorf("message %d has several ids", i)
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", f["at"].(string)); err != nil {
			t.Error(err)
		}
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids do not rise: %q", ids)
	}
	for _, f := range carol.of("message") {
		if f["ref"] != nil {
			t.Errorf("a ref reaches others: %v", f)
		}
	}
	alice.mu.Lock()
	defer alice.mu.Unlock()
	if len(alice.sizes) > 2*each/2 {
		t.Errorf("%d frames for %d messages: they are not joined", len(alice.sizes), 2*each)
	}
	for _, size := range alice.sizes[1:] {
		if size > 1100 {
			t.Errorf("a joined frame has %d bytes", size)
		}
	}
}

func TestRefsAreIdempotent(t *testing.T) {
	l, store := newLog(), openCatalog(t)
	a, b := newNode(t, l, store, newStage(), fast()), newNode(t, l, store, newStage(), fast())
	alice, bob := enter(t, a, who("alice")), enter(t, a, who("bob"))
	alice.send("c1", "hello")
	id := alice.hears("message", 1)["id"]
	alice.send("c1", "hello") // the answer was lost
	if f := alice.hears("message", 2); f["id"] != id || f["ref"] != "c1" {
		t.Errorf("again: %v", f)
	}
	alice.leave()
	alice = enter(t, b, who("alice")) // on another node
	alice.send("c1", "hello")
	if f := alice.hears("message", 1); f["id"] != id || f["ref"] != "c1" {
		t.Errorf("on another node: %v", f)
	}
	alice.send("c1", "another text is another message")
	bob.send("c1", "hello")
	bob.hears("message", 3)
	if got := bob.texts(); len(got) != 3 || got[0] != "hello" || bob.of("message")[0]["id"] != id {
		t.Errorf("the others hear %q", got)
	}
}

func TestHistory(t *testing.T) {
	l, store := newLog(), openCatalog(t)
	n := newNode(t, l, store, newStage(), fast())
	alice := enter(t, n, who("alice"))
	for i := 1; i <= 320; i++ {
		alice.send(fmt.Sprint(i), fmt.Sprint(i))
		if i%40 == 0 {
			alice.hears("message", i)
		}
	}
	bob := enter(t, n, who("bob"))
	if got := bob.history(); !slices.Equal(got, numbered(271, 320)) {
		t.Errorf("history %q", got)
	}
	back := func(before any, limit, n int) []string {
		had, pages := len(bob.of("message")), len(bob.of("history"))
		bob.say(`{"type":"history","before":"%v","limit":%d}`, before, limit)
		if f := bob.hears("history", pages+1); f["count"] != float64(n) || f["before"] != before {
			t.Errorf("page %v", f)
		}
		return bob.texts()[had:]
	}
	first := bob.hears("welcome", 1)["history"].([]any)[0].(map[string]any)["id"]
	if got := back(first, 20, 20); !slices.Equal(got, numbered(251, 270)) {
		t.Errorf("page before 271: %q", got)
	}
	eventually(t, "everything is kept", func() bool {
		kept, err := store.MessagesBefore(t.Context(), "demo", "", 1000)
		return err == nil && len(kept) == 320
	})
	oldest := alice.of("message")[29]["id"]
	if got := back(oldest, 50, 29); !slices.Equal(got, numbered(1, 29)) {
		t.Errorf("page from the database: %q", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	// A node that starts anew, with a Redis that knows nothing.
	again := newNode(t, newLog(), store, newStage(), fast())
	eventually(t, "the history is there after a restart", func() bool { // on a busy machine not at once
		return slices.Equal(enter(t, again, who("bob")).history(), numbered(271, 320))
	})
	none := fast()
	none.History = -1
	if got := enter(t, newNode(t, l, store, newStage(), none), who("bob")).history(); len(got) != 0 {
		t.Errorf("history 0: %q", got)
	}
}

func TestModeration(t *testing.T) {
	l, store := newLog(), openCatalog(t)
	a, b := newNode(t, l, store, newStage(), fast()), newNode(t, l, store, newStage(), fast())
	mod, bob, other := enter(t, a, who("mod", moderator)), enter(t, b, who("bob")), enter(t, b, who("other"))
	if mod.hears("welcome", 1)["role"] != "moderator" || bob.hears("welcome", 1)["role"] != "viewer" {
		t.Error("roles")
	}
	bob.send("1", "bad")
	id := mod.hears("message", 1)["id"].(string)
	for n, frame := range []string{
		`{"type":"delete","id":"` + id + `"}`, `{"type":"ban","user":"bob","seconds":5}`, `{"type":"unban","user":"bob"}`, `{"type":"slow","seconds":5}`,
	} {
		other.say("%s", frame)
		other.refused(n+1, "forbidden")
	}
	mod.say(`{"type":"delete","id":"%s"}`, id)
	if f := bob.hears("deleted", 1); f["id"] != id {
		t.Errorf("deleted %v", f)
	}
	mod.hears("deleted", 1) // each node does it by itself
	if got := enter(t, a, who("late")).history(); len(got) != 0 {
		t.Errorf("a deleted message is in the history: %q", got)
	}

	mod.say(`{"type":"ban","user":"bob","seconds":600,"reason":"spam"}`)
	if f := bob.hears("banned", 1); f["user"] != "bob" || f["seconds"] != 600.0 {
		t.Errorf("banned %v", f)
	}
	bob.send("2", "still here")
	if f := bob.refused(1, "banned"); f["ref"] != "2" || f["retry_after"].(float64) < 590 {
		t.Errorf("%v", f)
	}
	elsewhere := enter(t, a, who("bob")) // another node, another connection
	elsewhere.send("3", "and here")
	elsewhere.refused(1, "banned")
	mod.say(`{"type":"ban","user":"mod","seconds":5}`)
	mod.refused(1, "forbidden")
	mod.say(`{"type":"unban","user":"bob"}`)
	bob.hears("banned", 2)
	bob.send("4", "back")
	mod.hears("message", 2)

	mod.say(`{"type":"slow","seconds":30}`)
	if f := other.hears("slow", 1); f["seconds"] != 30.0 {
		t.Errorf("slow %v", f)
	}
	other.send("5", "one")
	other.hears("message", 3)
	other.send("6", "two")
	if f := other.refused(5, "rate_limited"); f["ref"] != "6" || f["retry_after"].(float64) < 20 {
		t.Errorf("%v", f)
	}
	mod.send("7", "moderators are not slow")
	mod.send("8", "at all")
	mod.hears("message", 5)
	if f := enter(t, b, who("late")).hears("welcome", 1); f["slow"] != 30.0 {
		t.Errorf("welcome %v", f)
	}
	actions, err := store.Actions(t.Context(), "demo", 10)
	if err != nil || len(actions) != 4 || actions[2].Action != "ban" || actions[2].Actor != "mod" || actions[2].Target != "bob" || !strings.Contains(actions[2].Detail, "spam") {
		t.Errorf("audit %+v %v", actions, err)
	}
}

// TestBansSurvive restarts the node without its Redis.
func TestBansSurvive(t *testing.T) {
	store := openCatalog(t)
	n := newNode(t, newLog(), store, newStage(), fast())
	mod := enter(t, n, who("mod", moderator))
	mod.say(`{"type":"ban","user":"bob","seconds":600}`)
	mod.say(`{"type":"slow","seconds":9}`)
	mod.hears("banned", 1)
	mod.hears("slow", 1)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = newNode(t, newLog(), store, newStage(), fast())
	var bob *person
	eventually(t, "the room is slow", func() bool { // on a busy machine not at once
		bob = enter(t, n, who("bob"))
		return bob.hears("welcome", 1)["slow"] == 9.0
	})
	bob.send("1", "hello")
	bob.refused(1, "banned")
}

func TestGuests(t *testing.T) {
	n := alone(t, fast())
	key := func(k, addr string) func(*chat.Who) {
		return func(w *chat.Who) {
			w.Key, w.Remote = k, netip.MustParseAddr(addr)
			w.Grant = sluice.Grant{Publish: true, Watch: true, Chat: true, Moderate: true} // an open node
		}
	}
	user := func(p *person) map[string]any { return p.hears("welcome", 1)["user"].(map[string]any) }
	one, two := enter(t, n, who("", key("k1", "192.0.2.1"))), enter(t, n, who("", key("k2", "192.0.2.2")))
	if user(one)["role"] != "viewer" || user(one)["id"] == user(two)["id"] || !strings.HasPrefix(user(one)["name"].(string), "Guest ") {
		t.Errorf("guests %v %v", user(one), user(two))
	}
	if again := enter(t, n, who("", key("k1", "192.0.2.1"))); user(again)["id"] != user(one)["id"] {
		t.Error("a guest's key makes another user")
	}
	one.send("1", "hello")
	two.hears("message", 1)
	mod := enter(t, n, who("mod", moderator))
	mod.say(`{"type":"ban","user":"%s","seconds":60}`, user(one)["id"])
	mod.hears("banned", 1)
	sock := enter(t, n, who("", key("another", "192.0.2.1"))) // the same address, a new key
	sock.send("2", "me again")
	sock.refused(1, "banned")
	named := enter(t, n, who("alice")) // the same address, a name of her own
	named.send("3", "not me")
	two.hears("message", 2)
	publisher := enter(t, n, who("", key("p", "192.0.2.9"), func(w *chat.Who) { w.Publisher = true }))
	if publisher.hears("welcome", 1)["role"] != "streamer" {
		t.Error("the publisher's session is not the streamer's")
	}
}

func TestNamesAreKeptApart(t *testing.T) {
	n := alone(t, fast())
	name := func(identity, name string, more ...func(*chat.Who)) string {
		p := enter(t, n, who(identity, append(more, func(w *chat.Who) { w.Grant.Name = name })...))
		return p.hears("welcome", 1)["user"].(map[string]any)["name"].(string)
	}
	if got := name("1", "Alice"); got != "Alice" {
		t.Errorf("got %q", got)
	}
	for i, fake := range []string{"alice", "Аlice", "A\u200blice", "ᴀlice", "Ａｌｉｃｅ", "A l i c e", "Alıce", "\u202eecila\u202c", "Moderator", "M0derator", "", "\u200b"} {
		got := name(fmt.Sprint("fake", i), fake)
		if got == "Alice" || strings.EqualFold(got, "moderator") || got == "" || strings.ContainsAny(got, "\u200b\u202e\u202c") {
			t.Errorf("%q becomes %q", fake, got)
		}
	}
	if got := name("m", "Moderator", moderator); got != "Moderator" {
		t.Errorf("a moderator is called %q", got)
	}
	if got := name("1", "Alice"); got != "Alice" {
		t.Errorf("her second window is called %q", got)
	}
}

func TestRedisAway(t *testing.T) {
	l := newLog()
	n := newNode(t, l, openCatalog(t), newStage(), fast())
	alice, bob := enter(t, n, who("alice")), enter(t, n, who("bob"))
	alice.send("1", "before")
	bob.hears("message", 1)
	l.breakDown(true)
	alice.send("2", "lost?")
	if f := alice.refused(1, "unavailable"); f["ref"] != "2" || f["retry_after"].(float64) <= 0 {
		t.Errorf("%v", f)
	}
	l.breakDown(false)
	alice.send("2", "lost?")
	bob.hearsTexts("before", "lost?")
	if f := alice.hears("message", 2); f["ref"] != "2" {
		t.Errorf("%v", f)
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	l, store := newLog(), openCatalog(t)
	media, relayed := newStage(), newStage()
	media.set(sluice.StreamLive, 4, 7) // 3 on the other node
	relayed.set(sluice.StreamLive, 3, 7)
	a, b := newNode(t, l, store, media, fast()), newNode(t, l, store, relayed, fast())
	counted := func(w *chat.Who) { w.Viewer = true }
	alice, bob := enter(t, a, who("alice", counted)), enter(t, b, who("bob"))
	last := func(p *person, kind, field string) any {
		all := p.of(kind)
		if len(all) == 0 {
			return nil
		}
		return all[len(all)-1][field]
	}
	for _, p := range []*person{alice, bob} {
		eventually(t, "7 viewers and one by WebSocket, live", func() bool {
			return last(p, "viewers", "count") == 8.0 && last(p, "stream", "state") == "live"
		})
	}
	media.set(sluice.StreamPaused, 1, 3) // 1 on a node without a room
	relayed.set(sluice.StreamPaused, 1, 2)
	for _, p := range []*person{alice, bob} {
		eventually(t, "4 viewers, paused", func() bool {
			return last(p, "viewers", "count") == 4.0 && last(p, "stream", "state") == "paused"
		})
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []chat.Config{{Tick: time.Millisecond}, {History: 1000}, {FrameBytes: 1}, {Rate: -1}, {Members: -1}} {
		if _, err := chat.New(c, chat.Deps{Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
