package node

import (
	"testing"

	"github.com/sluice-live/sluice"
)

// TestEventsNeverBlock puts more events than there is room for, and nobody takes them.
func TestEventsNeverBlock(t *testing.T) {
	viewer := sluice.Event{Kind: sluice.EventSessionJoined, Session: &sluice.Session{}}
	publisher := sluice.Event{Kind: sluice.EventSessionJoined, Session: &sluice.Session{Publisher: true}}
	w := &webhooks{viewers: true, events: make(chan sluice.Event, 10)}
	for range 20 {
		w.put(viewer)
	}
	if len(w.events) != 5 || w.dropped.Load() != 15 {
		t.Errorf("%d events of viewers queued, %d dropped", len(w.events), w.dropped.Load())
	}
	for range 20 {
		w.put(publisher)
	}
	if len(w.events) != 10 || w.dropped.Load() != 30 {
		t.Errorf("%d events queued, %d dropped", len(w.events), w.dropped.Load())
	}
	w = &webhooks{events: make(chan sluice.Event, 10)}
	w.put(viewer)
	if len(w.events) != 0 || w.dropped.Load() != 0 {
		t.Error("viewers are told of although webhook.viewers is off")
	}
}
