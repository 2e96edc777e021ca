package node

import (
	"context"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder"
	"github.com/sluice-live/sluice/signaling"
)

// storeRetry is when to ask again while the store of recordings does not answer.
const storeRetry = 5 * time.Second

// recorded is signaling.Recordings.
type recorded struct {
	recorder *recorder.Recorder
	root     string // of URLs; "": they begin with a slash
}

// List implements signaling.Recordings.
func (r recorded) List(ctx context.Context) ([]signaling.Recorded, error) {
	held, err := r.recorder.Holdings(ctx)
	if err != nil {
		return nil, unreadable(err)
	}
	all := make([]signaling.Recorded, len(held))
	for i, h := range held {
		all[i] = r.show(h)
	}
	return all, nil
}

// Find implements signaling.Recordings.
func (r recorded) Find(ctx context.Context, id string) (signaling.Recorded, error) {
	h, err := r.recorder.Holding(ctx, id)
	if err != nil {
		return signaling.Recorded{}, unreadable(err)
	}
	return r.show(h), nil
}

// Remove implements signaling.Recordings.
func (r recorded) Remove(ctx context.Context, id string) error {
	return unreadable(r.recorder.Remove(ctx, id))
}

func (r recorded) show(h recorder.Holding) signaling.Recorded {
	at := r.root + "/vod/" + h.ID
	return signaling.Recorded{Recording: h.Recording, Bytes: h.Bytes, Playlist: at + "/index.m3u8", File: at + "/recording.mp4"}
}

// unreadable makes an error of the store one that callers may try again.
func unreadable(err error) error {
	if sluice.CodeOf(err) != sluice.CodeInternal {
		return err
	}
	return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the store of recordings does not answer", RetryAfter: storeRetry, Err: err}
}
