package chat

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

// maxReplay is the most messages of one answer.
const maxReplay = 5000

// replay is the chat of a recording.
type replay struct {
	Recording string           `json:"recording"`
	Stream    string           `json:"stream"`
	Started   string           `json:"started"` // what offsets count from
	Ended     *string          `json:"ended"`   // null while it runs
	Messages  []replayedFrame  `json:"messages"`
	Next      *json.RawMessage `json:"next"` // "from" of the next page; null at the end
}

// replayedFrame is a message of the chat, and when it was said in the recording.
type replayedFrame struct {
	messageFrame
	Offset float64 `json:"offset"` // seconds
}

// Replay serves the messages of a recording, from "from" of the query on: an
// offset in seconds, or a time (RFC 3339). Watching the stream takes the same
// right.
func (h *Handler) Replay(w http.ResponseWriter, r *http.Request, recording string) {
	wish.CORS(w.Header(), http.MethodGet, http.MethodHead, http.MethodOptions)
	page, err := h.replay(r, recording)
	if err != nil {
		problem.Write(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(marshal(page)) // the caller went away: nothing to do
}

func (h *Handler) replay(r *http.Request, recording string) (*replay, error) {
	bearer, _ := wish.Bearer(r)
	grant, err := h.auth.Authorize(r.Context(), bearer)
	if err != nil {
		return nil, h.limiter.Refuse(wish.Remote(r), err)
	}
	rec, err := h.hub.recording(r.Context(), recording)
	if err != nil {
		return nil, err
	}
	if !grant.MayWatch(rec.Stream) {
		return nil, sluice.Errorf(sluice.CodeForbidden, "the token does not allow watching the stream %q", rec.Stream)
	}
	from, err := replayFrom(rec.Started, r.URL.Query().Get("from"))
	if err != nil {
		return nil, err
	}
	messages, err := h.hub.deps.Archive.MessagesBetween(r.Context(), rec.Stream, from, rec.Ended, maxReplay+1)
	if err != nil {
		return nil, err
	}
	return replayOf(rec, messages), nil
}

// replayFrom reads where a page begins.
func replayFrom(started time.Time, text string) (time.Time, error) {
	if text == "" {
		return started, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		if at.Before(started) {
			at = started
		}
		return at, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e8) {
		return started, sluice.Errorf(sluice.CodeInvalid, "from is a number of seconds or a time (RFC 3339)")
	}
	return started.Add(time.Duration(seconds * float64(time.Second))), nil
}

// recording finds a recording by its id.
func (h *Hub) recording(ctx context.Context, id string) (sluice.Recording, error) {
	if h.deps.Recordings != nil {
		all, err := h.deps.Recordings.Recordings(ctx)
		if err != nil {
			return sluice.Recording{}, err
		}
		if i := slices.IndexFunc(all, func(rec sluice.Recording) bool { return rec.ID == id }); i >= 0 {
			return all[i], nil
		}
	}
	return sluice.Recording{}, sluice.Errorf(sluice.CodeNotFound, "there is no such recording")
}

// replayOf makes a page. Messages of the same millisecond stay together.
func replayOf(rec sluice.Recording, messages []catalog.Message) *replay {
	page := &replay{Recording: rec.ID, Stream: rec.Stream, Started: stamp(rec.Started), Messages: []replayedFrame{}}
	if !rec.Ended.IsZero() {
		ended := stamp(rec.Ended)
		page.Ended = &ended
	}
	offset := func(m catalog.Message) float64 { return float64(m.At.Sub(rec.Started).Milliseconds()) / 1000 }
	if len(messages) > maxReplay {
		last := maxReplay
		for last > 1 && messages[last-1].At.Equal(messages[maxReplay].At) {
			last--
		}
		next := json.RawMessage(strconv.FormatFloat(offset(messages[last]), 'f', 3, 64))
		page.Next, messages = &next, messages[:last]
	}
	for _, m := range messages {
		kept := message{Message: m}
		page.Messages = append(page.Messages, replayedFrame{messageFrame: kept.wire(""), Offset: offset(m)})
	}
	return page
}
