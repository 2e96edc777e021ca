package signaling_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

func journal(t *testing.T, url, node string) *signaling.Journal {
	t.Helper()
	j, err := signaling.NewJournal(connect(t, url), node, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// ear notes what a follower of a room hears.
type ear struct {
	mu     sync.Mutex
	texts  []string
	places []string
	ready  chan struct{}
}

func follow(t *testing.T, j *signaling.Journal, room string) *ear {
	t.Helper()
	e := &ear{ready: make(chan struct{})}
	stop := j.Follow(room, func(place string, at time.Time, data []byte) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.texts, e.places = append(e.texts, string(data)), append(e.places, place)
		if time.Since(at).Abs() > time.Hour {
			t.Errorf("at %s", at)
		}
	}, func() { close(e.ready) })
	t.Cleanup(stop)
	select {
	case <-e.ready:
	case <-time.After(10 * time.Second):
		t.Fatal("the log is not read")
	}
	return e
}

func (e *ear) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.texts)
}

func (e *ear) hears(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is heard", want), func() bool { return len(e.heard()) >= len(want) })
	if got := e.heard(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.IsSorted(e.places) {
		t.Errorf("places do not rise: %q", e.places)
	}
}

// until waits for a text, and returns what was heard before it.
func (e *ear) until(t *testing.T, last string) []string {
	t.Helper()
	eventually(t, last+" is heard", func() bool { return slices.Contains(e.heard(), last) })
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.IsSorted(e.places) {
		t.Errorf("places do not rise: %q", e.places)
	}
	return slices.Clone(e.texts[:slices.Index(e.texts, last)])
}

func publish(t *testing.T, j *signaling.Journal, room string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		eventually(t, text+" is published", func() bool {
			err := j.Publish(t.Context(), room, []byte(text))
			if err != nil && sluice.CodeOf(err) != sluice.CodeUnavailable {
				t.Fatal(err)
			}
			return err == nil
		})
	}
}

func TestJournal(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		a, b := journal(t, url, "a"), journal(t, url, "b")
		publish(t, a, "demo", "before")
		one, two, elsewhere := follow(t, a, "demo"), follow(t, b, "demo"), follow(t, b, "other")
		publish(t, a, "demo", "1")
		publish(t, b, "demo", "2")
		publish(t, a, "demo", "3")
		publish(t, a, "other", "x")
		for _, e := range []*ear{one, two} {
			e.hears(t, "before", "1", "2", "3")
		}
		elsewhere.hears(t, "x")
		late := follow(t, a, "demo")
		late.hears(t, "before", "1", "2", "3")
	})
}

// TestJournalHasOneOrder lets several nodes publish at once.
func TestJournalHasOneOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		const nodes, each = 3, 50
		var ears []*ear
		var all sync.WaitGroup
		for n := range nodes {
			j := journal(t, url, fmt.Sprint("n", n))
			ears = append(ears, follow(t, j, "demo"))
			all.Go(func() {
				for i := range each {
					publish(t, j, "demo", fmt.Sprint(n, ".", i))
				}
			})
		}
		all.Wait()
		publish(t, journal(t, url, "last"), "demo", "end")
		first := ears[0].until(t, "end")
		for _, e := range ears[1:] {
			if got := e.until(t, "end"); !slices.Equal(got, first) {
				t.Errorf("heard %q and %q", first, got)
			}
		}
		for n := range nodes {
			var mine []string
			for _, text := range first {
				// What Redis took too late to say so is published again.
				if strings.HasPrefix(text, fmt.Sprint(n, ".")) && !slices.Contains(mine, text) {
					mine = append(mine, text)
				}
			}
			for i := range each {
				if i >= len(mine) || mine[i] != fmt.Sprint(n, ".", i) {
					t.Fatalf("node %d: %q", n, mine)
				}
			}
		}
	})
}

func TestBeat(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		a, b := journal(t, url, "a"), journal(t, url, "b")
		beat := func(j *signaling.Journal, mine []byte) string {
			all, err := j.Beat(t.Context(), "demo", mine)
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, w := range all {
				words = append(words, string(w))
			}
			slices.Sort(words)
			return strings.Join(words, " ")
		}
		if got := beat(a, []byte("a:1")); got != "a:1" {
			t.Errorf("alone: %q", got)
		}
		if got := beat(b, []byte("b:1")); got != "a:1 b:1" {
			t.Errorf("both: %q", got)
		}
		if got := beat(a, nil); got != "b:1" {
			t.Errorf("after a has left: %q", got)
		}
	})
}

func TestJournalOnACluster(t *testing.T) {
	t.Parallel()
	url := startCluster(t)
	a, b := journal(t, url, "a"), journal(t, url, "b")
	rooms := []string{"one", "two", "three", "four"}
	ears := map[string]*ear{}
	for _, room := range rooms {
		ears[room] = follow(t, b, room)
	}
	for _, room := range rooms {
		publish(t, a, room, room)
		ears[room].hears(t, room)
	}
}

// TestJournalOutlivesRedis kills Redis, which keeps nothing: the nodes give back
// what they know, and no place is given out twice or out of order.
func TestJournalOutlivesRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a, b := journal(t, server.url(), "a"), journal(t, server.url(), "b")
	one, two := follow(t, a, "demo"), follow(t, b, "demo")
	publish(t, a, "demo", "1", "2")
	publish(t, b, "demo", "3")
	one.hears(t, "1", "2", "3")
	two.hears(t, "1", "2", "3")

	server.kill()
	eventually(t, "publishing fails", func() bool {
		began := time.Now()
		err := a.Publish(t.Context(), "demo", []byte("lost"))
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %s", d)
		}
		return sluice.CodeOf(err) == sluice.CodeUnavailable
	})
	server.start(t)
	publish(t, b, "demo", "4")
	publish(t, a, "demo", "5")
	one.hears(t, "1", "2", "3", "4", "5")
	two.hears(t, "1", "2", "3", "4", "5")
	late := follow(t, journal(t, server.url(), "c"), "demo")
	late.hears(t, "1", "2", "3", "4", "5")
}

func TestJournalWithFrozenRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	a := journal(t, server.url(), "a")
	e := follow(t, a, "demo")
	publish(t, a, "demo", "1")
	server.signal(t, syscall.SIGSTOP)
	began := time.Now()
	wantCode(t, a.Publish(t.Context(), "demo", []byte("late")), sluice.CodeUnavailable)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %s", d)
	}
	server.signal(t, syscall.SIGCONT)
	publish(t, a, "demo", "2")
	eventually(t, "the last record is heard", func() bool { return slices.Contains(e.heard(), "2") })
	got := slices.DeleteFunc(e.heard(), func(s string) bool { return s == "late" }) // it may be in the log
	if !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("heard %q", e.heard())
	}
}
