package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// listedRecording is a recording as the control API has it.
type listedRecording struct {
	ID, Stream, State   string
	Bytes               int64
	DurationSeconds     float64
	PlaylistURL, Mp4URL string
}

// recordings asks the control API.
func (r *running) recordings(t testing.TB, query string) []listedRecording {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+"/api/v1/recordings"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := clientHTTP(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var list struct{ Items []listedRecording }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return list.Items
}

// TestRecordingsOfTheAPI: a recording is listed on both nodes of a store while it runs
// and when it has ended, is played by its URLs, and is removed by the other node.
func TestRecordingsOfTheAPI(t *testing.T) {
	t.Parallel()
	store := "data.blob_url=file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "shared"))
	here, there := startNode(t, store, "stream.grace=1s"), startNode(t, store)
	publisher := publishClip(t, client.PublisherConfig{URL: here.URL + "/whip/demo", Clip: pattern(t, clips.H264, false), KeyframesOnRequest: true})
	var rec listedRecording
	for name, n := range map[string]*running{"its node": here, "the other node": there} {
		poll(t, patience, 100*time.Millisecond, name+" lists it", func() bool {
			list := n.recordings(t, "?stream=demo&state=running")
			if len(list) == 1 {
				rec = list[0]
			}
			return len(list) == 1
		})
		if got := ask(t, http.MethodDelete, n.URL+"/api/v1/recordings/"+rec.ID, ""); got.StatusCode != http.StatusConflict || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s removes it while it runs: %s", name, got.Status)
		}
	}
	poll(t, patience, 100*time.Millisecond, "it holds something", func() bool { return here.recordings(t, "")[0].Bytes > 100_000 })
	if err := publisher.Close(); err != nil {
		t.Fatal(err)
	}
	poll(t, patience, 100*time.Millisecond, "it has ended", func() bool {
		list := there.recordings(t, "?state=ended")
		return len(list) == 1 && list[0].ID == rec.ID && list[0].Bytes > 100_000 && list[0].DurationSeconds > 1
	})
	urls := []string{rec.PlaylistURL, rec.Mp4URL}
	for _, n := range []*running{here, there} {
		for _, url := range urls {
			if got := ask(t, http.MethodGet, n.URL+url, ""); got.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", url, got.Status)
			}
		}
	}
	if got := ask(t, http.MethodDelete, there.URL+"/api/v1/recordings/"+rec.ID, ""); got.StatusCode != http.StatusNoContent {
		t.Fatal(got.Status)
	}
	if list := there.recordings(t, ""); len(list) != 0 {
		t.Errorf("listed after its removal: %+v", list)
	}
	for _, url := range urls {
		if got := ask(t, http.MethodGet, there.URL+url, ""); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s after its removal: %s", url, got.Status)
		}
	}
	poll(t, 2*patience, 500*time.Millisecond, "the node that recorded it has let go of it", func() bool {
		return len(here.recordings(t, "")) == 0 && ask(t, http.MethodGet, here.URL+rec.PlaylistURL, "").StatusCode == http.StatusNotFound
	})
}
