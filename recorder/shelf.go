package recorder

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// Recordings lists all recordings, the oldest first. Those of other nodes may be a
// little out of date.
func (r *Recorder) Recordings(ctx context.Context) ([]sluice.Recording, error) {
	r.mu.Lock()
	var all []sluice.Recording
	for _, f := range r.ended {
		all = append(all, f.meta.Recording)
	}
	for _, w := range r.waiting {
		all = append(all, w.meta.Recording)
	}
	for _, c := range r.running {
		all = append(all, c.recording())
	}
	r.mu.Unlock()
	if r.remote != nil {
		terms, err := r.remote.List(ctx, listAge)
		if err != nil {
			return nil, err
		}
		here := map[string]bool{}
		for _, rec := range all {
			here[rec.ID] = true
		}
		for _, t := range terms {
			if !here[t.ID] {
				all = append(all, t.Recording)
			}
		}
	}
	slices.SortFunc(all, func(a, b sluice.Recording) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Recording returns one recording.
func (r *Recorder) Recording(ctx context.Context, rec string) (sluice.Recording, error) {
	if here, ok := r.here(rec); ok {
		return here, nil
	}
	if r.remote == nil {
		return sluice.Recording{}, archive.NotFound("recording")
	}
	view, err := r.remote.View(ctx, rec)
	if err != nil {
		return sluice.Recording{}, err
	}
	return view.Term.Recording, nil
}

// here returns a recording that is on this node's disk.
func (r *Recorder) here(rec string) (sluice.Recording, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.ended[rec]; f != nil {
		return f.meta.Recording, true
	}
	if c := r.running[rec]; c != nil {
		return c.recording(), true
	}
	for _, w := range r.waiting {
		if w.meta.ID == rec {
			return w.meta.Recording, true
		}
	}
	return sluice.Recording{}, false
}

// Running returns the recording of a stream that runs on another node.
func (r *Recorder) Running(ctx context.Context, stream string) (sluice.Recording, error) {
	if r.remote == nil {
		return sluice.Recording{}, archive.NotFound("recording")
	}
	return r.remote.Running(ctx, stream)
}

// Timeline returns everything durable of a recording, in order. Numbers have no
// holes: what could not be kept is there as a gap.
func (r *Recorder) Timeline(ctx context.Context, rec string) ([]sluice.Rendition, map[string][]sluice.Segment, error) {
	if c := r.record(rec); c != nil {
		meta, segments := c.snapshot()
		return meta.Renditions, segments, nil
	}
	meta, err := r.archive.Meta(rec)
	if r.elsewhere(err) {
		view, err := r.remote.View(ctx, rec)
		if err != nil {
			return nil, nil, err
		}
		return view.Term.Renditions, view.Segments(), nil
	}
	if err != nil {
		return nil, nil, err
	}
	segments, err := r.archive.Timeline(ctx, meta)
	if err != nil {
		return nil, nil, err
	}
	return meta.Renditions, segments, nil
}

// elsewhere reports whether the shared store may have what the disk has not.
func (r *Recorder) elsewhere(err error) bool {
	return r.remote != nil && sluice.CodeOf(err) == sluice.CodeNotFound
}

// Segment opens a finished segment.
func (r *Recorder) Segment(ctx context.Context, rec, rendition string, seq uint64) (io.ReadSeekCloser, error) {
	f, err := r.archive.Segment(rec, rendition, seq)
	if err == nil {
		return f, nil
	}
	if c := r.record(rec); c != nil {
		if parts, ok := c.remembered(rendition, seq); ok {
			return inMemory{bytes.NewReader(bytes.Join(parts, nil))}, nil
		}
	}
	if r.elsewhere(err) {
		data, err := r.remote.Segment(ctx, rec, rendition, seq)
		if err != nil {
			return nil, err
		}
		return inMemory{bytes.NewReader(data)}, nil
	}
	return nil, err
}

type inMemory struct{ *bytes.Reader }

// Close implements io.Closer.
func (inMemory) Close() error { return nil }

// InitSection returns an init section.
func (r *Recorder) InitSection(ctx context.Context, rec, rendition string, version int) ([]byte, error) {
	if c := r.record(rec); c != nil {
		if data := c.init(rendition, version); data != nil {
			return data, nil
		}
	}
	data, err := r.archive.Init(rec, rendition, version)
	if r.elsewhere(err) {
		return r.remote.Init(ctx, rec, rendition, version)
	}
	return data, err
}

// Thumbnail returns a picture of the recording as JPEG: number n is of the n-th
// ThumbnailInterval since its start.
func (r *Recorder) Thumbnail(ctx context.Context, rec string, n uint64) ([]byte, error) {
	data, err := r.archive.Thumbnail(rec, n)
	if r.elsewhere(err) {
		return r.remote.Thumbnail(ctx, rec, n)
	}
	return data, err
}

// record returns a running recording, or nil.
func (r *Recorder) record(rec string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[rec]
}
