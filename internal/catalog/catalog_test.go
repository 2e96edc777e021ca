package catalog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/catalog/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onBoth runs a contract over SQLite and over a PostgreSQL server of its own.
func onBoth(t *testing.T, contract func(t *testing.T, open func() *catalog.Catalog)) {
	t.Parallel()
	opener := func(t *testing.T, url, dir string) func() *catalog.Catalog {
		return func() *catalog.Catalog {
			c, err := catalog.Open(t.Context(), url, dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() }) // a test may have closed it
			return c
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		contract(t, opener(t, "", t.TempDir()))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		contract(t, opener(t, pgtest.Start(t).URL, ""))
	})
}

func start() time.Time { return time.UnixMilli(1_800_000_000_000).UTC() }

// say makes the i-th message of a stream, one a second.
func say(stream string, i int) catalog.Message {
	return catalog.Message{
		Stream: stream, ID: fmt.Sprintf("%06d", i), At: start().Add(time.Duration(i) * time.Second),
		UserID: "alice", Name: "Alicé", Role: "viewer", Origin: "tag", Ref: "r" + strconv.Itoa(i), Text: "<b>" + strconv.Itoa(i) + "</b> 🎉",
	}
}

func ids(messages []catalog.Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, strings.TrimLeft(m.ID, "0"))
	}
	return strings.Join(all, " ")
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *catalog.Catalog) {
		c, ctx := open(), t.Context()
		read := must[[]catalog.Message](t)
		ok(t, c.AddMessages(ctx, nil))
		ok(t, c.AddMessages(ctx, []catalog.Message{say("demo", 1), say("demo", 2), say("other", 1)}))
		ok(t, c.AddMessages(ctx, []catalog.Message{say("demo", 2), say("demo", 3), say("demo", 4)}))
		if got := read(c.MessagesBefore(ctx, "demo", "", 3)); ids(got) != "2 3 4" || got[0] != say("demo", 2) {
			t.Errorf("the last three: %+v", got)
		}
		if got := read(c.MessagesBefore(ctx, "demo", say("", 3).ID, 10)); ids(got) != "1 2" {
			t.Errorf("before the third: %s", ids(got))
		}
		ok(t, c.DeleteMessage(ctx, "demo", say("", 2).ID, start()))
		ok(t, c.DeleteMessage(ctx, "demo", "nothing", start()))
		ok(t, c.AddMessages(ctx, []catalog.Message{say("demo", 2)})) // another node is late
		if got := read(c.MessagesBefore(ctx, "demo", "", 10)); ids(got) != "1 3 4" {
			t.Errorf("after deletion: %s", ids(got))
		}
		if got := read(c.MessagesBetween(ctx, "demo", start().Add(2*time.Second), start().Add(4*time.Second), 10)); ids(got) != "3" {
			t.Errorf("between: %s", ids(got))
		}
		if got := read(c.MessagesBetween(ctx, "demo", start(), time.Time{}, 2)); ids(got) != "1 3" {
			t.Errorf("until now: %s", ids(got))
		}
	})
}

func TestBansAndRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *catalog.Catalog) {
		c, ctx := open(), t.Context()
		bob := catalog.Ban{Stream: "demo", User: "bob", Origin: "tag", Until: start().Add(time.Hour), Reason: "spam", Actor: "mod", At: start()}
		longer := bob
		longer.Until = start().Add(2 * time.Hour)
		short := catalog.Ban{Stream: "demo", User: "al", Until: start().Add(time.Second), Actor: "mod", At: start()}
		for _, b := range []catalog.Ban{bob, longer, short} {
			ok(t, c.SetBan(ctx, b))
		}
		room := catalog.Room{Slow: 7 * time.Second, NoLinks: true, Followers: true, NoGuests: true}
		ok(t, c.SetRoom(ctx, "demo", catalog.Room{Slow: time.Second}))
		ok(t, c.SetRoom(ctx, "demo", room))
		ok(t, c.Close())

		c = open() // a restart forgets nothing
		bans := must[[]catalog.Ban](t)
		if got := bans(c.Bans(ctx, "demo", start().Add(time.Minute))); len(got) != 1 || got[0] != longer {
			t.Errorf("bans: %+v", got)
		}
		if got := bans(c.Bans(ctx, "other", start())); len(got) != 0 {
			t.Errorf("bans of another stream: %+v", got)
		}
		ok(t, c.LiftBan(ctx, "demo", "bob"))
		ok(t, c.LiftBan(ctx, "demo", "nobody"))
		if got := bans(c.Bans(ctx, "demo", start().Add(time.Minute))); len(got) != 0 {
			t.Errorf("after lifting: %+v", got)
		}
		if got := must[catalog.Room](t)(c.Room(ctx, "demo")); got != room {
			t.Errorf("room: %+v", got)
		}
		if got := must[catalog.Room](t)(c.Room(ctx, "other")); got != (catalog.Room{}) {
			t.Errorf("a room without settings: %+v", got)
		}
	})
}

