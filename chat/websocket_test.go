package chat_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
	"github.com/sluice-live/sluice/internal/wish"
)

// guard is an Authorizer whose tokens are named for what they grant.
type guard struct{ open bool }

func (g guard) Authorize(_ context.Context, bearer string) (sluice.Grant, error) {
	grant := sluice.Grant{Identity: bearer, Name: bearer, Stream: "demo", Expires: time.Now().Add(time.Hour)}
	switch bearer {
	case "watch.demo.x":
		grant.Watch, grant.Chat = true, true
	case "mod.demo.x":
		grant.Moderate, grant.Chat = true, true
	case "watch.other.x":
		grant.Watch, grant.Stream = true, "other"
	default:
		if g.open && bearer == "" {
			return sluice.Grant{Publish: true, Watch: true, Chat: true, Moderate: true}, nil
		}
		return sluice.Grant{}, sluice.Errorf(sluice.CodeUnauthenticated, "no")
	}
	return grant, nil
}

func serve(t *testing.T, n *node, open bool) string {
	t.Helper()
	gin.SetMode(gin.TestMode)
	engine := gin.New()
	chat.NewHandler(n.Hub, guard{open}, wish.NewLimiter(wish.Rates{}), n.store).Routes(engine)
	server := httptest.NewServer(engine)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = n.Close() })
	return server.URL
}

// wire is a client's end of a WebSocket.
type wire struct {
	*websocket.Conn
	t *testing.T
}

func dial(t *testing.T, url string, protocols ...string) *wire {
	t.Helper()
	ws, res, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		t.Fatal(err)
	}
	if len(protocols) > 0 && ws.Subprotocol() == "" {
		t.Errorf("a browser would refuse: %v", res.Header)
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return &wire{ws, t}
}

func (w *wire) write(text string) {
	w.t.Helper()
	if err := w.Write(w.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// hears reads until a frame of a type comes.
func (w *wire) hears(kind string) map[string]any {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		_, b, err := w.Read(ctx)
		if err != nil {
			w.t.Fatalf("no %s: %v", kind, err)
		}
		var all []map[string]any
		if b[0] != '[' {
			b = append(append([]byte("["), b...), ']')
		}
		if err := json.Unmarshal(b, &all); err != nil {
			w.t.Fatal(err)
		}
		for _, f := range all {
			if f["type"] == kind {
				return f
			}
		}
	}
}

func TestWebSocketTokens(t *testing.T) {
	url := serve(t, alone(t, fast()), false) + "/chat/demo"
	for name, protocols := range map[string][]string{
		"prefixed":    {chat.Protocol, "bearer.watch.demo.x"},
		"two items":   {chat.Protocol, "bearer", "watch.demo.x"},
		"as it is":    {"watch.demo.x"},
		"own with it": {"my-chat", "watch.demo.x"},
	} {
		t.Run(name, func(t *testing.T) {
			if f := dial(t, url, protocols...).hears("welcome"); f["role"] != "viewer" {
				t.Errorf("%v", f)
			}
		})
	}
	t.Run("first frame", func(t *testing.T) {
		w := dial(t, url, chat.Protocol)
		w.write(`{"type":"auth","token":"mod.demo.x"}`)
		if f := w.hears("welcome"); f["role"] != "moderator" {
			t.Errorf("%v", f)
		}
	})
	t.Run("in the query", func(t *testing.T) {
		dial(t, url+"?token=watch.demo.x").hears("welcome")
	})
	t.Run("bad first frame", func(t *testing.T) {
		w := dial(t, url)
		w.write(`{"type":"auth","token":"nonsense"}`)
		if f := w.hears("error"); f["code"] != "forbidden" {
			t.Errorf("%v", f)
		}
		if _, _, err := w.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("it goes on: %v", err)
		}
	})
	for name, tt := range map[string]struct {
		path, protocol string
		status         int
	}{
		"bad token":      {"/chat/demo", "bearer.nonsense", 401},
		"other stream":   {"/chat/demo", "bearer.watch.other.x", 403},
		"no stream name": {"/chat/a.b", "bearer.watch.demo.x", 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, res, err := websocket.Dial(t.Context(), strings.TrimSuffix(url, "/chat/demo")+tt.path, &websocket.DialOptions{Subprotocols: []string{tt.protocol}})
			if err == nil || res.StatusCode != tt.status {
				t.Errorf("%v %v, want %d", res, err, tt.status)
			}
		})
	}
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 400 || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("without WebSocket: %d", res.StatusCode)
	}
}

func TestWebSocketOpen(t *testing.T) {
	url := serve(t, alone(t, fast()), true) + "/chat/demo"
	guest := dial(t, url, chat.Protocol, "guest.abcdef")
	id := guest.hears("welcome")["user"].(map[string]any)["id"]
	if again := dial(t, url, chat.Protocol, "guest.abcdef").hears("welcome")["user"].(map[string]any)["id"]; again != id {
		t.Errorf("a guest's key: %v and %v", id, again)
	}
	mod := dial(t, url)
	mod.hears("welcome")
	mod.write(`{"type":"auth","token":"mod.demo.x"}`)
	if f := mod.hears("welcome"); f["role"] != "moderator" {
		t.Errorf("%v", f)
	}
	guest.write(`{"type":"send","ref":"c1","text":"<b>hello</b>"}`)
	f := mod.hears("message")
	if f["text"] != "<b>hello</b>" || f["ref"] != nil {
		t.Errorf("%v", f)
	}
	if f := guest.hears("message"); f["ref"] != "c1" {
		t.Errorf("%v", f)
	}
	guest.write(`{"type":"send","text":"` + strings.Repeat("x", 5000) + `"}`)
	if f := guest.hears("error"); f["code"] != "too_long" {
		t.Errorf("%v", f)
	}
	guest.write(`{"type":"send","text":"still here"}`)
	guest.hears("message")
}

