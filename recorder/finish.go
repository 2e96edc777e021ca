package recorder

import (
	"context"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// ending is why a show does.
type ending uint8

const (
	ended   ending = iota // for good
	stopped               // with the process, which may start again
	moved                 // another node has the publisher
	lost                  // another node records
)

// finish closes every rendition.
func (s *show) finish(why ending) {
	r := s.recorder
	for _, l := range s.lanes {
		if l.track != 0 {
			l.flush()
		}
	}
	s.leaveVacant()
	s.coder.close()
	c := s.record
	if c == nil {
		if s.before != nil { // nothing came: it still waits
			r.mu.Lock()
			r.waiting[s.stream] = s.before
			r.mu.Unlock()
		}
		return
	}
	if (why == moved || why == lost) && c.mirror == nil {
		why = ended // it cannot go on elsewhere
	}
	if why == ended {
		s.meta.Ended = s.end().UTC()
	}
	s.meta.Closed = true
	c.close(s.meta)
	r.counters.recordings.Add(-1)
	s.store(why)
}

// store keeps a recording that is closed: on the disk, or in the shared store.
func (s *show) store(why ending) {
	r, c := s.recorder, s.record
	meta, segments := c.snapshot()
	size := sizeOfAll(segments)
	switch why {
	case ended:
		r.put(meta, size)
		r.deliver(meta, c.mirror)
	case stopped:
		s.send(meta, closePatience)
		r.mu.Lock()
		r.waiting[s.stream] = &resumed{meta: meta, segments: segments, until: time.Now().Add(r.cfg.Grace)}
		r.mu.Unlock()
	case moved:
		s.send(meta, handOver)
	case lost:
		s.send(meta, 0)
	}
	r.mu.Lock()
	delete(r.running, meta.ID)
	r.mu.Unlock()
	switch why {
	case ended:
		r.deps.Sink.End(meta.ID)
		r.tell(sluice.EventRecordingFinished, meta.Recording)
	case moved, lost:
		r.drop(meta.ID)
		r.deps.Sink.Leave(meta.ID)
	}
	s.log.Info("recording has ended", "bytes", size, "elsewhere", why == moved || why == lost)
}

// send brings what is left of the recording into the shared store within a time.
func (s *show) send(meta archive.Meta, patience time.Duration) {
	m := s.record.mirror
	if m == nil {
		return
	}
	if patience > 0 {
		m.Meta(meta)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !m.Close(ctx) && patience > 0 {
		s.log.Warn("the shared store does not have all of the recording")
	}
}
