package whep

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish"
)

// eventSet is a set of event types.
type eventSet uint8

const (
	eventActive eventSet = 1 << iota
	eventInactive
	eventLayers
	eventViewerCount
	eventReconnect
	eventOverload

	allEvents = eventActive | eventInactive | eventLayers | eventViewerCount | eventReconnect | eventOverload
)

// advertised names the event types in the order of their bits.
func advertised() []string {
	return []string{"active", "inactive", "layers", "viewercount", "reconnect", wish.EventOverload}
}

// eventsOf returns the set of the named types; ok is false when one of them is
// not advertised.
func eventsOf(names []string) (set eventSet, ok bool) {
	for _, name := range names {
		i := slices.Index(advertised(), name)
		if i < 0 {
			return 0, false
		}
		set |= 1 << i
	}
	return set, true
}

type event struct {
	name string
	data []byte // one line of JSON
}

// told is what the reader of an event stream has been told. The zero value is a
// reader who knows nothing.
type told struct {
	live       bool // as of the last active or inactive event
	repeat     bool // tell everything again
	layers     []sluice.Layer
	layersAt   time.Time
	viewers    int
	viewersAt  time.Time // zero: never
	reconnects int
	step       sluice.Step
}

// news returns the events that bring the reader up to date with snap at now,
// and how long until something that was held back is due (0: nothing was). At
// most one layers event each periodic tells bitrates alone, and at most one
// viewercount event is sent in that time. video is the number of the media
// section that layers belong to, -1 for none.
func (t *told) news(snap sluice.Stream, video int, types eventSet, now time.Time, periodic time.Duration) (events []event, again time.Duration) {
	live := snap.State == sluice.StreamLive
	switch {
	case live && (!t.live || t.repeat):
		events = append(events, event{"active", []byte("{}")})
	case !live && t.live:
		events = append(events, event{"inactive", []byte("{}")})
	}
	t.live = live
	hold := func(since time.Time) {
		if due := since.Add(periodic).Sub(now); again == 0 || due < again {
			again = max(due, time.Millisecond)
		}
	}
	if video >= 0 {
		switch {
		case t.repeat && len(snap.Layers) > 0, !slices.EqualFunc(t.layers, snap.Layers, sameLayer):
			t.layersAt = time.Time{}
			fallthrough
		case !slices.EqualFunc(t.layers, snap.Layers, equalLayer):
			if now.Sub(t.layersAt) < periodic {
				hold(t.layersAt)
				break
			}
			events = append(events, event{"layers", layersData(snap.Layers, video)})
			t.layers, t.layersAt = slices.Clone(snap.Layers), now
		}
	}
	if t.viewersAt.IsZero() || t.repeat || t.viewers != snap.Viewers {
		if !t.repeat && now.Sub(t.viewersAt) < periodic {
			hold(t.viewersAt)
		} else {
			data := []byte(`{"viewercount":` + strconv.Itoa(snap.Viewers) + `}`)
			events = append(events, event{"viewercount", data})
			t.viewers, t.viewersAt = snap.Viewers, now
		}
	}
	t.repeat = false
	return slices.DeleteFunc(events, func(e event) bool { return !types.has(e.name) }), again
}

func (s eventSet) has(name string) bool {
	one, ok := eventsOf([]string{name})
	return ok && s&one != 0
}

// sameLayer reports whether two snapshots of a layer differ in measurements only.
func sameLayer(a, b sluice.Layer) bool {
	return a.RID == b.RID && a.Codec == b.Codec && a.Width == b.Width && a.Height == b.Height && a.Active == b.Active &&
		slices.EqualFunc(a.Points, b.Points, func(a, b sluice.Point) bool {
			a.Bitrate, a.FrameRate = b.Bitrate, b.FrameRate
			return a == b
		})
}

func equalLayer(a, b sluice.Layer) bool {
	return sameLayer(a, b) && a.Bitrate == b.Bitrate && a.FrameRate == b.FrameRate && slices.Equal(a.Points, b.Points)
}

// layerInfo is a layer, or an operating point of it, in a layers event. Width and
// height are absent until known; a bitrate of 0 means inactive.
type layerInfo struct {
	RID             string `json:"rid,omitempty"`
	SpatialLayerID  *int   `json:"spatialLayerId,omitempty"`
	TemporalLayerID *int   `json:"temporalLayerId,omitempty"`

	EncodingID string  `json:"encodingId"`
	Width      int     `json:"width,omitempty"`
	Height     int     `json:"height,omitempty"`
	Bitrate    int     `json:"bitrate"`
	FrameRate  float64 `json:"framerate"`
	Active     bool    `json:"active"`
}

func layersData(layers []sluice.Layer, video int) []byte {
	infos := make([]layerInfo, 0, len(layers))
	for _, l := range layers {
		info := layerInfo{
			RID: l.RID, EncodingID: l.RID, Width: l.Width, Height: l.Height,
			Bitrate: l.Bitrate, FrameRate: math.Round(10*l.FrameRate) / 10, Active: l.Active,
		}
		if !l.Active {
			info.Bitrate = 0
		}
		if l.RID == "" {
			info.SpatialLayerID = new(int) // names the layer
		}
		if len(l.Points) == 0 {
			infos = append(infos, info)
		}
		for _, p := range l.Points {
			info.SpatialLayerID, info.TemporalLayerID = &p.Spatial, &p.Temporal
			info.Width, info.Height = p.Width, p.Height
			info.Bitrate, info.FrameRate = p.Bitrate, math.Round(10*p.FrameRate)/10
			infos = append(infos, info)
		}
	}
	data, err := json.Marshal(map[string][]layerInfo{strconv.Itoa(video): infos})
	if err != nil {
		return []byte("{}") // a measured rate is not a number; the next event has it right
	}
	return data
}

// reconnectData is the data of a reconnect event. wait, in seconds, is an addition
// of our own: so long the server at url may not be there yet.
func reconnectData(url string, wait time.Duration) []byte {
	data, err := json.Marshal(struct {
		URL  string  `json:"url,omitempty"`
		Wait float64 `json:"wait,omitempty"`
	}{url, wait.Seconds()})
	if err != nil {
		return []byte("{}") // cannot happen: a string
	}
	return data
}
