package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/load"
)

// roomy are limits for many members at one address that write much.
func roomy() []string {
	return []string{"--stream.wait=true", "--chat.rate=6000", "--chat.burst=100"}
}

// TestChatOfManyMembers has many members on two nodes, half of them on data
// channels: every message comes to each once, in one order, while one member reads
// nothing and one floods.
func TestChatOfManyMembers(t *testing.T) {
	const members = 200
	c := (&cluster{program: buildSluice(t)}).on(t)
	nodes := []*member{c.join(t, "a", roomy()...), c.join(t, "b", roomy()...)}
	deaf, _, err := websocket.Dial(t.Context(), nodes[0].url+"/chat/demo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.CloseNow() }()
	flooding, stop := context.WithCancel(t.Context())
	var flooder sync.WaitGroup
	flooder.Go(func() { flood(flooding, nodes[1].url+"/chat/demo") })
	defer flooder.Wait()
	defer stop()

	requests := clientHTTP(t)
	bots, err := load.NewChatChannels(t.Context(), nodes[1].url+"/whep/demo", "", requests)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := bots.Close(); err != nil {
			t.Error(err)
		}
	}()
	report, err := load.RunChat(t.Context(), load.ChatConfig{
		Members: members, Senders: 50, Rate: 20, Ramp: 100, Duration: 5 * time.Second,
		Dial: func(ctx context.Context, i int, take func([]byte)) (load.ChatConn, error) {
			url := nodes[i%2].url
			if i%4 < 2 {
				return load.DialChat(ctx, url+"/chat/demo", "", take)
			}
			if i%2 == 1 {
				return bots.Dial(ctx, i, take)
			}
			v, err := client.Watch(ctx, client.ViewerConfig{URL: url + "/whep/demo", NoVideo: true, HTTP: requests, OnChat: take})
			if err != nil {
				return nil, err
			}
			return inSession{v}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *report)
	if report.Failed > 0 || report.Members != members {
		t.Errorf("%d of %d members, %d failed: %v", report.Members, members, report.Failed, report.Errors)
	}
	if report.Confirmed < report.Sent*9/10 || report.Lost > 0 || report.Twice > 0 || report.Orders != 1 {
		t.Errorf("%d sent, %d confirmed, %d lost, %d twice, %d orders", report.Sent, report.Confirmed, report.Lost, report.Twice, report.Orders)
	}
}

// inSession is a viewer whose session carries the chat.
type inSession struct{ *client.Viewer }

func (s inSession) Send(frame []byte) error { return s.Chat(frame) }

// flood sends as fast as it can, and comes back when it is put out.
func flood(ctx context.Context, url string) {
	for ctx.Err() == nil {
		ws, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			continue
		}
		for err == nil {
			err = ws.Write(ctx, websocket.MessageText, []byte(`{"type":"send","text":"flood"}`))
		}
		_ = ws.CloseNow()
	}
}

// teller is a member that says numbers until each is confirmed.
type teller struct {
	name string
	conn load.ChatConn

	mu        sync.Mutex
	heard     []string // texts in order
	confirmed map[string]bool
	refused   atomic.Int64
}

func (p *teller) take(frame []byte) {
	if frame[0] != '[' {
		frame = slices.Concat([]byte("["), frame, []byte("]"))
	}
	var all []struct {
		Type, Ref, Text, Code string
		History               []struct{ Text string }
	}
	if json.Unmarshal(frame, &all) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range all {
		for _, before := range f.History {
			p.heard = append(p.heard, before.Text)
		}
		switch {
		case f.Type == "message":
			p.heard = append(p.heard, f.Text)
			if f.Ref != "" {
				p.confirmed[f.Ref] = true
			}
		case f.Type == "error" && f.Code == "unavailable":
			p.refused.Add(1)
		}
	}
}

// tell says a text again and again until it is confirmed.
func (p *teller) tell(t testing.TB, n int) {
	t.Helper()
	ref := fmt.Sprint(p.name, n)
	frame := fmt.Appendf(nil, `{"type":"send","ref":%q,"text":%q}`, ref, ref)
	var sent time.Time
	poll(t, patience, 20*time.Millisecond, ref+" is confirmed", func() bool {
		p.mu.Lock()
		done := p.confirmed[ref]
		p.mu.Unlock()
		if !done && time.Since(sent) > time.Second {
			sent = time.Now()
			if err := p.conn.Send(frame); err != nil {
				t.Fatal(err)
			}
		}
		return done
	})
}

// TestChatOutlivesRedis kills Redis, which keeps nothing, for ten seconds: senders
// are told, what was confirmed is heard everywhere once and in one order, and new
// members get it.
func TestChatOutlivesRedis(t *testing.T) {
	t.Parallel() // mostly waits
	c := (&cluster{program: buildSluice(t)}).on(t)
	var tellers []*teller
	for i, id := range []string{"a", "b"} {
		n := c.join(t, id, roomy()...)
		p := &teller{name: id, confirmed: map[string]bool{}}
		conn, err := load.DialChat(t.Context(), n.url+"/chat/demo", "", p.take)
		if err != nil {
			t.Fatal(err)
		}
		p.conn = conn
		t.Cleanup(func() { _ = tellers[i].conn.Close() })
		tellers = append(tellers, p)
	}
	var telling sync.WaitGroup
	down := make(chan struct{})
	for _, p := range tellers {
		telling.Go(func() {
			for n := range 10 {
				p.tell(t, n)
			}
			down <- struct{}{}
			for n := range 10 {
				p.tell(t, 10+n)
			}
		})
	}
	<-down
	<-down
	if err := c.redis.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.redis.cmd.Wait()
	gone := time.Now()
	poll(t, patience, 50*time.Millisecond, "ten seconds, and both senders are told", func() bool {
		return time.Since(gone) > 10*time.Second && tellers[0].refused.Load() > 0 && tellers[1].refused.Load() > 0
	})
	c.redis.cmd = exec.Command(c.redis.cmd.Path, c.redis.cmd.Args[1:]...)
	if err := c.redis.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	telling.Wait()
	for _, p := range tellers {
		poll(t, patience, 50*time.Millisecond, "everything is heard", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.heard) >= 40
		})
	}
	one, two := tellers[0].heard, tellers[1].heard
	if !slices.Equal(one, two) || len(one) != 40 {
		t.Errorf("heard\n%q\n%q", one, two)
	}
	slices.Sort(one)
	if len(slices.Compact(one)) != 40 {
		t.Errorf("not once: %q", one)
	}
}
