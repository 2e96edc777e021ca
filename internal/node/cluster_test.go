package node

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/signaling"
)

// place signs a node on at the Redis of that URL.
func place(t *testing.T, id, url string) *cluster {
	t.Helper()
	client, err := signaling.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	registry, err := signaling.NewRegistry(client, signaling.Config{NodeID: id, LeaseTTL: 300 * time.Millisecond}, log)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{id: id, client: client, registry: registry, log: log, claims: map[string]*claim{}}
	t.Cleanup(func() {
		if err := c.close(context.Background()); err != nil {
			t.Errorf("close %s: %v", id, err)
		}
	})
	return c
}

func embedded(t *testing.T) string {
	t.Helper()
	server, err := signaling.NewEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.URL()
}

type fakeSession struct {
	done   chan struct{}
	once   sync.Once
	reason string
}

func newFakeSession() *fakeSession { return &fakeSession{done: make(chan struct{})} }

func (s *fakeSession) Done() <-chan struct{} { return s.done }
func (s *fakeSession) Watched() bool         { return false }

func (s *fakeSession) Close(reason string) {
	s.once.Do(func() { s.reason = reason; close(s.done) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(5 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("within 5 s it did not happen that %s", what)
		}
	}
}

func TestPublishersOfOneNodeShareALease(t *testing.T) {
	url := embedded(t)
	here, there := place(t, "here", url), place(t, "there", url)
	first, err := here.take(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	second, err := here.take(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if first != second || first.lost() {
		t.Error("the second publisher took the lease from the first")
	}
	if _, err := there.take(t.Context(), "demo"); sluice.CodeOf(err) != sluice.CodeStreamBusy {
		t.Errorf("another node: %v, want %s", err, sluice.CodeStreamBusy)
	}
	if n := len(there.claims); n != 0 {
		t.Errorf("%d claims are left after a refusal", n)
	}
	here.give("demo", first)
	if _, err := there.take(t.Context(), "demo"); sluice.CodeOf(err) != sluice.CodeStreamBusy {
		t.Errorf("one publisher is left: %v, want %s", err, sluice.CodeStreamBusy)
	}
	here.give("demo", second)
	moved, err := there.take(t.Context(), "demo")
	if err != nil {
		t.Fatalf("after the last publisher: %v", err)
	}
	there.give("demo", moved)
}

func TestLostLeaseEndsItsSession(t *testing.T) {
	url := embedded(t)
	here := place(t, "here", url)
	held, err := here.take(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	session := newFakeSession()
	here.hold("demo", held, session)
	twin := place(t, "here", url) // the same node started again elsewhere
	taken, err := twin.take(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-session.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the session of a lost lease goes on")
	}
	eventually(t, "the claim is gone", func() bool {
		here.mu.Lock()
		defer here.mu.Unlock()
		return len(here.claims) == 0
	})
	twin.give("demo", taken)
}

func TestEndOfASessionReleasesItsLease(t *testing.T) {
	here := place(t, "here", embedded(t))
	held, err := here.take(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	session := newFakeSession()
	here.hold("demo", held, session)
	session.Close("test")
	eventually(t, "the lease is released", func() bool { return here.registry.Leases() == 0 })
}

func TestManyTakeAtOnce(t *testing.T) {
	here := place(t, "here", embedded(t))
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			held, err := here.take(t.Context(), "demo")
			if err != nil {
				t.Error(err)
				return
			}
			here.give("demo", held)
		})
	}
	all.Wait()
	if n := here.registry.Leases(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
}

func TestICEServers(t *testing.T) {
	now := func() time.Time { return time.Unix(1_000_000, 0) }
	if (MediaConfig{}).iceServers(now) != nil {
		t.Error("servers without configuration")
	}
	c := MediaConfig{ICEServers: []ICEServer{
		{URLs: []string{"stun:a"}},
		{URLs: []string{"turn:b"}, Username: "u", Credential: obs.Secret("p")},
		{URLs: []string{"turn:c"}, Secret: obs.Secret("north")},
	}}
	got := c.iceServers(now)(sluice.Grant{Identity: "alice"})
	if len(got) != 3 || got[0].Username != "" || got[1].Username != "u" || got[1].Credential != "p" {
		t.Errorf("got %+v", got)
	}
	// printf '1003600:alice' | openssl dgst -sha1 -hmac north -binary | base64
	if got[2].Username != "1003600:alice" || got[2].Credential != "udLEuyyDOwk3mLEbdxPxYtNXKVA=" {
		t.Errorf("TURN: got %+v", got[2])
	}
	if name := c.iceServers(now)(sluice.Grant{})[2].Username; name != "1003600:anonymous" {
		t.Errorf("without identity: %s", name)
	}
}

func TestNodesOfOneRedisShareTheirFirstKey(t *testing.T) {
	url := embedded(t)
	fresh := func() Config {
		c := Config{}
		c.Auth.Mode, c.Data.Dir, c.Redis.URL = AuthToken, t.TempDir(), obs.Secret(url)
		return c
	}
	first, second := fresh(), fresh()
	keys, err := APIKeys(first)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if theirs, err := APIKeys(second); err != nil || !maps.Equal(theirs, keys) {
		t.Errorf("the second node has other keys, %v", err)
	}
	client, err := signaling.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if again, err := APIKeys(first); err != nil || !maps.Equal(again, keys) {
		t.Errorf("a node that has a key takes another one, %v", err)
	}
	if theirs, err := place(t, "here", url).registry.ShareKey(t.Context(), first.keyText()); err != nil || theirs != first.keyText() {
		t.Errorf("an emptied Redis does not take the key: %v", err)
	}
	if theirs, err := APIKeys(fresh()); err != nil || !maps.Equal(theirs, keys) {
		t.Errorf("the third node has other keys, %v", err)
	}
	set := fresh()
	set.Auth.Keys = map[string]obs.Secret{"mine": "0123456789012345678901234567890123456789"}
	if theirs, err := APIKeys(set); err != nil || len(theirs["mine"]) == 0 || set.keyText() != "" {
		t.Errorf("auth.keys do not count: %v", err)
	}
	gone := fresh()
	gone.Redis.URL = "redis://127.0.0.1:1/0"
	if _, err := APIKeys(gone); err == nil {
		t.Error("a key of its own, without having asked")
	}
}
