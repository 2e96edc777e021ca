package node_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
	"github.com/sluice-live/sluice/internal/node"
	"github.com/sluice-live/sluice/signaling"
)

// redisServer runs a redis-server without a disk until the test ends.
func redisServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server (the Debian package of that name) is needed: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	at := "redis://" + net.JoinHostPort(host, port) + "/0"
	until(t, "redis-server answers", func() bool {
		c, err := signaling.Connect(t.Context(), at)
		return err == nil && c.Close() == nil
	})
	return at
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("within 20 s it did not happen that %s", what)
		}
	}
}

// deaf signs a node on that says it carries streams, and answers nobody.
func deaf(t *testing.T, redis, id string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := signaling.Connect(t.Context(), redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r, err := signaling.NewRegistry(c, signaling.Config{
		NodeID: id, URL: "http://" + l.Addr().String(), Describe: func(n *signaling.Node) { n.Load.Streams = 3 },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(t.Context()) })
}

// clusterSecret is what the nodes of these tests know each other by.
const clusterSecret = "a secret of nodes that is long enough"

func joinNode(t *testing.T, redis, id string) *node.Node {
	t.Helper()
	n, _ := serve(t, free(t, map[string]string{
		"redis.url": redis, "node.id": id, "relay.secret": clusterSecret, "record.enabled": "false", "chat.enabled": "false",
		"auth.mode": "token", "auth.keys": chatKey + ": " + chatSecret,
	}), slog.New(slog.DiscardHandler))
	return n
}

func tokenOf(t *testing.T, grant sluice.Grant) string {
	t.Helper()
	token, err := auth.Mint(chatKey, chatSecret, grant, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// streamsAnswer is what a list of streams tells.
type streamsAnswer struct {
	Items []struct {
		Name, Origin string
		Edges        []string
		Viewers      int
		Relayed      bool
	}
	NextCursor string
	Missing    []string
}

func (a streamsAnswer) String() string {
	var b strings.Builder
	for _, s := range a.Items {
		fmt.Fprintf(&b, "%s of %s by %v to %d; ", s.Name, s.Origin, s.Edges, s.Viewers)
	}
	return b.String()
}

func streamsAt(t *testing.T, n *node.Node, query, token string) streamsAnswer {
	t.Helper()
	response, body := fetch(t, http.MethodGet, n.URL()+"/api/v1/streams?"+query, map[string]string{"Authorization": "Bearer " + token})
	var a streamsAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	return a
}

// lists waits for a list: a busy machine may be late with one.
func lists(t *testing.T, n *node.Node, query, token, want string) (got streamsAnswer) {
	t.Helper()
	until(t, "the list is "+want, func() bool {
		got = streamsAt(t, n, query, token)
		return got.String() == want
	})
	return got
}

func publishAt(t *testing.T, n *node.Node, stream string) {
	t.Helper()
	clip, err := clips.Synthetic(clips.VP8, false)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p, err := client.Publish(t.Context(), client.PublisherConfig{
		URL: n.URL() + "/whip/" + stream, Clip: clip, HTTP: &http.Client{Transport: transport},
		Token: tokenOf(t, sluice.Grant{Stream: stream, Publish: true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
}

// TestStreamsOfAllNodes asks three nodes, of which one does not answer.
func TestStreamsOfAllNodes(t *testing.T) {
	t.Parallel()
	redis := redisServer(t)
	deaf(t, redis, "c")
	a, b := joinNode(t, redis, "a"), joinNode(t, redis, "b")
	publishAt(t, a, "one")
	publishAt(t, b, "two")
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	viewer, err := client.Watch(t.Context(), client.ViewerConfig{
		URL: b.URL() + "/whep/one", Token: tokenOf(t, sluice.Grant{Stream: "one", Watch: true}), HTTP: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = viewer.Close() })

	operator := tokenOf(t, sluice.Grant{Watch: true, Moderate: true})
	const want = "one of a by [b] to 1; two of b by [] to 0; "
	for _, n := range []*node.Node{a, b} {
		got := lists(t, n, "", operator, want)
		if !slices.Equal(got.Missing, []string{"c"}) {
			t.Errorf("missing: %v", got.Missing)
		}
		if got.Items[0].Relayed || got.Items[1].Relayed {
			t.Errorf("a relay's entry: %+v", got.Items)
		}
	}
	one, two, _ := strings.Cut(want, " two")
	first := lists(t, a, "limit=1", operator, one+" ")
	if last := lists(t, a, "limit=1&cursor="+first.NextCursor, operator, "two"+two); last.NextCursor != "" {
		t.Errorf("after the last page comes %q", last.NextCursor)
	}
	if got := lists(t, a, "local=true", operator, "one of a by [] to 1; "); got.Missing != nil {
		t.Errorf("only here: missing %v", got.Missing)
	}
	lists(t, a, "", tokenOf(t, sluice.Grant{Stream: "two", Watch: true}), "two of  by [] to 0; ")
	t.Run("strangers", func(t *testing.T) { strangersAsk(t, a) })
}

// strangersAsk asks node a for its streams as its nodes do.
func strangersAsk(t *testing.T, a *node.Node) {
	query := url.Values{"local": {"true"}, "limit": {"1000"}, "cursor": {""}}.Encode()
	sign := func(secret, to, about string) string {
		t.Helper()
		tickets := auth.NewTickets("b")
		tickets.SetSecret(secret)
		ticket, _, err := tickets.Sign(to, about, nil)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	about := "GET /api/v1/streams?" + query
	good := sign(clusterSecret, "a", about)
	tests := []struct {
		name, path, ticket string
		status             int
	}{
		{"a node", "/api/v1/streams?" + query, good, http.StatusOK},
		{"its ticket again", "/api/v1/streams?" + query, good, http.StatusUnauthorized},
		{"another secret", "/api/v1/streams?" + query, sign(strings.Repeat("x", 40), "a", about), http.StatusUnauthorized},
		{"for another node", "/api/v1/streams?" + query, sign(clusterSecret, "c", about), http.StatusUnauthorized},
		{"for another question", "/api/v1/streams", sign(clusterSecret, "a", about), http.StatusUnauthorized},
		{"of a session", "/api/v1/streams?" + query, sign(clusterSecret, "a", "GET /whep/one of 127.0.0.1"), http.StatusUnauthorized},
		{"no ticket", "/api/v1/streams?" + query, "", http.StatusUnauthorized},
		{"nonsense", "/api/v1/streams?" + query, "a.b.c", http.StatusUnauthorized},
		{"another route", "/api/v1/nodes?" + query, sign(clusterSecret, "a", about), http.StatusUnauthorized},
	}
	for _, tt := range tests {
		response, body := fetch(t, http.MethodGet, a.URL()+tt.path, map[string]string{"Sluice-Ticket": tt.ticket})
		if response.StatusCode != tt.status {
			t.Errorf("%s: %d %s", tt.name, response.StatusCode, body)
		}
	}
}

// TestStreamsWithoutCompany holds a node alone against what it told before.
func TestStreamsWithoutCompany(t *testing.T) {
	n, _ := serve(t, free(t, map[string]string{"record.enabled": "false", "chat.enabled": "false"}), slog.New(slog.DiscardHandler))
	for _, query := range []string{"", "?local=true"} {
		_, body := fetch(t, http.MethodGet, n.URL()+"/api/v1/streams"+query, map[string]string{"Sluice-Ticket": "a.b.c"})
		var got any
		if err := json.Unmarshal([]byte(body), &got); err != nil || !reflect.DeepEqual(got, map[string]any{"items": []any{}, "nextCursor": ""}) {
			t.Errorf("%s", body)
		}
	}
}
