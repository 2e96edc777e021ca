package signaling_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/signaling"
)

// shelf is signaling.Recordings that stand still.
type shelf struct{ all map[string]signaling.Recorded }

func (s shelf) List(context.Context) (list []signaling.Recorded, err error) {
	for _, r := range s.all {
		list = append(list, r)
	}
	return list, nil
}

func (s shelf) Find(_ context.Context, id string) (signaling.Recorded, error) {
	r, ok := s.all[id]
	if !ok {
		return r, sluice.Errorf(sluice.CodeNotFound, "there is no such recording")
	}
	return r, nil
}

func (s shelf) Remove(ctx context.Context, id string) error {
	r, err := s.Find(ctx, id)
	if err == nil && r.Ended.IsZero() {
		err = sluice.Errorf(sluice.CodeRecordingRunning, "the recording has not ended")
	}
	if err == nil {
		delete(s.all, id)
	}
	return err
}

func TestRecordingRoutes(t *testing.T) {
	begun := time.Now().Add(-time.Hour).UTC()
	s := shelf{all: map[string]signaling.Recorded{}}
	for i, stream := range []string{"demo", "show", "demo", "demo"} {
		id := "r" + string(rune('1'+i))
		s.all[id] = signaling.Recorded{
			Recording: sluice.Recording{ID: id, Stream: stream, Started: begun, Ended: begun.Add(90 * time.Second)},
			Bytes:     1000, Playlist: "/vod/" + id + "/index.m3u8", File: "/vod/" + id + "/recording.mp4",
		}
	}
	s.all["r5"] = signaling.Recorded{Recording: sluice.Recording{ID: "r5", Stream: "demo", Started: begun}}
	engine := gin.New()
	if err := (signaling.API{Streams: testStation(), Auth: testTokens(), Recordings: s}).Routes(engine); err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/recordings"
	for _, tt := range []struct {
		name, method, path, bearer string
		status                     int
		want                       []string
		absent                     string
	}{
		{"one", "GET", path + "/r1", "watch", 200, []string{
			`"id":"r1"`, `"state":"ended"`, `"durationSeconds":90,`, `"bytes":1000`, `"playlistUrl":"/vod/r1/index.m3u8"`, `"mp4Url":"/vod/r1/recording.mp4"`, `"ended":"`,
		}, ""},
		{"one that runs", "GET", path + "/r5", "publish", 200, []string{`"state":"running"`, `"durationSeconds":3600.`}, `"ended"`},
		{"one of another stream", "GET", path + "/r2", "watch", 403, []string{"forbidden"}, ""},
		{"none", "GET", path + "/r9", "all", 404, []string{"not-found"}, ""},
		{"all of one's stream", "GET", path, "watch", 200, []string{`"r1"`, `"r3"`, `"r4"`, `"r5"`}, `"r2"`},
		{"of nobody's stream", "GET", path, "nothing", 200, []string{`{"items":[],"nextCursor":""}`}, ""},
		{"of a stream", "GET", path + "?stream=show", "all", 200, []string{`"r2"`}, `"r1"`},
		{"of a bad stream", "GET", path + "?stream=a.b", "all", 400, []string{"invalid"}, ""},
		{"that run", "GET", path + "?state=running", "all", 200, []string{`"r5"`}, `"r1"`},
		{"that have ended", "GET", path + "?state=ended", "all", 200, []string{`"r1"`, `"r2"`}, `"r5"`},
		{"in a bad state", "GET", path + "?state=lost", "all", 400, []string{"state"}, ""},
		{"without a token", "GET", path, "", 401, []string{"unauthenticated"}, ""},
		{"delete by a publisher", "DELETE", path + "/r4", "publish", 403, []string{"forbidden"}, ""},
		{"delete one that runs", "DELETE", path + "/r5", "all", 409, []string{"recording-running"}, ""},
		{"delete", "DELETE", path + "/r4", "all", 204, nil, "x"},
		{"delete again", "DELETE", path + "/r4", "all", 404, []string{"not-found"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := call(engine, tt.method, tt.path, tt.bearer, "")
			if w.Code != tt.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for _, want := range tt.want {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s is missing in %s", want, w.Body)
				}
			}
			if tt.absent != "" && strings.Contains(w.Body.String(), tt.absent) {
				t.Errorf("%s is in %s", tt.absent, w.Body)
			}
			if tt.status >= 400 {
				checkProblem(t, w)
			}
			if (tt.status == 409) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
	var listed []string
	for cursor := ""; ; {
		w := call(engine, "GET", path+"?stream=demo&limit=2&cursor="+cursor, "all", "")
		var page struct {
			Items      []struct{ ID string }
			NextCursor string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			listed = append(listed, item.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(listed, []string{"r1", "r3", "r5"}) {
		t.Errorf("pages hold %v", listed)
	}
}
