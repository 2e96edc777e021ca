package archive

import (
	"context"
	"errors"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// mirrored is how far the store has what a Mirror sends. Its goroutine owns it.
type mirrored struct {
	term   Term
	known  bool // the store has the term
	behind bool // what an earlier process has sent is not known yet
	past   *View
	logged
	again int // how many lines the log may have before it is written anew
	inits map[string]bool
	kept  map[string][]sluice.Segment // on the disk and in the store
}

// send brings a batch into the store: what the log names is there before its line.
// It may be repeated.
func (m *Mirror) send(ctx context.Context, batch []item, meta *Meta) error {
	s := &m.state
	if s.behind {
		if err := m.catchUp(ctx); err != nil {
			return err
		}
		return nil // the batch comes behind what catchUp has found
	}
	if !s.known {
		if err := m.remote.check(ctx, s.term.ID, s.term.Term); err != nil {
			return err
		}
		if err := m.remote.putTerm(ctx, s.term); err != nil {
			return err
		}
		s.known = true
	}
	if err := m.upload(ctx, batch); err != nil {
		return err
	}
	if err := m.remote.check(ctx, s.term.ID, s.term.Term); err != nil {
		return err
	}
	if err := m.appendLog(ctx, batch); err != nil {
		return err
	}
	if meta != nil {
		t := s.term
		t.Meta = *meta
		t.Term = s.term.Term
		if !meta.Ended.IsZero() {
			view, err := m.remote.look(ctx, t.ID, 0)
			if err != nil {
				return err
			}
			for _, list := range view.segments {
				for _, k := range list {
					t.Bytes += k.Size
				}
			}
		}
		if err := m.remote.putTerm(ctx, t); err != nil {
			return err
		}
		s.term = t
	}
	m.settle(batch)
	if err := m.discard(ctx, batch); err != nil {
		return err
	}
	return m.compact(ctx)
}

// upload sends the media of a batch, several at once. A segment that the disk does
// not have as it was written becomes a gap.
func (m *Mirror) upload(ctx context.Context, batch []item) error {
	if err := m.uploadInits(ctx, batch); err != nil {
		return err
	}
	errs := make([]error, len(batch))
	places := make(chan struct{}, uploads)
	var all sync.WaitGroup
	for n := range batch {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			switch i := &batch[n]; {
			case i.thumbnail:
				errs[n] = m.uploadThumbnail(ctx, i.number)
			case i.Segment != nil && !i.Segment.Gap:
				errs[n] = m.uploadSegment(ctx, i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (m *Mirror) uploadSegment(ctx context.Context, i *item) error {
	t := m.state.term
	data, err := blob.ReadFile(m.local.Store, segmentName(t.ID, i.rendition, i.Segment.Sequence), maxTorn)
	if err == nil && (crc32.Checksum(data, castagnoli()) != i.CRC || int64(len(data)) != i.Segment.Size) {
		err = errors.New("the disk has other bytes than were written")
	}
	if err != nil {
		m.log.Error("a segment is lost on the disk", "rendition", i.rendition, "segment", i.Segment.Sequence, "err", err)
		m.spool.waiting.Add(-i.Segment.Size)
		gap := gapOf(*i.Segment)
		i.Segment = &gap
		return nil
	}
	if err := m.remote.Store.Put(ctx, sharedSegment(t.ID, i.rendition, i.Segment.Sequence, t.Term), data); err != nil {
		return err
	}
	m.spool.stored.Add(1)
	return nil
}

// gapOf is a segment without its media.
func gapOf(s sluice.Segment) sluice.Segment {
	return sluice.Segment{Sequence: s.Sequence, Init: s.Init, Start: s.Start, Duration: s.Duration, Discontinuity: s.Discontinuity, Breaks: s.Breaks, Gap: true}
}

func (m *Mirror) uploadThumbnail(ctx context.Context, n uint64) error {
	t := m.state.term
	data, err := m.local.Thumbnail(t.ID, n)
	if err != nil {
		return nil //nolint:nilerr // one that the disk did not take
	}
	return m.remote.Store.Put(ctx, sharedThumbnail(t.ID, n), data)
}

// uploadInits sends the init sections that a batch needs.
func (m *Mirror) uploadInits(ctx context.Context, batch []item) error {
	t := m.state.term
	for _, i := range batch {
		if i.Segment == nil || i.Segment.Gap {
			continue
		}
		name := sharedInit(t.ID, i.rendition, i.Segment.Init, t.Term)
		if m.state.inits[name] {
			continue
		}
		data, err := m.local.Init(t.ID, i.rendition, i.Segment.Init)
		if err != nil {
			return err
		}
		if err := m.remote.Store.Put(ctx, name, data); err != nil {
			return err
		}
		m.state.inits[name] = true
	}
	return nil
}

// settle takes segments off the disk that the store has and live players do not
// need.
func (m *Mirror) settle(batch []item) {
	s := &m.state
	for _, i := range batch {
		if i.Segment != nil && !i.Segment.Gap {
			s.kept[i.rendition] = append(s.kept[i.rendition], *i.Segment)
		}
	}
	for id, list := range s.kept {
		n := len(list) - 1
		newest := list[n].Start.Add(list[n].Duration)
		n = 0
		for n < len(list)-1 && newest.Sub(list[n].Start) > keepLocal {
			if err := m.local.Store.Remove(segmentName(s.term.ID, id, list[n].Sequence)); err != nil {
				m.log.Warn("remove segment", "rendition", id, "segment", list[n].Sequence, "err", err)
			}
			n++
		}
		s.kept[id] = slices.Clone(list[n:])
	}
}

// discard takes media out of the store that the log says are gone.
func (m *Mirror) discard(ctx context.Context, batch []item) error {
	s := &m.state
	for _, i := range batch {
		for seq := i.from; seq < i.Removed; seq++ {
			term := s.term.Term
			if s.past != nil {
				if k, ok := s.past.find(i.rendition, seq); ok {
					term = k.term
				}
			}
			if err := m.remote.Store.Delete(ctx, sharedSegment(s.term.ID, i.rendition, seq, term)); err != nil {
				m.log.Warn("remove segment from the shared store", "rendition", i.rendition, "segment", seq, "err", err)
			}
		}
	}
	return nil
}
