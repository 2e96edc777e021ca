package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// catchUp finds out what an earlier process has sent of this term, and puts what it
// has not before everything else.
func (m *Mirror) catchUp(ctx context.Context) error {
	s := &m.state
	view, err := m.remote.look(ctx, s.term.ID, 0)
	switch {
	case sluice.CodeOf(err) == sluice.CodeNotFound:
		view = &View{Term: s.term, segments: map[string][]kept{}}
	case err != nil:
		return err
	case view.Term.Term > s.term.Term:
		return ErrLaterTerm
	default:
		s.known, s.past, s.lines = true, view, view.lines
		s.term.Before, s.term.Log = view.Term.Before, view.Term.Log
		if n := view.lines % chunkLines; n > 0 {
			b, err := m.remote.Store.Get(ctx, chunkName(s.term.ID, s.term.Term, s.term.Log, view.lines/chunkLines), maxChunk)
			if err != nil {
				return err
			}
			for range n {
				end := bytes.IndexByte(b, '\n')
				s.chunk, b = append(s.chunk, b[:end+1]...), b[end+1:]
			}
		}
	}
	missing, err := m.missing(view)
	if err != nil {
		s.chunk = nil
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	type key struct {
		rendition string
		seq       uint64
	}
	found := map[key]bool{}
	for _, i := range missing {
		if i.Segment != nil {
			found[key{i.rendition, i.Segment.Sequence}] = true
			m.spool.waiting.Add(i.Segment.Size)
		}
	}
	for _, i := range m.queue { // what has come since is in the index, too
		if i.Segment != nil && found[key{i.rendition, i.Segment.Sequence}] {
			m.spool.waiting.Add(-i.Segment.Size)
			continue
		}
		missing = append(missing, i)
	}
	m.queue = missing
	s.behind = false
	return nil
}

// missing lists what the disk has and a view of the store has not.
func (m *Mirror) missing(view *View) ([]item, error) {
	rec := m.state.term.ID
	local, err := m.local.Meta(rec)
	if err != nil {
		return nil, err
	}
	var all []item
	for _, r := range local.Renditions {
		entries, err := m.local.entries(rec, r.ID)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if _, ok := view.find(r.ID, e.Segment.Sequence); !ok {
				all = append(all, item{rendition: r.ID, entry: e})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b item) int { return a.Segment.Start.Compare(b.Segment.Start) })
	thumbnails, err := m.local.Store.List(path.Join(rec, "thumbnails"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range thumbnails {
		if n, err := strconv.ParseUint(strings.TrimSuffix(e.Name, ".jpg"), 10, 64); err == nil {
			all = append(all, item{thumbnail: true, number: n})
		}
	}
	return all, nil
}

// entries reads the index of a rendition with its checksums.
func (a *Archive) entries(rec, rendition string) ([]entry, error) {
	b, err := blob.ReadFile(a.Store, path.Join(rec, rendition, "index"), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, _ := parseEntries(b)
	return entries, nil
}
