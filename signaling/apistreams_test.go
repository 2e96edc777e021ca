package signaling_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

// village is a cluster that stands still.
type village struct {
	held    []signaling.Held
	missing []string
}

func (v village) Streams(context.Context) ([]signaling.Held, []string) { return v.held, v.missing }

func (v village) Peer(r *http.Request) (bool, error) {
	switch r.Header.Get("Authorization") {
	case "Peer good":
		return true, nil
	case "Peer bad":
		return false, sluice.Errorf(sluice.CodeUnauthenticated, "the ticket is not valid")
	}
	return false, nil
}

type listedStream struct {
	Name, Origin string
	Edges        []string
	Viewers      int
	State        sluice.StreamState
}

func listed(t *testing.T, h http.Handler, query, authorization string) (items []listedStream, next string, missing []string) {
	t.Helper()
	w := ask(h, "/api/v1/streams?"+query, authorization)
	var got struct {
		Items      []listedStream
		NextCursor string
		Missing    []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return got.Items, got.NextCursor, got.Missing
}

func villageHandler(t *testing.T) http.Handler {
	t.Helper()
	now := time.Now()
	published := func(name string, viewers int) sluice.Stream {
		return sluice.Stream{Name: name, State: sluice.StreamLive, Since: now, Viewers: viewers, Publisher: &sluice.Publisher{ID: name}}
	}
	relayed := func(name string, viewers int) sluice.Stream {
		s := published(name, viewers)
		s.Relayed = true
		return s
	}
	waited := func(name string, viewers int) sluice.Stream {
		return sluice.Stream{Name: name, State: sluice.StreamOffline, Since: now.Add(time.Minute), Viewers: viewers}
	}
	engine := gin.New()
	err := signaling.API{
		Streams: station{streams: []sluice.Stream{relayed("demo", 6), waited("show", 1), waited("none", 1)}},
		Auth:    testTokens(),
		Neighbours: village{missing: []string{"d"}, held: []signaling.Held{
			{Node: "b", Streams: []sluice.Stream{waited("demo", 2), published("show", 3), relayed("lost", 4), waited("none", 2)}},
			{Node: "c", Streams: []sluice.Stream{published("demo", 7), published("other", 0), relayed("lost", 4)}},
		}},
	}.Routes(engine)
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

func TestStreamsOfNeighbours(t *testing.T) {
	h := villageHandler(t)
	want := []listedStream{
		{Name: "demo", Origin: "c", Viewers: 9, State: sluice.StreamLive},
		{Name: "lost", Edges: []string{"b", "c"}, Viewers: 4, State: sluice.StreamLive},
		{Name: "none", Viewers: 3, State: sluice.StreamOffline},
		{Name: "other", Origin: "c", State: sluice.StreamLive},
		{Name: "show", Origin: "b", Viewers: 4, State: sluice.StreamLive},
	}
	items, next, missing := listed(t, h, "", "Bearer all")
	if !reflect.DeepEqual(items, want) || next != "" || !slices.Equal(missing, []string{"d"}) {
		t.Errorf("got %+v, %q, %v", items, next, missing)
	}
	var paged []listedStream
	for cursor := ""; ; {
		items, next, _ := listed(t, h, "limit=2&cursor="+cursor, "Bearer all")
		paged = append(paged, items...)
		if cursor = next; cursor == "" || len(paged) > len(want) {
			break
		}
	}
	if !reflect.DeepEqual(paged, want) {
		t.Errorf("pages hold %+v", paged)
	}
	if items, _, _ := listed(t, h, "", "Bearer watch"); len(items) != 1 || items[0].Name != "demo" || items[0].Origin != "" || items[0].Edges != nil {
		t.Errorf("a viewer of demo sees %+v", items)
	}
	if items, _, missing := listed(t, h, "local=true", "Bearer all"); len(items) != 3 || missing != nil {
		t.Errorf("here are %+v, %v", items, missing)
	}
	if items, _, _ := listed(t, h, "local=true", "Peer good"); len(items) != 3 {
		t.Errorf("another node sees %+v", items)
	}
	if w := ask(h, "/api/v1/streams?local=true", "Peer bad"); w.Code != http.StatusUnauthorized {
		t.Errorf("a stranger gets %d %s", w.Code, w.Body)
	}
	if w := ask(h, "/api/v1/streams/demo", "Peer good"); w.Code != http.StatusUnauthorized {
		t.Errorf("another route gives a node %d %s", w.Code, w.Body)
	}
	if w := ask(h, "/api/v1/streams?local=x", "Bearer all"); w.Code != http.StatusBadRequest {
		t.Errorf("local=x: %d %s", w.Code, w.Body)
	}
	for _, part := range []string{`"missing":{`, `"origin":{`, `"name":"local"`, `"publisher":{`} {
		if w := ask(h, "/api/v1/openapi.json", ""); !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s is not in the document", part)
		}
	}
}
