package chat_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/chat"
	"github.com/sluice-live/sluice/internal/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// log is a Bus in this process: what signaling's journal does over Redis.
type log struct {
	mu       sync.Mutex
	hung     sync.Mutex // held while nothing can be published
	broken   bool
	records  map[string][]entry
	words    map[string]map[*node]string
	ears     map[*ear]bool
	sequence int
}

type entry struct {
	place string
	at    time.Time
	data  []byte
}

type ear struct {
	room    string
	deliver func(string, time.Time, []byte)
}

func newLog() *log {
	return &log{records: map[string][]entry{}, words: map[string]map[*node]string{}, ears: map[*ear]bool{}}
}

func (l *log) breakDown(broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = broken
}

// hang has publishing wait until goOn is called.
func (l *log) hang() (goOn func()) {
	l.hung.Lock()
	return sync.OnceFunc(l.hung.Unlock)
}

func (l *log) put(room string, data []byte) error {
	l.hung.Lock()
	defer l.hung.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return errors.New("the log is away")
	}
	l.sequence++
	now := time.Now()
	e := entry{fmt.Sprintf("%013d-%06d", now.UnixMilli(), l.sequence), now, data}
	l.records[room] = append(l.records[room], e)
	for ear := range l.ears {
		if ear.room == room {
			ear.deliver(e.place, e.at, e.data)
		}
	}
	return nil
}

// node is a Bus of one node, and its hub.
type node struct {
	*chat.Hub
	log   *log
	store *catalog.Catalog
	shows []sluice.Recording
}

// Recordings implements chat.Recordings.
func (n *node) Recordings(context.Context) ([]sluice.Recording, error) { return n.shows, nil }

func (n *node) Publish(_ context.Context, room string, data []byte) error {
	return n.log.put(room, data)
}

func (n *node) Follow(room string, deliver func(string, time.Time, []byte), caughtUp func()) func() {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	// Like a reader of its own: delivery does not wait for the room.
	in := make(chan func(), 4096)
	var reader sync.WaitGroup
	reader.Go(func() {
		for f := range in {
			f()
		}
	})
	e := &ear{room, func(place string, at time.Time, data []byte) { in <- func() { deliver(place, at, data) } }}
	for _, r := range n.log.records[room] {
		e.deliver(r.place, r.at, r.data)
	}
	in <- caughtUp
	n.log.ears[e] = true
	return func() {
		n.log.mu.Lock()
		delete(n.log.ears, e)
		n.log.mu.Unlock()
		close(in)
		reader.Wait()
	}
}

func (n *node) Beat(_ context.Context, room string, mine []byte) ([][]byte, error) {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	words := n.log.words[room]
	if words == nil {
		words = map[*node]string{}
		n.log.words[room] = words
	}
	words[n] = string(mine)
	if mine == nil {
		delete(words, n)
	}
	var all [][]byte
	for _, w := range words {
		all = append(all, []byte(w))
	}
	return all, nil
}

// stage is the media plane of a test.
type stage struct {
	here    int
	mu      sync.Mutex
	stream  sluice.Stream
	changed chan struct{}
}

func newStage() *stage {
	return &stage{stream: sluice.Stream{State: sluice.StreamOffline}, changed: make(chan struct{})}
}

func (s *stage) Stream(name string) (sluice.Stream, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream.Name = name
	return s.stream, s.changed
}

func (s *stage) ViewersHere(string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.here
}

// set changes the stream; here are its viewers on this node, all those on all.
func (s *stage) set(state sluice.StreamState, here, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream.State, s.stream.Since, s.stream.Viewers, s.here = state, time.Now(), all, here
	close(s.changed)
	s.changed = make(chan struct{})
}

func openCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// fast are limits for tests that are not about them.
func fast() chat.Config {
	return chat.Config{Tick: 20 * time.Millisecond, Rate: 1000, Burst: 1000, RoomRate: 10000, FrameRate: 10000, Linger: time.Minute, Secret: []byte("s")}
}

func newNode(t testing.TB, l *log, store *catalog.Catalog, media chat.Media, c chat.Config) *node {
	t.Helper()
	n := &node{log: l, store: store}
	hub, err := chat.New(c, chat.Deps{Bus: n, Archive: store, Rules: store, Media: media, Recordings: n, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.Hub = hub
	t.Cleanup(func() {
		if err := hub.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// alone is a node with everything of its own.
func alone(t testing.TB, c chat.Config) *node {
	t.Helper()
	return newNode(t, newLog(), openCatalog(t), newStage(), c)
}

func numbered(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
