package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-live/sluice/internal/load"
)

// said says something in the chat of the stream demo, as a guest without a page.
func said(t *testing.T, n *running) func(text string) {
	t.Helper()
	conn, err := load.DialChat(t.Context(), n.URL+"/chat/demo", "", func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the node may have ended it
	return func(text string) {
		t.Helper()
		if err := conn.Send(fmt.Appendf(nil, `{"type":"send","text":%q}`, text)); err != nil {
			t.Fatal(err)
		}
	}
}

const replays = chatPanel + ".dataset.replay === 'true'"

// chatOfThePast shows a viewer that has gone back the chat of that moment, and
// the one of now when it asks for it.
func chatOfThePast(c *chatting) {
	c.until("the chat is of the moment", replays)
	c.sees("what was said until then", "first words")
	if !eval[bool](c.tab, chatPanel+".querySelector('form.chat-form').hidden") {
		c.t.Error("one can write into the past")
	}
	c.exec("document.querySelector('.chat-status .chat-link').click()")
	c.sees("the chat of now", "first words", "later words")
	c.exec("document.querySelector('.chat-status .chat-link').click()")
	c.until("the chat is of the moment again", replays)
}

const (
	recordedPage = "document.querySelector('recorded-player')"
	recordedBar  = recordedPage + ".timeline.slider"
)

// chatOfARecording shows the chat of each moment beside a recording.
func chatOfARecording(c *chatting, url string) {
	c.open(url)
	c.until("the recording plays", recordedPage+"?.video.currentTime > 0.5 && "+recordedPage+".frame.dataset.state === 'live'")
	to := func(second string) {
		c.exec(fmt.Sprintf("const bar = %s; bar.value = %s; bar.dispatchEvent(new Event('input')); bar.dispatchEvent(new Event('change'));", recordedBar, second))
	}
	c.until("its length is known", "Number("+recordedBar+".max) > 10")
	c.exec(recordedPage + ".video.pause()") // so that the moment stays while the words are compared
	to("bar.max")
	c.sees("everything", "first words", "later words")
	to("'7'")
	c.sees("what was said until then", "first words")
	if texts := eval[[]string](c.tab, "[...document.querySelectorAll('.chat-row time')].map((e) => e.textContent)"); !slices.ContainsFunc(texts, func(s string) bool { return len(s) == 4 && s[:2] == "0:" }) {
		c.t.Errorf("the times are %q", texts)
	}
	accessible(c.tab)
	c.open(url + "x")
	c.until("an unknown recording is said to be one", recordedPage+".shadowRoot.textContent.includes('no such recording')")
}
