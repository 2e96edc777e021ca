package node_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/node"
)

const chatKey, chatSecret = "devkey", "a-secret-that-is-long-enough-to-be-one"

// chatter is a client of the chat.
type chatter struct {
	t  *testing.T
	ws *websocket.Conn
}

func joinChat(t *testing.T, n *node.Node, grant sluice.Grant) *chatter {
	t.Helper()
	grant.Stream, grant.Watch, grant.Chat = "demo", true, true
	token, err := auth.Mint(chatKey, chatSecret, grant, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ws, _, err := websocket.Dial(t.Context(), n.URL()+"/chat/demo", &websocket.DialOptions{Subprotocols: []string{"sluice.chat", "bearer." + token}})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() }) // the node may have closed it
	return &chatter{t, ws}
}

func (c *chatter) send(frame string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chatter) hears(kind string) map[string]any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, frame, err := c.ws.Read(ctx)
		if err != nil {
			c.t.Fatalf("no %s: %v", kind, err)
		}
		if frame[0] != '[' {
			frame = slices.Concat([]byte("["), frame, []byte("]"))
		}
		var all []map[string]any
		if err := json.Unmarshal(frame, &all); err != nil {
			c.t.Fatal(err)
		}
		if i := slices.IndexFunc(all, func(f map[string]any) bool { return f["type"] == kind }); i >= 0 {
			return all[i]
		}
	}
}

// TestChatOutlivesTheNode restarts a node that runs alone: it forgets no message
// and no ban.
func TestChatOutlivesTheNode(t *testing.T) {
	c := free(t, map[string]string{"auth.mode": "token", "auth.keys": chatKey + ": " + chatSecret})
	first, stop := serve(t, c, slog.New(slog.DiscardHandler))
	mod, bob := joinChat(t, first, sluice.Grant{Identity: "mod", Moderate: true}), joinChat(t, first, sluice.Grant{Identity: "bob"})
	if f := mod.hears("welcome"); f["role"] != "moderator" {
		t.Errorf("welcome %v", f)
	}
	bob.hears("welcome")
	bob.send(`{"type":"send","ref":"c1","text":"hello"}`)
	if f := bob.hears("message"); f["ref"] != "c1" {
		t.Errorf("message %v", f)
	}
	if _, document := fetch(t, "GET", first.URL()+"/api/v1/openapi.json", nil); !strings.Contains(document, `"/api/v1/streams/{stream}/chat":`) {
		t.Error("the OpenAPI document has no chat")
	}
	mod.send(`{"type":"ban","user":"bob","seconds":600}`)
	bob.hears("banned")
	_, metrics := fetch(t, "GET", first.OpsURL()+"/metrics", nil)
	for _, line := range []string{`sluice_chat_messages_total{direction="in"} 1`, "sluice_chat_members 2", `sluice_chat_refused_total{code="banned"} 0`} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("%s is missing", line)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	second, _ := serve(t, c, slog.New(slog.DiscardHandler))
	bob = joinChat(t, second, sluice.Grant{Identity: "bob"})
	if f := bob.hears("welcome"); len(f["history"].([]any)) != 1 {
		t.Errorf("welcome %v", f)
	}
	bob.send(`{"type":"send","ref":"c2","text":"again"}`)
	if f := bob.hears("error"); f["code"] != "banned" {
		t.Errorf("error %v", f)
	}
}