func TestAudit(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *catalog.Catalog) {
		c, ctx := open(), t.Context()
		for i := range 3 {
			ok(t, c.Audit(ctx, catalog.Action{Stream: "demo", At: start().Add(time.Duration(i) * time.Second), Actor: "mod", Action: "ban", Target: strconv.Itoa(i), Detail: "600 s"}))
		}
		got := must[[]catalog.Action](t)(c.Actions(ctx, "demo", 2))
		want := catalog.Action{Stream: "demo", At: start().Add(2 * time.Second), Actor: "mod", Action: "ban", Target: "2", Detail: "600 s"}
		if len(got) != 2 || got[0] != want || got[1].Target != "1" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestRetention keeps what a recording holds as long as the recording.
func TestRetention(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *catalog.Catalog) {
		c, ctx := open(), t.Context()
		read := must[[]catalog.Message](t)
		for i := range 10 {
			ok(t, c.AddMessages(ctx, []catalog.Message{say("demo", i+1)}))
		}
		at := func(i int) time.Time { return say("", i).At }
		ok(t, c.SetBan(ctx, catalog.Ban{Stream: "demo", User: "bob", Until: at(2)}))
		first := sluice.Recording{ID: "r1", Stream: "demo", Started: at(3)}
		ok(t, c.KeepChat(ctx, "a", at(20), first))
		first.Ended = at(6)
		ok(t, c.KeepChat(ctx, "a", at(20), first))
		ok(t, c.KeepChat(ctx, "b", at(20), sluice.Recording{ID: "r2", Stream: "demo", Started: at(5)})) // goes on
		ok(t, c.Expire(ctx, at(9)))
		if got := read(c.MessagesBefore(ctx, "demo", "", 20)); ids(got) != "3 4 5 6 7 8 9 10" {
			t.Errorf("after expiry: %s", ids(got))
		}
		if got := must[[]catalog.Ban](t)(c.Bans(ctx, "demo", at(1))); len(got) != 0 {
			t.Errorf("an old ban stays: %+v", got)
		}
		if got := must[[]string](t)(c.KeptChats(ctx, "a")); len(got) != 1 || got[0] != "r1" {
			t.Errorf("recordings of a: %q", got)
		}
		ok(t, c.DropChat(ctx, "r1"))
		ok(t, c.DropChat(ctx, "r1"))
		if got := read(c.MessagesBefore(ctx, "demo", "", 20)); ids(got) != "5 6 7 8 9 10" {
			t.Errorf("after the recording: %s", ids(got))
		}
		ok(t, c.Expire(ctx, at(30))) // nobody has noted r2 since
		if got := read(c.MessagesBefore(ctx, "demo", "", 20)); len(got) != 0 {
			t.Errorf("after all recordings: %s", ids(got))
		}
	})
}

func TestManyOpenAtOnce(t *testing.T) {
	u := pgtest.Start(t).URL
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			c, err := catalog.Open(t.Context(), u, "")
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOpenRefuses(t *testing.T) {
	for _, u := range []string{"mysql://x", "postgres://user:hunter2@h:port/", "nonsense"} {
		if _, err := catalog.Open(t.Context(), u, ""); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", u, err)
		}
	}
	if info, err := os.Stat(func() string {
		dir := t.TempDir()
		c, err := catalog.Open(t.Context(), "", dir)
		ok(t, err)
		ok(t, c.Close())
		return filepath.Join(dir, "catalog.db")
	}()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v %v", info, err)
	}
}
