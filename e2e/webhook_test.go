package e2e

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lkauth "github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/webhook"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

const (
	hookKey    = "APIhooks"
	hookSecret = "0123456789abcdef0123456789abcdef"
)

// hookReceiver is a server of an application: it reads events with LiveKit's own code.
type hookReceiver struct {
	address string
	server  *http.Server

	mu     sync.Mutex
	events []*livekit.WebhookEvent
	bad    []error
}

// newHookReceiver reserves an address. It listens from open on.
func newHookReceiver(t testing.TB) *hookReceiver {
	return &hookReceiver{address: "127.0.0.1:" + freePort(t)}
}

func (r *hookReceiver) url() string { return "http://" + r.address + "/hook" }

func (r *hookReceiver) open(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.server = &http.Server{Handler: r}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.server.Serve(l)
	}()
	t.Cleanup(func() { _ = r.server.Close(); <-done })
}

// ServeHTTP implements http.Handler.
func (r *hookReceiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	event, err := webhook.ReceiveWebhookEvent(req, lkauth.NewSimpleKeyProvider(hookKey, hookSecret))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.bad = append(r.bad, err)
		return
	}
	r.events = append(r.events, event)
}

// all returns the events so far, and fails the test for one that LiveKit's code refuses.
func (r *hookReceiver) all(t testing.TB) []*livekit.WebhookEvent {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.bad {
		t.Errorf("refused: %v", err)
	}
	return slices.Clone(r.events)
}

// told names an event, and whom or what it is about.
func told(e *livekit.WebhookEvent) string {
	text := e.Event
	if p := e.Participant; p != nil {
		text += " " + p.Identity
	}
	if t := e.Track; t != nil {
		text += " " + strings.ToLower(t.Type.String())
	}
	return text
}

func names(events []*livekit.WebhookEvent) []string {
	var all []string
	for _, e := range events {
		all = append(all, told(e))
	}
	return all
}

// of returns the first event of that name.
func (r *hookReceiver) of(t testing.TB, name string) *livekit.WebhookEvent {
	t.Helper()
	all := r.all(t)
	i := slices.IndexFunc(all, func(e *livekit.WebhookEvent) bool { return told(e) == name })
	if i < 0 {
		t.Fatalf("no %q among %q", name, names(all))
	}
	return all[i]
}

// until waits for an event as often as n times.
func (r *hookReceiver) until(t testing.TB, n int, name string) {
	t.Helper()
	within(t, patience, fmt.Sprint(name, " is told ", n, " times"), func() bool {
		count := 0
		for _, e := range r.all(t) {
			if told(e) == name {
				count++
			}
		}
		return count >= n
	})
}

