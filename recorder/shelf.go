package recorder

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/sluice-live/sluice"
)

// Recordings lists all recordings, the oldest first.
func (r *Recorder) Recordings(context.Context) ([]sluice.Recording, error) {
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
	slices.SortFunc(all, func(a, b sluice.Recording) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Timeline returns everything durable of a recording, in order. Numbers have no
// holes: what could not be kept is there as a gap.
func (r *Recorder) Timeline(ctx context.Context, rec string) ([]sluice.Rendition, map[string][]sluice.Segment, error) {
	if c := r.record(rec); c != nil {
		meta, segments := c.snapshot()
		return meta.Renditions, segments, nil
	}
	meta, err := r.archive.Meta(rec)
	if err != nil {
		return nil, nil, err
	}
	segments, err := r.archive.Timeline(ctx, meta)
	if err != nil {
		return nil, nil, err
	}
	return meta.Renditions, segments, nil
}

// Segment opens a finished segment.
func (r *Recorder) Segment(_ context.Context, rec, rendition string, seq uint64) (io.ReadSeekCloser, error) {
	f, err := r.archive.Segment(rec, rendition, seq)
	if err == nil {
		return f, nil
	}
	if c := r.record(rec); c != nil {
		if parts, ok := c.remembered(rendition, seq); ok {
			return inMemory{bytes.NewReader(bytes.Join(parts, nil))}, nil
		}
	}
	return nil, err
}

type inMemory struct{ *bytes.Reader }

// Close implements io.Closer.
func (inMemory) Close() error { return nil }

// InitSection returns an init section.
func (r *Recorder) InitSection(_ context.Context, rec, rendition string, version int) ([]byte, error) {
	if c := r.record(rec); c != nil {
		if data := c.init(rendition, version); data != nil {
			return data, nil
		}
	}
	return r.archive.Init(rec, rendition, version)
}

// Thumbnail returns a picture of the recording as JPEG: number n is of the n-th
// ThumbnailInterval since its start.
func (r *Recorder) Thumbnail(_ context.Context, rec string, n uint64) ([]byte, error) {
	return r.archive.Thumbnail(rec, n)
}

// record returns a running recording, or nil.
func (r *Recorder) record(rec string) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[rec]
}
