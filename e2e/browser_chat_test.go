package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/load"
)

const devKey, devSecret = "devkey", "a-secret-that-is-long-enough-to-be-one"

// token makes a token for the stream demo.
func token(t testing.TB, grant sluice.Grant) string {
	t.Helper()
	grant.Stream, grant.Chat = "demo", true
	text, err := auth.Mint(devKey, devSecret, grant, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// chatting is a watch page with its chat.
type chatting struct{ *tab }

const (
	chatPanel = "document.querySelector('.chat')"
	chatTexts = "[...document.querySelectorAll('.chat-row[data-id] .chat-text')].map((e) => e.textContent)"
)

// chatOn opens the watch page of a node in a browser.
func chatOn(b *tab, url string, grant sluice.Grant) *chatting {
	b.t.Helper()
	grant.Watch, grant.Name = true, grant.Identity
	c := &chatting{b}
	c.open(url + "/watch/demo?token=" + token(b.t, grant))
	c.joined()
	return c
}

func (c *chatting) joined() {
	c.t.Helper()
	c.until("the chat is connected", chatPanel+"?.dataset.connected === 'true'")
}

func (c *chatting) says(text string) {
	c.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		c.t.Fatal(err)
	}
	c.exec("const input = document.getElementById('chat-text'); input.value = " + string(quoted) + "; input.form.requestSubmit();")
}

// sees waits for exactly these texts.
func (c *chatting) sees(what string, want ...string) {
	c.t.Helper()
	var got []string
	poll(c.t, patience, 100*time.Millisecond, what, func() bool {
		got = eval[[]string](c.tab, chatTexts)
		return slices.Equal(got, want)
	})
}

//go:embed testdata/xss.txt
var attacks string

func TestBrowserChat(t *testing.T) {
	t.Parallel()
	settings := []string{"auth.mode=token", "auth.keys=" + devKey + ": " + devSecret, "chat.rate=6000", "chat.burst=100"}
	browsers := [3]*tab{newBrowser(t), newBrowser(t), newBrowser(t)}
	t.Run("two processes and one Redis", func(t *testing.T) {
		c := (&cluster{program: buildSluice(t)}).on(t)
		var flags []string
		for _, s := range settings {
			flags = append(flags, "--"+s)
		}
		chatTogether(t, browsers, c.join(t, "a", flags...).url, c.join(t, "b", flags...).url)
	})
	t.Run("embedded Redis", func(t *testing.T) {
		n := startNode(t, settings...)
		chatTogether(t, browsers, n.URL, n.URL)
	})
}

// chatTogether has two viewers and a moderator on two nodes, the first of which
// has the stream.
func chatTogether(t *testing.T, browsers [3]*tab, here, there string) {
	sound := *pattern(t, clips.VP8, false)
	sound.Layers = nil // three browsers that draw video take the time
	publishClip(t, client.PublisherConfig{
		URL: here + "/whip/demo", Token: token(t, sluice.Grant{Identity: "streamer", Publish: true}), Clip: &sound,
	})
	alice := chatOn(browsers[0], here, sluice.Grant{Identity: "alice"})
	bob := chatOn(browsers[1], there, sluice.Grant{Identity: "bob"})
	mod := chatOn(browsers[2], there, sluice.Grant{Identity: "mod", Moderate: true})
	for _, c := range []*chatting{alice, bob, mod} {
		c.until("the data channel carries the chat", chatPanel+".dataset.transport === 'channel'")
	}
	audienceIs(t, there, 4) // and who asks

	alice.says("hello")
	for _, c := range []*chatting{alice, bob, mod} {
		c.sees("the first message", "hello")
	}
	bob.says("hi alice")
	mod.says("welcome")
	var order []string
	poll(t, patience, 100*time.Millisecond, "three messages", func() bool {
		order = eval[[]string](alice.tab, chatTexts)
		return len(order) == 3
	})
	bob.sees("the same order", order...)
	mod.sees("the same order", order...)
	if n := eval[int](alice.tab, "document.querySelectorAll('.chat-row[data-state]').length"); n != 0 {
		t.Errorf("%d messages are still pending", n)
	}

	t.Run("markup shows as text", func(t *testing.T) { chatAttacks(t, mod, bob) })
	t.Run("delete", func(t *testing.T) {
		mod.exec(`[...document.querySelectorAll('.chat-row')].find((r) => r.querySelector('.chat-text').textContent === 'hi alice').querySelector('.chat-tool').click()`)
		for _, c := range []*chatting{alice, bob, mod} {
			c.until("the message is gone", "!"+chatTexts+".includes('hi alice')")
		}
		alice.open(here + "/watch/demo") // the token is kept
		alice.joined()
		alice.until("the history", chatTexts+".includes('hello') && !"+chatTexts+".includes('hi alice')")
	})
	t.Run("ban", func(t *testing.T) {
		bob.says("bad words")
		mod.until("the message is there", chatTexts+".includes('bad words')")
		mod.exec(`[...document.querySelectorAll('.chat-row')].find((r) => r.querySelector('.chat-text').textContent === 'bad words').querySelector('[aria-label=Ban]').click();
			document.querySelector('.chat-dialog [value=ban]').click();`)
		bob.until("the banned one is told", "document.querySelector('.chat-status').textContent.includes('banned')")
		bob.says("more bad words")
		bob.until("the message fails", "document.querySelector('.chat-row[data-state=failed]')?.textContent.includes('banned')")
		mod.exec("document.querySelector('.chat-status .chat-link').click()")
		bob.until("the ban is lifted", "document.querySelector('.chat-status').textContent.includes('again')")
		bob.exec("document.querySelector('.chat-failed .chat-link').click()")
		alice.until("the message comes through", chatTexts+".includes('more bad words')")
	})
	t.Run("slow mode", func(t *testing.T) {
		mod.exec("const s = document.querySelector('.chat-slow'); s.value = '300'; s.dispatchEvent(new Event('change'));")
		bob.until("the note", "document.querySelector('.chat-status').textContent.includes('300')")
		bob.says("one")
		bob.says("two")
		bob.until("the second fails", "document.querySelector('.chat-row[data-state=failed]')?.textContent.includes('Too fast')")
		mod.exec("const s = document.querySelector('.chat-slow'); s.value = '0'; s.dispatchEvent(new Event('change'));")
		bob.until("the note is gone", "!document.querySelector('.chat-status').textContent.includes('300')")
	})
	t.Run("reconnect", func(t *testing.T) { chatReconnects(t, alice, bob) })
	t.Run("accessibility", func(t *testing.T) { accessible(mod.tab) })
}

// audienceIs joins a chat by WebSocket and waits until it is told so many viewers.
func audienceIs(t *testing.T, url string, want int) {
	t.Helper()
	var told atomic.Int64
	conn, err := load.DialChat(t.Context(), url+"/chat/demo", token(t, sluice.Grant{Identity: "observer", Watch: true}), func(frame []byte) {
		if frame[0] != '[' {
			frame = slices.Concat([]byte("["), frame, []byte("]"))
		}
		var all []struct {
			Type  string
			Count int64
		}
		if json.Unmarshal(frame, &all) != nil {
			return
		}
		for _, f := range all {
			if f.Type == "viewers" {
				told.Store(f.Count)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the node may have ended it
	poll(t, patience, 50*time.Millisecond, fmt.Sprint(want, " viewers"), func() bool { return told.Load() == int64(want) })
}

// chatAttacks types what attackers do: no script runs, no element appears.
func chatAttacks(t *testing.T, from, to *chatting) {
	lines := strings.Split(strings.TrimSpace(attacks), "\n")
	before := eval[int](to.tab, "document.querySelectorAll('*').length - document.querySelectorAll('.chat-row, .chat-row *').length")
	for _, c := range []*chatting{from, to} {
		c.exec("window.alert = () => { window.attacked = true; }")
	}
	for _, line := range lines {
		from.says(line)
	}
	to.until("all attacks show as text", fmt.Sprintf("%s.slice(-%d).join('\\n') === %s", chatTexts, len(lines), quote(t, strings.Join(lines, "\n"))))
	after := eval[int](to.tab, "document.querySelectorAll('*').length - document.querySelectorAll('.chat-row, .chat-row *').length")
	foreign := eval[int](to.tab, "document.querySelectorAll('.chat-text *').length")
	for _, c := range []*chatting{from, to} {
		if eval[bool](c.tab, "Boolean(window.attacked)") {
			t.Error("a script ran")
		}
	}
	if before != after || foreign != 0 {
		t.Errorf("%d elements became %d, and %d are inside of messages", before, after, foreign)
	}
}

func quote(t testing.TB, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// chatReconnects cuts a member's connection: what it says meanwhile comes after,
// once, and it misses nothing.
func chatReconnects(t *testing.T, cut, other *chatting) {
	cut.exec("window.sockets = WebSocket; window.WebSocket = class { constructor() { throw new Error('cut'); } }")
	cut.exec("document.querySelector('live-player').player.stop()")
	cut.until("the chat has lost its connection", chatPanel+".dataset.connected === 'false'")
	other.says("while you were away")
	cut.says("said while away")
	cut.until("the message waits", "document.querySelector('.chat-row[data-state=pending]')")
	cut.exec("window.WebSocket = window.sockets; document.querySelector('live-player').player.start()")
	for _, c := range []*chatting{cut, other} {
		c.until("both messages, once", `['said while away', 'while you were away'].every((x) => `+chatTexts+`.filter((y) => y === x).length === 1)`)
		c.until("nothing waits", "!document.querySelector('.chat-row[data-state=pending]')")
	}
	if a, b := eval[[]string](cut.tab, chatTexts), eval[[]string](other.tab, chatTexts); !slices.Equal(a, b) {
		t.Errorf("different orders:\n%q\n%q", a, b)
	}
}

// streamerAndGuest shows the streamer's side of the chat, in the page that publishes
// demo, as a guest sees it on an open node.
func streamerAndGuest(t *testing.T, camera, guest *chatting, embed string) {
	t.Helper()
	const inSession = chatPanel + ".dataset.transport === 'channel' && " + chatPanel + ".dataset.connected === 'true'"
	camera.until("the chat is in the session", inSession)
	guest.open(embed + "?chat=1")
	guest.until("the chat is in the session", inSession)
	guest.says("hello from a guest")
	camera.sees("the guest's message", "hello from a guest")
	camera.says("hello")
	guest.until("the streamer's message and badge", "document.querySelector('.chat-badge[data-role=streamer]')")
	camera.exec("document.querySelector('.chat-row [aria-label=\"Delete message\"]').click()")
	guest.sees("the guest's message is deleted", "hello")
	accessible(guest.tab)
	guest.open(embed)
	if eval[bool](guest.tab, "Boolean("+chatPanel+")") {
		t.Error("an embed has a chat that nobody asked for")
	}
}
