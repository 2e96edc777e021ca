package whep_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	sluice "github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/wish/wishtest"
	"github.com/sluice-live/sluice/whep"
)

func (s *server) layer(session, body string) wishtest.Response {
	s.T.Helper()
	return s.Do(http.MethodPost, session+"/layer", body, "Content-Type", "application/json")
}

func TestL01LayerNeedsEvents(t *testing.T) {
	r := start(t).Post("/whep/demo", offer(t)).Want(t, http.StatusCreated)
	links := strings.Join(r.Header.Values("Link"), "\n")
	if !strings.Contains(links, `/layer>; rel="urn:ietf:params:whep:ext:core:layer"`) ||
		!strings.Contains(links, `/sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active,inactive,layers,viewercount,reconnect,overload"`) {
		t.Errorf("%s", links)
	}
}

func TestLayerSelection(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		want       sluice.LayerChoice
	}{
		{"L02 rid", `{"mediaId":"1","rid":"q"}`, 200, sluice.LayerChoice{RID: "q"}},
		{"L02 the first video by default", `{"rid":"q"}`, 200, sluice.LayerChoice{RID: "q"}},
		{"L02 limits", `{"maxWidth":640,"maxHeight":360}`, 200, sluice.LayerChoice{MaxWidth: 640, MaxHeight: 360}},
		{"L02 a number as mediaId", `{"mediaId":1,"rid":"q"}`, 200, sluice.LayerChoice{RID: "q"}},
		{"L02 unknown names", `{"rid":"q","colour":"red"}`, 200, sluice.LayerChoice{RID: "q"}},
		{"L02 spatial layer 0", `{"rid":"q","spatialLayerId":0,"maxSpatialLayerId":2}`, 200, sluice.LayerChoice{RID: "q", Spatial: sluice.LayerID{Set: true}, MaxSpatial: sluice.LayerID{N: 2, Set: true}}},
		{"L02 temporal layer", `{"encodingId":"q","temporalLayerId":1}`, 200, sluice.LayerChoice{RID: "q", Temporal: sluice.LayerID{N: 1, Set: true}}},
		{"L04 automatic below a temporal layer", `{"maxTemporalLayerId":0}`, 200, sluice.LayerChoice{MaxTemporal: sluice.LayerID{Set: true}}},
		{"L03 nothing", `{}`, 200, sluice.LayerChoice{}},
		{"L03 only the media", `{"mediaId":"1"}`, 200, sluice.LayerChoice{}},
		{"L04 automatic under a limit", `{"maxHeight":180}`, 200, sluice.LayerChoice{MaxHeight: 180}},
		{"L05 other media", `{"mediaId":"0","rid":"q"}`, 422, sluice.LayerChoice{}},
		{"L07 Broadcast Box", `{"mediaId":"1","encodingId":"f"}`, 200, sluice.LayerChoice{RID: "f"}},
		{"two names", `{"rid":"q","encodingId":"f"}`, 400, sluice.LayerChoice{}},
		{"negative", `{"maxWidth":-1}`, 400, sluice.LayerChoice{}},
		{"negative layer", `{"spatialLayerId":-1}`, 400, sluice.LayerChoice{}},
		{"array", `[]`, 400, sluice.LayerChoice{}},
		{"empty", ``, 400, sluice.LayerChoice{}},
		{"garbage", `{"rid":`, 400, sluice.LayerChoice{}},
		{"wrong kinds", `{"rid":5}`, 400, sluice.LayerChoice{}},
		{"too large", `{"rid":"` + strings.Repeat("x", 5000) + `"}`, 413, sluice.LayerChoice{}},
	}
	s := start(t)
	session, _ := s.watch(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.media.last().Choices())
			r := s.layer(session, tt.body).Want(t, tt.status)
			after := s.media.last().Choices()
			if tt.status != 200 {
				if len(after) != before {
					t.Errorf("chosen %+v", after[before:])
				}
				return
			}
			if r.Body != "" || len(after) != before+1 || after[before] != tt.want {
				t.Errorf("chosen %+v", after[before:])
			}
		})
	}
}

func TestL05UnknownRidIs422(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	s.media.last().LayerErr = sluice.Errorf(sluice.CodeUnprocessable, "no such layer")
	if r := s.layer(session, `{"rid":"x"}`).Want(t, http.StatusUnprocessableEntity); problemType(r) != "unprocessable" {
		t.Errorf("%s", r.Body)
	}
}

func TestLayerSurface(t *testing.T) {
	s := start(t)
	session, _ := s.watch(t)
	s.Do(http.MethodPost, session+"/layer", "{}", "Content-Type", "text/plain").Want(t, http.StatusUnsupportedMediaType)
	s.Do(http.MethodGet, session+"/layer", "").Want(t, http.StatusMethodNotAllowed)
	s.Do(http.MethodPost, "/whep/a.b/x/layer", "{}", "Content-Type", "application/json").Want(t, http.StatusBadRequest)
	s.Do(http.MethodPost, "/whep/demo/x/layer", "{}", "Content-Type", "application/json").Want(t, http.StatusNotFound)
}

func FuzzLayerAndEvents(f *testing.F) {
	for _, body := range []string{`{}`, `{"mediaId":"1","rid":"q"}`, `{"mediaId":1,"encodingId":"f"}`, `null`, `["layers"]`, `[]`, ``, `["scte35"]`, `{"maxWidth":1e9}`} {
		f.Add(body)
	}
	m := newMedia()
	h, err := whep.New(whep.Deps{Media: m, Auth: auth(), Log: slog.New(slog.DiscardHandler)}, whep.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(h.Close)
	send := func(method, typ, body string, serve func(http.ResponseWriter, *http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {typ}, "Authorization": {"Bearer alice"}}
		w := httptest.NewRecorder()
		serve(w, r)
		return w
	}
	made := send(http.MethodPost, "application/sdp", offer(f), func(w http.ResponseWriter, r *http.Request) { h.Stream(w, r, "demo") })
	secret := strings.TrimPrefix(made.Header().Get("Location"), "/whep/demo/")
	f.Fuzz(func(t *testing.T, body string) {
		w := send(http.MethodPost, "application/json", body, func(w http.ResponseWriter, r *http.Request) { h.Layer(w, r, "demo", secret) })
		if !slices.Contains([]int{200, 400, 413, 422, 429}, w.Code) {
			t.Errorf("layer: %d", w.Code)
		}
		w = send(http.MethodPost, "application/json", body, func(w http.ResponseWriter, r *http.Request) { h.Events(w, r, "demo", secret) })
		if !slices.Contains([]int{201, 400, 413, 429}, w.Code) {
			t.Errorf("events: %d", w.Code)
		}
	})
}
