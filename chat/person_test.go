package chat_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
)

// person is a member with an in-memory connection.
type person struct {
	t     testing.TB
	in    chan []byte
	gone  chan struct{}
	once  sync.Once
	ended chan struct{}
	deaf  bool // takes no frames: ErrSlow

	mu     sync.Mutex
	frames []map[string]any
	sizes  []int
	news   chan struct{}
}

func (p *person) Receive() ([]byte, error) {
	select {
	case f := <-p.in:
		return f, nil
	case <-p.gone:
		return nil, io.EOF
	}
}

func (p *person) Send(frame []byte) error {
	var many []map[string]any
	var one map[string]any
	if json.Unmarshal(frame, &one) == nil {
		many = append(many, one)
	} else if err := json.Unmarshal(frame, &many); err != nil {
		p.t.Errorf("not a frame: %s", frame)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf {
		return chat.ErrSlow
	}
	p.frames = append(p.frames, many...)
	p.sizes = append(p.sizes, len(frame))
	close(p.news)
	p.news = make(chan struct{})
	return nil
}

func (p *person) Close(string) { p.once.Do(func() { close(p.gone) }) }

func (p *person) leave() {
	p.Close("")
	<-p.ended
}

func (p *person) say(format string, args ...any) { p.in <- fmt.Appendf(nil, format, args...) }

// send says a text with a ref.
func (p *person) send(ref, text string) {
	p.in <- fmt.Appendf(nil, `{"type":"send","ref":%q,"text":%s}`, ref, must(json.Marshal(text)))
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// of returns the frames of a type, from the from-th on.
func (p *person) of(kind string) []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []map[string]any
	for _, f := range p.frames {
		if f["type"] == kind {
			found = append(found, f)
		}
	}
	return found
}

// hears waits until it has n frames of a type, and returns the last one.
func (p *person) hears(kind string, n int) map[string]any {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		if all := p.of(kind); len(all) >= n {
			return all[n-1]
		}
		select {
		case <-news:
		case <-deadline:
			p.t.Fatalf("no %d frames %q within %s: %v", n, kind, patience, p.of(kind))
		}
	}
}

// texts lists what was said, in the order heard.
func (p *person) texts() []string {
	var all []string
	for _, f := range p.of("message") {
		all = append(all, f["text"].(string))
	}
	return all
}

func (p *person) hearsTexts(want ...string) {
	p.t.Helper()
	p.hears("message", len(want))
	if got := p.texts(); !slices.Equal(got, want) {
		p.t.Errorf("heard %q, want %q", got, want)
	}
}

// refused waits for the n-th error and checks its code.
func (p *person) refused(n int, code string) map[string]any {
	p.t.Helper()
	f := p.hears("error", n)
	if f["code"] != code {
		p.t.Errorf("error %v, want %s", f, code)
	}
	return f
}

func (p *person) history() []string {
	var all []string
	for _, m := range p.hears("welcome", 1)["history"].([]any) {
		all = append(all, m.(map[string]any)["text"].(string))
	}
	return all
}

func who(identity string, more ...func(*chat.Who)) chat.Who {
	w := chat.Who{
		Stream: "demo", Remote: netip.MustParseAddr("192.0.2.1"),
		Grant: sluice.Grant{Identity: identity, Name: identity, Stream: "demo", Watch: true, Chat: true, Expires: time.Now().Add(time.Hour)},
	}
	if identity == "" {
		w.Grant.Expires = time.Time{}
	}
	for _, m := range more {
		m(&w)
	}
	return w
}

func moderator(w *chat.Who) { w.Grant.Moderate = true }

// enter lets a member in and waits for its welcome.
func enter(t testing.TB, n *node, w chat.Who) *person {
	t.Helper()
	p := &person{t: t, in: make(chan []byte, 64), gone: make(chan struct{}), ended: make(chan struct{}), news: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = n.Serve(p, w)
	}()
	t.Cleanup(p.leave)
	p.hears("welcome", 1)
	return p
}
