package recorder

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// notices are the events of recorders, as "kind id".
type notices struct {
	mu  sync.Mutex
	all []string
}

func (n *notices) note(e sluice.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, fmt.Sprint(e.Kind, " ", e.Recording.ID, " ", e.Recording.Ended.IsZero(), " ", e.Stream))
}

func (n *notices) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// TestRecordingIsToldOfOnce: a restart is neither its beginning nor its end; one that
// nobody goes on with ends when the next process knows that.
func TestRecordingIsToldOfOnce(t *testing.T) {
	t.Parallel()
	var n notices
	store := memoryStore()
	first := film(t, 1, "", "H264", 320, true)
	cfg := config()
	cfg.Grace = 4 * time.Hour
	longAgo := time.Now().Add(-2 * time.Hour)
	media := newStudio(first)
	media.start = longAgo
	r, stop := newTellingRecorder(t, cfg, media, store, nil, n.note)
	eventually(t, "two segments", func() bool { return len(durable(t, r, "v")) >= 2 })
	id := only(t, r).ID
	stop()
	media = newStudio(first.again(2, 0))
	media.start = longAgo
	r, stop = newTellingRecorder(t, cfg, media, store, nil, n.note)
	eventually(t, "it goes on", func() bool { return len(durable(t, r, "v")) >= 4 })
	if want := []string{"recording-started " + id + " true demo"}; !slices.Equal(n.list(), want) {
		t.Errorf("told %q, want %q", n.list(), want)
	}
	stop()
	cfg.Grace = time.Minute
	_, stop = newTellingRecorder(t, cfg, newStudio(), store, nil, n.note)
	want := []string{"recording-started " + id + " true demo", "recording-finished " + id + " false demo"}
	eventually(t, "its end is told", func() bool { return slices.Equal(n.list(), want) })
	stop()
	_, stop = newTellingRecorder(t, cfg, newStudio(), store, nil, n.note)
	stop()
	if !slices.Equal(n.list(), want) {
		t.Errorf("told %q, want %q", n.list(), want)
	}
}
