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

// Holding is a recording and how much of it is kept.
type Holding struct {
	sluice.Recording
	Bytes int64 // in lists 0 for one that another node writes
}

// Recordings lists all recordings, the oldest first. Those of other nodes may be a
// little out of date.
func (r *Recorder) Recordings(ctx context.Context) ([]sluice.Recording, error) {
	held, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]sluice.Recording, len(held))
	for i, h := range held {
		all[i] = h.Recording
	}
	return all, nil
}

// Holdings is Recordings for people: of a shared store it may lack what cannot be
// read.
func (r *Recorder) Holdings(ctx context.Context) ([]Holding, error) {
	held, err := r.list(ctx)
	if err != nil && held == nil {
		return nil, err
	}
	return held, nil
}

// list returns what there is. With an error that is all but what cannot be read, or
// nil.
func (r *Recorder) list(ctx context.Context) ([]Holding, error) {
	all := r.listHere()
	var err error
	if r.remote != nil { // afterwards: what leaves the disk is there
		var terms []archive.Term
		if terms, err = r.remote.List(ctx, listAge); terms == nil && err != nil {
			return nil, err
		}
		here := map[string]bool{}
		for _, h := range all {
			here[h.ID] = true
		}
		for _, t := range terms {
			if !here[t.ID] {
				all = append(all, Holding{t.Recording, t.Bytes})
			}
		}
	}
	slices.SortFunc(all, func(a, b Holding) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}

// listHere lists what is on this node's disk. A recording that has just ended is
// there once.
func (r *Recorder) listHere() []Holding {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Holding, 0, len(r.ended)+len(r.waiting)+len(r.running))
	for _, f := range r.ended {
		if r.running[f.meta.ID] == nil {
			all = append(all, Holding{f.meta.Recording, f.size})
		}
	}
	for _, w := range r.waiting {
		if r.running[w.meta.ID] == nil {
			all = append(all, Holding{w.meta.Recording, sizeOfAll(w.segments)})
		}
	}
	for _, c := range r.running {
		all = append(all, Holding{c.recording(), c.bytes()})
	}
	return all
}

// Recording returns one recording.
func (r *Recorder) Recording(ctx context.Context, rec string) (sluice.Recording, error) {
	if here, ok := r.here(rec); ok {
		return here.Recording, nil
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

// Holding returns one recording and how much of it is kept.
func (r *Recorder) Holding(ctx context.Context, rec string) (Holding, error) {
	if here, ok := r.here(rec); ok {
		return here, nil
	}
	if r.remote == nil {
		return Holding{}, archive.NotFound("recording")
	}
	view, err := r.remote.View(ctx, rec)
	if err != nil {
		return Holding{}, err
	}
	return Holding{view.Term.Recording, sizeOfAll(view.Segments())}, nil
}

// here returns a recording that is on this node's disk.
func (r *Recorder) here(rec string) (Holding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.running[rec]; c != nil {
		return Holding{c.recording(), c.bytes()}, true
	}
	if f := r.ended[rec]; f != nil {
		return Holding{f.meta.Recording, f.size}, true
	}
	for _, w := range r.waiting {
		if w.meta.ID == rec {
			return Holding{w.meta.Recording, sizeOfAll(w.segments)}, true
		}
	}
	return Holding{}, false
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
