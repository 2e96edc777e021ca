package signaling_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice/signaling"
)

// long is how long rooms last that no test waits for.
const long = time.Hour

func open(t *testing.T, r *signaling.Registry, stream string, lasts time.Duration) (room signaling.Room, began bool) {
	t.Helper()
	room, began, err := r.OpenRoom(t.Context(), signaling.NewRoom(stream, time.Now()), lasts)
	if err != nil {
		t.Fatal(err)
	}
	return room, began
}

func end(t *testing.T, r *signaling.Registry, room signaling.Room) bool {
	t.Helper()
	ended, err := r.EndRoom(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// A room goes on while its publisher moves from node to node, and one node tells of
// its beginning and one of its end.
func TestRoomOutlivesItsNodes(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		if room, err := a.LookupRoom(t.Context(), "demo"); err != nil || room.SID != "" || room.Stream != "demo" {
			t.Errorf("before it began: %+v, %v", room, err)
		}
		held := acquire(t, a, "demo")
		first, began := open(t, a, "demo", long)
		if !began || first.SID == "" || time.Since(first.Started) > time.Minute {
			t.Fatalf("%+v, began %v", first, began)
		}
		if err := held.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		moved := acquire(t, b, "demo")
		if room, began := open(t, b, "demo", long); began || room != first {
			t.Errorf("at the second node: %+v, began %v", room, began)
		}
		if room, err := a.LookupRoom(t.Context(), "demo"); err != nil || room != first {
			t.Errorf("looked up: %+v, %v", room, err)
		}
		if end(t, a, first) {
			t.Error("ended while another node has the stream")
		}
		if err := moved.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !end(t, b, first) || end(t, a, first) || end(t, b, first) {
			t.Error("its end is not told once")
		}
		if over, err := a.KeepRooms(t.Context(), []signaling.Room{first}, long); err != nil || len(over) != 1 {
			t.Errorf("one that is over is kept: %v, %v", over, err)
		}
		if room, err := a.LookupRoom(t.Context(), "demo"); err != nil || room != first {
			t.Errorf("what comes late has no room: %+v, %v", room, err)
		}
		if room, began := open(t, a, "demo", long); !began || room.SID == first.SID {
			t.Errorf("the next room: %+v, began %v", room, began)
		}
		if end(t, b, first) {
			t.Error("the former room ended the next one")
		}
	})
}

func TestRoomEndsOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		room, _ := open(t, a, "demo", time.Millisecond)
		var told atomic.Int32
		var all sync.WaitGroup
		for i := range 20 {
			r := []*signaling.Registry{a, b}[i%2]
			all.Go(func() {
				if ended, err := r.EndRoom(t.Context(), room); err == nil && ended {
					told.Add(1)
				}
				if left, err := r.EndLeftRooms(t.Context()); err == nil {
					told.Add(int32(len(left)))
				}
			})
		}
		all.Wait()
		if told.Load() != 1 {
			t.Errorf("told %d times", told.Load())
		}
	})
}

// The room of a node that has died is ended by another one, when nobody has the
// stream and its time is over.
func TestRoomOfADeadNodeEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		left, _ := open(t, a, "left", 50*time.Millisecond)
		kept, _ := open(t, a, "kept", 50*time.Millisecond)
		if over, err := a.KeepRooms(t.Context(), []signaling.Room{kept}, long); err != nil || len(over) != 0 {
			t.Fatalf("%v, %v", over, err)
		}
		acquire(t, b, "taken")
		open(t, a, "taken", 50*time.Millisecond)
		var ended []signaling.Room
		eventually(t, "the room is over", func() bool {
			some, err := b.EndLeftRooms(t.Context())
			ended = append(ended, some...)
			return err == nil && len(ended) > 0
		})
		if len(ended) != 1 || ended[0] != left {
			t.Errorf("ended %+v, want %+v", ended, left)
		}
	})
}

// A Redis that has lost its data learns of the rooms from those who keep them.
func TestRoomSurvivesAnEmptiedRedis(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		client := connect(t, url)
		a, b := registry(t, client, "a"), registry(t, client, "b")
		room, _ := open(t, a, "demo", long)
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if over, err := a.KeepRooms(t.Context(), []signaling.Room{room}, long); err != nil || len(over) != 0 {
			t.Fatalf("%v, %v", over, err)
		}
		if again, began := open(t, b, "demo", long); began || again != room {
			t.Errorf("%+v, began %v", again, began)
		}
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if !end(t, a, room) || end(t, b, room) {
			t.Error("its end is not told once")
		}
	})
}
