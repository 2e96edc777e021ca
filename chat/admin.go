package chat

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/catalog"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

const (
	// maxBody is the longest body of a request, in bytes.
	maxBody = 4096
	// maxActions is how much of the audit log is shown.
	maxActions = 200
)

// Admin is what the control API needs to know of the database.
type Admin interface {
	Bans(ctx context.Context, stream string, now time.Time) ([]catalog.Ban, error)
	Actions(ctx context.Context, stream string, limit int) ([]catalog.Action, error)
}

// roomSettings is the room as moderators see and set it.
type roomSettings struct {
	Slow      *int  `json:"slow,omitempty"` // seconds
	NoLinks   *bool `json:"noLinks,omitempty"`
	Followers *bool `json:"followersOnly,omitempty"`
	NoGuests  *bool `json:"noGuests,omitempty"`
}

// roomState is the answer to who asks for a room.
type roomState struct {
	Settings roomSettings     `json:"settings"`
	Bans     []catalog.Ban    `json:"bans"`
	Actions  []catalog.Action `json:"actions"` // newest first
}

// Room serves the settings, bans and audit log of a stream's chat to its
// moderators, and takes new settings with PATCH.
func (h *Handler) Room(w http.ResponseWriter, r *http.Request, stream string) {
	wish.CORS(w.Header(), http.MethodGet, http.MethodPatch, http.MethodOptions)
	state, err := h.room(w, r, stream)
	if err != nil {
		problem.Write(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(marshal(state)) // the caller went away: nothing to do
}

func (h *Handler) room(w http.ResponseWriter, r *http.Request, stream string) (*roomState, error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return nil, err
	}
	bearer, _ := wish.Bearer(r)
	grant, err := h.auth.Authorize(r.Context(), bearer)
	if err != nil {
		return nil, h.limiter.Refuse(wish.Remote(r), err)
	}
	if !grant.MayModerate(stream) && !grant.MayPublish(stream) {
		return nil, sluice.Errorf(sluice.CodeForbidden, "only moderators of the stream %q may do this", stream)
	}
	settings, err := h.hub.deps.Rules.Room(r.Context(), stream)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPatch {
		if err := patch(w, r, &settings); err != nil {
			return nil, err
		}
		if err := h.hub.setRules(r.Context(), stream, grant, settings); err != nil {
			return nil, err
		}
	}
	bans, err := h.admin.Bans(r.Context(), stream, time.Now())
	if err != nil {
		return nil, err
	}
	actions, err := h.admin.Actions(r.Context(), stream, maxActions)
	if err != nil {
		return nil, err
	}
	slow := int(settings.Slow / time.Second)
	return &roomState{
		Settings: roomSettings{Slow: &slow, NoLinks: &settings.NoLinks, Followers: &settings.Followers, NoGuests: &settings.NoGuests},
		Bans:     bans, Actions: actions,
	}, nil
}

// patch changes the settings that the body names.
func patch(w http.ResponseWriter, r *http.Request, settings *catalog.Room) error {
	if err := wish.CheckType(r, "application/json"); err != nil {
		return err
	}
	var wanted roomSettings
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	body.DisallowUnknownFields()
	if err := body.Decode(&wanted); err != nil {
		return sluice.Errorf(sluice.CodeInvalid, "the body is a JSON object of slow, noLinks, followersOnly and noGuests")
	}
	if wanted.Slow != nil {
		if *wanted.Slow < 0 || *wanted.Slow > maxSlow {
			return sluice.Errorf(sluice.CodeInvalid, "slow is 0 to %d seconds", maxSlow)
		}
		settings.Slow = time.Duration(*wanted.Slow) * time.Second
	}
	for _, flag := range []struct{ to, from *bool }{
		{&settings.NoLinks, wanted.NoLinks}, {&settings.Followers, wanted.Followers}, {&settings.NoGuests, wanted.NoGuests},
	} {
		if flag.from != nil {
			*flag.to = *flag.from
		}
	}
	return nil
}

// setRules keeps the settings of a room and tells all nodes.
func (h *Hub) setRules(ctx context.Context, stream string, by sluice.Grant, rules catalog.Room) error {
	user, _ := userOf(Who{Stream: stream, Grant: by})
	err := h.publish(ctx, stream, []posting{{event: event{Kind: rulesEvent, User: user, Rules: &rules}}})
	if err != nil {
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the chat cannot be told right now", RetryAfter: 2 * time.Second, Err: err}
	}
	return nil
}
