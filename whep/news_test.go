package whep

import (
	"strings"
	"testing"
	"time"

	sluice "github.com/sluice-live/sluice"
)

// The table tells one reader about one snapshot after another.
func TestNews(t *testing.T) {
	const periodic = 5 * time.Second
	layer := func(bitrate int) []sluice.Layer {
		return []sluice.Layer{{RID: "f", Width: 640, Height: 360, Active: true, Bitrate: bitrate}}
	}
	live, off := sluice.StreamLive, sluice.StreamOffline
	steps := []struct {
		name  string
		at    time.Duration
		snap  sluice.Stream
		want  string
		again time.Duration
	}{
		{"offline at first", 0, sluice.Stream{State: off, Viewers: 1}, "viewercount", 0},
		{"nothing new", time.Second, sluice.Stream{State: off, Viewers: 1}, "", 0},
		{"live", 10 * time.Second, sluice.Stream{State: live, Viewers: 1, Layers: layer(100)}, "active layers", 0},
		{"another bitrate waits", 11 * time.Second, sluice.Stream{State: live, Viewers: 1, Layers: layer(200)}, "", 4 * time.Second},
		{"and a count does not", 12 * time.Second, sluice.Stream{State: live, Viewers: 2, Layers: layer(200)}, "viewercount", 3 * time.Second},
		{"another count waits, too", 14 * time.Second, sluice.Stream{State: live, Viewers: 3, Layers: layer(300)}, "", time.Second},
		{"the bitrate is due", 15 * time.Second, sluice.Stream{State: live, Viewers: 3, Layers: layer(300)}, "layers", 2 * time.Second},
		{"the count is due", 17 * time.Second, sluice.Stream{State: live, Viewers: 3, Layers: layer(300)}, "viewercount", 0},
		{"another layer does not wait", 17 * time.Second, sluice.Stream{State: live, Viewers: 3, Layers: append(layer(300), sluice.Layer{RID: "h"})}, "layers", 0},
		{"gone", 18 * time.Second, sluice.Stream{State: sluice.StreamPaused, Viewers: 3}, "inactive layers", 0},
		{"still gone", 19 * time.Second, sluice.Stream{State: off, Viewers: 3}, "", 0},
	}
	base := time.Unix(1_800_000_000, 0)
	var reader told
	for _, st := range steps {
		events, again := reader.news(st.snap, 1, allEvents, base.Add(st.at), periodic)
		names := make([]string, 0, len(events))
		for _, e := range events {
			names = append(names, e.name)
		}
		if got := strings.Join(names, " "); got != st.want || again != st.again {
			t.Errorf("%s: got %q and again in %v, want %q and %v", st.name, got, again, st.want, st.again)
		}
	}
}

func TestNewsForAudioOnly(t *testing.T) {
	var reader told
	events, _ := reader.news(sluice.Stream{State: sluice.StreamLive, Layers: []sluice.Layer{{RID: "f"}}}, -1, eventLayers, time.Now(), time.Second)
	if len(events) != 0 {
		t.Errorf("%v", events)
	}
}

func TestEventNamesFollowTheirBits(t *testing.T) {
	all, ok := eventsOf(advertised())
	if !ok || all != allEvents {
		t.Errorf("%b, want %b", all, allEvents)
	}
	for bit, name := range map[eventSet]string{
		eventActive: "active", eventInactive: "inactive", eventLayers: "layers",
		eventViewerCount: "viewercount", eventReconnect: "reconnect",
	} {
		if !bit.has(name) || (allEvents &^ bit).has(name) {
			t.Errorf("%s", name)
		}
	}
}

func TestOperatingPointsInALayersEvent(t *testing.T) {
	data := string(layersData([]sluice.Layer{
		{RID: "f", Width: 640, Height: 360, Bitrate: 900, FrameRate: 30, Active: true, Points: []sluice.Point{
			{Spatial: 0, Temporal: 1, Width: 640, Height: 360, Bitrate: 900, FrameRate: 30},
			{Spatial: 0, Temporal: 0, Width: 640, Height: 360, Bitrate: 600, FrameRate: 15.04},
		}},
		{RID: "q", Width: 320, Height: 180, Bitrate: 100, FrameRate: 30, Active: true},
	}, 1))
	want := `{"1":[` +
		`{"rid":"f","spatialLayerId":0,"temporalLayerId":1,"encodingId":"f","width":640,"height":360,"bitrate":900,"framerate":30,"active":true},` +
		`{"rid":"f","spatialLayerId":0,"temporalLayerId":0,"encodingId":"f","width":640,"height":360,"bitrate":600,"framerate":15,"active":true},` +
		`{"rid":"q","encodingId":"q","width":320,"height":180,"bitrate":100,"framerate":30,"active":true}]}`
	if data != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}
