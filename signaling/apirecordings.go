package signaling

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluice-live/sluice"
)

// Recordings are what has been recorded, on all nodes that share a store. Errors:
// CodeUnavailable while it does not answer.
type Recordings interface {
	// List returns all of them.
	List(ctx context.Context) ([]Recorded, error)
	// Find returns one of them. CodeNotFound: there is none.
	Find(ctx context.Context, id string) (Recorded, error)
	// Remove takes one away for good. CodeRecordingRunning: it has not ended.
	Remove(ctx context.Context, id string) error
}

// Recorded is a recording, how much of it is kept, and where it is played.
type Recorded struct {
	sluice.Recording
	Bytes    int64 // 0: not known
	Playlist string
	File     string
}

// States of a recording.
const (
	recordingRuns  = "running"
	recordingEnded = "ended"
)

// recordingItem is a recording as the API shows it.
type recordingItem struct {
	ID       string    `json:"id" doc:"Sortable by its start"`
	Stream   string    `json:"stream"`
	State    string    `json:"state" enum:"running,ended"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero" doc:"Absent while it runs"`
	Duration float64   `json:"durationSeconds" doc:"From its start to its end, or until now"`
	Bytes    int64     `json:"bytes,omitempty" doc:"What is kept of it. Lists lack it for what another node is recording"`
	Playlist string    `json:"playlistUrl" doc:"HLS"`
	File     string    `json:"mp4Url" doc:"One file"`
}

type listRecordingsInput struct {
	Stream string    `query:"stream" doc:"Only recordings of this stream"`
	State  string    `query:"state" enum:"running,ended" doc:"Only those that run, or that have ended"`
	Limit  pageLimit `query:"limit" doc:"Most items to return"`
	Cursor string    `query:"cursor" doc:"nextCursor of the page before"`
}

type recordingInput struct {
	ID string `path:"id" doc:"Id of the recording"`
}

func (a API) recordingRoutes(api huma.API) {
	register(api, "list-recordings", "/recordings", "List recordings, the oldest first", a.listRecordings)
	register(api, "get-recording", "/recordings/{id}", "One recording", a.getRecording)
	registerAs(api, http.MethodDelete, "delete-recording", "/recordings/{id}", "Take a recording away that has ended", a.deleteRecording)
}

func (a API) listRecordings(ctx context.Context, in *listRecordingsInput) (*body[list[recordingItem]], error) {
	if in.Stream != "" {
		if err := sluice.CheckStreamName(in.Stream); err != nil {
			return nil, err
		}
	}
	if in.State != "" && in.State != recordingRuns && in.State != recordingEnded {
		return nil, sluice.Errorf(sluice.CodeInvalid, "state is %s or %s", recordingRuns, recordingEnded)
	}
	all, err := a.Recordings.List(ctx)
	if err != nil {
		return nil, err
	}
	grant, now := grantOf(ctx), time.Now()
	var items []recordingItem
	for _, r := range all {
		item := r.item(now)
		if maySee(grant, r.Stream) && (in.Stream == "" || in.Stream == r.Stream) && (in.State == "" || in.State == item.State) {
			items = append(items, item)
		}
	}
	return paged(items, func(i recordingItem) string { return i.ID }, page{in.Limit, in.Cursor})
}

func (a API) getRecording(ctx context.Context, in *recordingInput) (*body[recordingItem], error) {
	r, err := a.Recordings.Find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !maySee(grantOf(ctx), r.Stream) {
		return nil, sluice.Errorf(sluice.CodeForbidden, "the token is not for this")
	}
	return &body[recordingItem]{r.item(time.Now())}, nil
}

func (a API) deleteRecording(ctx context.Context, in *recordingInput) (*struct{}, error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	return &struct{}{}, a.Recordings.Remove(ctx, in.ID)
}

func (r Recorded) item(now time.Time) recordingItem {
	state, end := recordingEnded, r.Ended
	if end.IsZero() {
		state, end = recordingRuns, now
	}
	return recordingItem{
		ID: r.ID, Stream: r.Stream, State: state, Started: r.Started, Ended: r.Ended,
		Duration: max(0, end.Sub(r.Started).Seconds()), Bytes: r.Bytes, Playlist: r.Playlist, File: r.File,
	}
}
