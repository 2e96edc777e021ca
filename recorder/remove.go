package recorder

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// deliverRetry is when to ask again for a recording that is on its way to the shared
// store.
const deliverRetry = 5 * time.Second

// Remove takes a recording away for good. CodeRecordingRunning: it has not ended;
// CodeUnavailable: the rest of it is still on its way to the shared store.
func (r *Recorder) Remove(ctx context.Context, rec string) error {
	r.mu.Lock()
	f, goes := r.ended[rec], r.goesOn(rec)
	r.mu.Unlock()
	switch {
	case goes:
		return stillRunning()
	case f != nil && r.remote != nil && f.meta.Term > 0:
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "the recording is still on its way to the shared store", RetryAfter: deliverRetry}
	case f != nil:
		return r.removeHere(f)
	case r.remote == nil:
		return archive.NotFound("recording")
	}
	view, err := r.remote.View(ctx, rec)
	switch {
	case err != nil:
		return err
	case view.Term.Ended.IsZero():
		return stillRunning()
	}
	return r.removeShared(ctx, view.Term)
}

func stillRunning() error {
	return sluice.Errorf(sluice.CodeRecordingRunning, "the recording has not ended")
}

// goesOn reports whether a recording on this disk has not ended. mu is held.
func (r *Recorder) goesOn(rec string) bool {
	for _, w := range r.waiting {
		if w.meta.ID == rec {
			return true
		}
	}
	return r.running[rec] != nil
}

// removeHere takes a recording off the disk that has ended.
func (r *Recorder) removeHere(f *finished) error {
	id := f.meta.ID
	r.mu.Lock()
	delete(r.ended, id)
	r.mu.Unlock()
	if err := r.archive.Remove(id); err != nil {
		r.put(f.meta, f.size) // to be tried again
		return err
	}
	r.log.Info("recording removed", "session", id)
	r.gone(id)
	return nil
}

// gone tells those who have copies that a recording is there no more.
func (r *Recorder) gone(rec string) {
	if r.deps.Removed != nil {
		r.deps.Removed(rec)
	}
}

// notice learns from a list of the shared store what other nodes have taken away of
// what this one may have copies of: it has made it, listed it or looked at it. A copy
// of what is still there is only read again.
func (r *Recorder) notice(all []archive.Term) {
	now := map[string]bool{}
	for _, t := range all {
		now[t.ID] = true
	}
	viewed := r.remote.Viewed()
	r.mu.Lock()
	var gone []string
	for _, id := range append(viewed, slices.Collect(maps.Keys(r.listed))...) {
		if !now[id] {
			gone = append(gone, id)
		}
	}
	r.listed = now
	r.mu.Unlock()
	for _, id := range gone {
		r.remote.Forget(id)
		r.gone(id)
	}
}