func hookToken(t testing.TB, g sluice.Grant) string {
	t.Helper()
	g.Stream = "demo"
	token, err := auth.Mint(hookKey, hookSecret, g, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestWebhooks publishes, watches and records a stream whose receiver is away at
// first, with a publisher that comes back within the grace time.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	r := newHookReceiver(t)
	n := startNode(t, "auth.mode=token", "auth.keys="+hookKey+": "+hookSecret, "webhook.urls="+r.url(), "stream.grace=2s")
	alice := sluice.Grant{Identity: "alice", Name: "Alice", Publish: true, Watch: true}
	token := hookToken(t, alice)
	cfg := client.PublisherConfig{URL: n.URL + "/whip/demo", Token: token, Clip: pattern(t, clips.H264, true), KeyframesOnRequest: true}
	p := publishClip(t, cfg)
	within(t, patience, "the receiver is asked in vain", func() bool { return n.total(t, "sluice_webhook_retries_total") > 0 })
	r.open(t)
	r.until(t, 1, "egress_started")
	v, err := client.Watch(t.Context(), client.ViewerConfig{
		URL: n.URL + "/whep/demo", Token: hookToken(t, sluice.Grant{Identity: "bob", Watch: true}), HTTP: clientHTTP(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	within(t, patience, "frames", func() bool { return v.Stats().Video.Frames > 5 })
	r.until(t, 1, "participant_joined bob")
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	r.until(t, 1, "participant_left bob")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	r.until(t, 1, "participant_left alice")
	p = publishClip(t, cfg)
	r.until(t, 2, "track_published alice video")
	r.until(t, 2, "track_published alice audio")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	r.until(t, 1, "room_finished")
	r.until(t, 1, "egress_ended")
	checkTold(t, r)
	if lost := n.total(t, "sluice_webhook_events_total{result=\"dropped\"}"); lost != 0 {
		t.Errorf("%v events dropped", lost)
	}
}

// checkTold looks at order and fields of what TestWebhooks did.
func checkTold(t *testing.T, r *hookReceiver) {
	t.Helper()
	all := r.all(t)
	room := r.of(t, "room_started").Room
	ids := map[string]bool{}
	var order []string
	for _, e := range all {
		if e.Id == "" || ids[e.Id] || time.Since(time.Unix(e.CreatedAt, 0)) > time.Hour {
			t.Errorf("id %q, created %d", e.Id, e.CreatedAt)
		}
		ids[e.Id] = true
		if e.EgressInfo != nil {
			if e.EgressInfo.RoomName != "demo" || e.EgressInfo.RoomId != room.Sid {
				t.Errorf("%s is of room %q %q", e.Event, e.EgressInfo.RoomName, e.EgressInfo.RoomId)
			}
			continue // from the recorder, at its own time
		}
		if e.Room.Name != "demo" || e.Room.Sid != room.Sid || e.Room.CreationTimeMs == 0 {
			t.Errorf("%s is of room %v", e.Event, e.Room)
		}
		order = append(order, strings.TrimSuffix(strings.TrimSuffix(told(e), " audio"), " video"))
	}
	want := []string{
		"room_started", "participant_joined alice", "track_published alice", "track_published alice",
		"participant_joined bob", "participant_left bob",
		"track_unpublished alice", "track_unpublished alice", "participant_left alice",
		"participant_joined alice", "track_published alice", "track_published alice",
		"track_unpublished alice", "track_unpublished alice", "participant_left alice", "room_finished",
	}
	if !slices.Equal(order, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(order, "\n"), strings.Join(want, "\n"))
	}
	if a := r.of(t, "participant_joined alice").Participant; a.Name != "Alice" || !a.IsPublisher || !a.Permission.CanPublish || a.State != livekit.ParticipantInfo_ACTIVE {
		t.Errorf("publisher %v", a)
	}
	if b := r.of(t, "participant_left bob").Participant; b.IsPublisher || b.Permission.CanPublish || b.State != livekit.ParticipantInfo_DISCONNECTED {
		t.Errorf("viewer %v", b)
	}
	if v := r.of(t, "track_unpublished alice video").Track; v.MimeType != "video/H264" || v.Width != 1280 || v.Height != 720 || len(v.Codecs[0].Layers) != 3 {
		t.Errorf("video %v", v)
	}
	if a := r.of(t, "track_published alice audio").Track; a.MimeType != "audio/opus" {
		t.Errorf("sound %v", a)
	}
	began, ended := r.of(t, "egress_started").EgressInfo, r.of(t, "egress_ended").EgressInfo
	if began.EgressId != ended.EgressId || ended.Status != livekit.EgressStatus_EGRESS_COMPLETE || ended.EndedAt <= began.StartedAt || ended.FileResults[0].Duration <= 0 {
		t.Errorf("recording %v, %v", began, ended)
	}
}

// TestWebhooksOfACluster moves a publisher from node to node: each event is told once,
// and the room is the same everywhere.
func TestWebhooksOfACluster(t *testing.T) {
	t.Parallel()
	r := newHookReceiver(t)
	r.open(t)
	nodes := (&cluster{program: buildSluice(t)}).on(t)
	flags := []string{"--auth.keys=" + hookKey + ": " + hookSecret, "--webhook.urls=" + r.url(), "--stream.grace=6s"}
	a, b := nodes.join(t, "a", flags...), nodes.join(t, "b", flags...)
	clip := pattern(t, clips.H264, false)
	p := publishClip(t, client.PublisherConfig{URL: a.url + "/whip/demo", Clip: clip})
	a.live(t, "demo", 1)
	v := watchClip(t, b.url+"/whep/demo", 1)
	within(t, patience, "frames", func() bool { return v[0].Stats().Video.Frames > 5 })
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	moved := publishAgain(t, client.PublisherConfig{URL: b.url + "/whip/demo", Clip: clip}, 50*time.Millisecond)
	b.live(t, "demo", 1)
	if err := moved.Close(); err != nil {
		t.Error(err)
	}
	r.until(t, 1, "room_finished")
	counts := map[string]int{}
	for _, e := range r.all(t) {
		counts[e.Event]++
		if e.Room.Sid == "" || e.Room.Sid != r.of(t, "room_started").Room.Sid {
			t.Errorf("%s is of room %v", e.Event, e.Room)
		}
	}
	for name, want := range map[string]int{"room_started": 1, "room_finished": 1, "participant_joined": 3, "track_published": 4, "track_unpublished": 4} {
		if counts[name] != want {
			t.Errorf("%s is told %d times, want %d: %q", name, counts[name], want, names(r.all(t)))
		}
	}
}
