package archive

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
)

// Newest is the recording of a stream that began last, "" when it has none.
func (r *Remote) Newest(ctx context.Context, stream string) (string, error) {
	entries, err := r.Store.List(ctx, streamFolder(stream))
	if err != nil || len(entries) == 0 {
		return "", err
	}
	return entries[len(entries)-1].Name, nil
}

// runningAge is how long it is known which recording of a stream runs.
const runningAge = 2 * time.Second

// lately is what is known of a stream.
type lately struct {
	rec sluice.Recording
	err error
	at  time.Time
}

// Running is the recording of a stream that began last, if it has not ended.
func (r *Remote) Running(ctx context.Context, stream string) (sluice.Recording, error) {
	r.mu.Lock()
	known, ok := r.streams[stream]
	if len(r.streams) > maxViews {
		r.streams = map[string]lately{}
	}
	r.mu.Unlock()
	if ok && time.Since(known.at) < runningAge {
		return known.rec, known.err
	}
	found := lately{at: time.Now()}
	found.rec, found.err = r.runs(ctx, stream)
	r.mu.Lock()
	r.streams[stream] = found
	r.mu.Unlock()
	return found.rec, found.err
}

func (r *Remote) runs(ctx context.Context, stream string) (sluice.Recording, error) {
	if r.guess() != nil {
		return sluice.Recording{}, NotFound("recording")
	}
	rec, err := r.Newest(ctx, stream)
	if err != nil || rec == "" {
		return sluice.Recording{}, errors.Join(err, NotFound("recording"))
	}
	r.mu.Lock()
	r.missed-- // it was no guess
	r.mu.Unlock()
	view, err := r.View(ctx, rec)
	if err == nil && !view.Term.Ended.IsZero() {
		err = NotFound("recording")
	}
	if err != nil {
		return sluice.Recording{}, err
	}
	return view.Term.Recording, nil
}

// guess counts a question that may be about nothing.
func (r *Remote) guess() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now().Unix(); now != r.second {
		r.second, r.missed = now, 0
	}
	if r.missed >= guesses {
		return &sluice.Error{Code: sluice.CodeUnavailable, Detail: "too many recordings are asked for that do not exist", RetryAfter: time.Second}
	}
	r.missed++
	return nil
}

// Remove takes a recording away.
func (r *Remote) Remove(ctx context.Context, t Term) error {
	if err := checkID(t.ID); err != nil {
		return err
	}
	// Without its terms it is none any more, if the rest should fail.
	err := r.Store.DeleteFolder(ctx, termFolder(t.ID))
	if err == nil {
		err = r.Store.DeleteFolder(ctx, sharedFolder(t.ID))
	}
	if err == nil {
		err = r.Store.Delete(ctx, streamFolder(t.Stream)+"/"+t.ID)
	}
	l := &r.listing
	l.mu.Lock()
	l.all = slices.DeleteFunc(slices.Clone(l.all), func(listed Term) bool { return listed.ID == t.ID })
	l.mu.Unlock()
	r.mu.Lock()
	delete(l.ended, t.ID)
	r.mu.Unlock()
	r.Forget(t.ID)
	return err
}

// Viewed lists the recordings that have been looked at lately.
func (r *Remote) Viewed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.views))
}

// Forget makes a recording be read anew when it is asked for.
func (r *Remote) Forget(rec string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.views[rec]; v != nil {
		r.viewed -= v.size
		delete(r.views, rec)
	}
}

// listing is what List has found.
type listing struct {
	mu    sync.Mutex // held while it is read
	all   []Term
	read  time.Time
	ended map[string]Term // guarded by Remote.mu; they do not change
}

// List returns the newest term of every recording, the oldest recording first. The
// answer may be as old as age. What cannot be read is left out and reported.
func (r *Remote) List(ctx context.Context, age time.Duration) ([]Term, error) {
	l := &r.listing
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read.IsZero() && time.Since(l.read) < age {
		return l.all, nil
	}
	entries, err := r.Store.List(ctx, "recordings")
	if err != nil {
		return nil, err
	}
	var all []Term
	var errs []error
	ended := map[string]Term{}
	for _, e := range entries {
		if checkID(e.Name) != nil {
			continue
		}
		r.mu.Lock()
		t, known := l.ended[e.Name]
		r.mu.Unlock()
		if !known {
			if t, err = r.term(ctx, e.Name); sluice.CodeOf(err) == sluice.CodeNotFound {
				continue // about to come or to go
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if !t.Ended.IsZero() {
			ended[e.Name] = t
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Term) int { return strings.Compare(a.ID, b.ID) })
	r.mu.Lock()
	l.ended = ended
	r.mu.Unlock()
	l.all, l.read = all, time.Now()
	return all, errors.Join(errs...)
}

// term reads the newest term of a recording.
func (r *Remote) term(ctx context.Context, rec string) (Term, error) {
	newest, err := r.newestTerm(ctx, rec)
	if err != nil {
		return Term{}, err
	}
	b, err := r.get(ctx, termName(rec, max(newest, 1)), maxTerm, "recording")
	if err != nil {
		return Term{}, err
	}
	return parseTerm(b, rec)
}