// TestWebSocketNeverReads fills the connection of a member that reads nothing.
func TestWebSocketNeverReads(t *testing.T) {
	t.Parallel()
	n := alone(t, fast())
	url := serve(t, n, true) + "/chat/demo"
	deaf := dial(t, url)
	deaf.hears("welcome")
	alice := enter(t, n, who("alice"))
	long := strings.Repeat("語", 500)
	for i := 0; n.Counters().Dropped == 0; i++ {
		if i > 20_000 {
			t.Fatal("it is never put out")
		}
		alice.say(`{"type":"send","ref":"%d","text":"%d%s"}`, i, i, long[:1200])
		if i%30 == 29 {
			alice.hears("message", i+1)
		}
	}
	eventually(t, "it is out", func() bool { return n.Counters().Members == 1 })
}

// ask makes an HTTP request and decodes the answer.
func ask(t *testing.T, method, url, token, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

func TestRoomOverHTTP(t *testing.T) {
	n := alone(t, fast())
	url := serve(t, n, false) + "/api/v1/streams/demo/chat"
	for name, tt := range map[string]struct {
		method, token, body string
		status              int
	}{
		"viewer":       {"GET", "watch.demo.x", "", 403},
		"stranger":     {"GET", "nonsense", "", 401},
		"unknown key":  {"PATCH", "mod.demo.x", `{"loud":true}`, 400},
		"out of range": {"PATCH", "mod.demo.x", `{"slow":-1}`, 400},
	} {
		if status, answer := ask(t, tt.method, url, tt.token, tt.body); status != tt.status {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	alice, guest := enter(t, n, who("alice")), enter(t, n, who(""))
	if status, answer := ask(t, "PATCH", url, "mod.demo.x", `{"slow":0,"noLinks":true,"followersOnly":true}`); status != 200 || answer["settings"].(map[string]any)["noLinks"] != true {
		t.Errorf("%d %v", status, answer)
	}
	alice.send("0", "x")
	alice.hears("message", 1)
	alice.send("1", "see evil.com/x")
	alice.refused(1, "forbidden")
	guest.send("1", "hello")
	guest.refused(1, "forbidden")
	_, answer := ask(t, "GET", url, "mod.demo.x", "")
	if actions := answer["actions"].([]any); len(actions) != 1 || actions[0].(map[string]any)["action"] != "rules" {
		t.Errorf("actions %v", actions)
	}
}

func TestReplay(t *testing.T) {
	n := alone(t, fast())
	url := serve(t, n, false) + "/vod/"
	alice := enter(t, n, who("alice"))
	alice.send("0", "before")
	alice.hears("message", 1)
	wait, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	<-wait.Done()
	cancel()
	n.shows = []sluice.Recording{{ID: "rec1", Stream: "demo", Started: time.Now()}}
	alice.send("1", "in it")
	alice.hears("message", 2)
	var answer map[string]any
	eventually(t, "the message is kept", func() bool {
		var status int
		status, answer = ask(t, "GET", url+"rec1/chat.json", "watch.demo.x", "")
		return status == 200 && len(answer["messages"].([]any)) == 1
	})
	m := answer["messages"].([]any)[0].(map[string]any)
	if m["text"] != "in it" || m["offset"].(float64) < 0 || m["offset"].(float64) > 20 || answer["next"] != nil || answer["ended"] != nil {
		t.Errorf("%v", answer)
	}
	for from, want := range map[string]int{"0": 1, "3600": 0, "2001-01-01T00:00:00Z": 1, "2999-01-01T00:00:00.500Z": 0, m["at"].(string): 1} {
		if _, answer := ask(t, "GET", url+"rec1/chat.json?from="+from, "watch.demo.x", ""); len(answer["messages"].([]any)) != want {
			t.Errorf("from %s: %v", from, answer)
		}
	}
	n.shows = []sluice.Recording{{ID: "rec1", Stream: "demo", Started: n.shows[0].Started, Ended: time.Now().Add(time.Hour)}}
	if _, answer = ask(t, "GET", url+"rec1/chat.json", "watch.demo.x", ""); answer["ended"] == nil {
		t.Errorf("%v", answer)
	}
	for _, tt := range []struct {
		path, token string
		status      int
	}{
		{"rec1/chat.json", "watch.other.x", 403}, {"rec2/chat.json", "watch.demo.x", 404}, {"rec1/chat.json?from=x", "watch.demo.x", 400},
	} {
		if status, answer := ask(t, "GET", url+tt.path, tt.token, ""); status != tt.status {
			t.Errorf("%s: %d %v", tt.path, status, answer)
		}
	}
}
