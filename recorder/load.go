package recorder

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// load takes stock of the store.
func (r *Recorder) load(now time.Time) error {
	metas, err := r.archive.List()
	if metas == nil && err != nil {
		return err
	}
	if err != nil {
		r.log.Warn("recordings that cannot be read are left alone", "err", err)
	}
	for _, m := range metas {
		if err := r.restore(m, now); err != nil {
			r.log.Warn("recording cannot be repaired", "session", m.ID, "err", err)
		}
	}
	return nil
}

func (r *Recorder) restore(m archive.Meta, now time.Time) error {
	recovered, err := r.archive.Recover(m)
	if err != nil { // it does not go on, but what it has can be seen
		segments, readErr := r.archive.Timeline(context.Background(), m)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		if m.Ended.IsZero() {
			m.Ended = endOf(m, segments)
		}
		r.put(m, sizeOfAll(segments))
		return err
	}
	if recovered.Adopted > 0 || recovered.Trimmed > 0 {
		r.log.Info("recording repaired", "session", m.ID, "stream", m.Stream, "segments", recovered.Adopted, "trimmed", recovered.Trimmed)
	}
	size, last := sizeOfAll(recovered.Segments), endOf(m, recovered.Segments)
	switch {
	case !m.Ended.IsZero():
	case size == 0:
		return r.archive.Remove(m.ID)
	case now.Sub(last) < r.cfg.Grace && r.waiting[m.Stream] == nil:
		if recovered.Passed > 0 {
			m.Closed = true
			if err := r.archive.PutMeta(m); err != nil {
				return err
			}
		}
		r.waiting[m.Stream] = &resumed{meta: m, segments: recovered.Segments, until: last.Add(r.cfg.Grace)}
		return nil
	default:
		m.Ended = last
		if err := r.archive.PutMeta(m); err != nil {
			return err
		}
		r.tell(sluice.EventRecordingFinished, m.Recording)
	}
	r.put(m, size)
	r.deliver(m, r.mirror(m, &resumed{meta: m}))
	return nil
}

// endOf is when the newest media of a recording ends.
func endOf(m archive.Meta, segments map[string][]sluice.Segment) time.Time {
	last := m.Started
	for _, list := range segments {
		n := len(list)
		for n > 0 && list[n-1].Gap {
			n--
		}
		if n > 0 && list[n-1].Start.Add(list[n-1].Duration).After(last) {
			last = list[n-1].Start.Add(list[n-1].Duration)
		}
	}
	return last
}

func sizeOfAll(segments map[string][]sluice.Segment) (sum int64) {
	for _, list := range segments {
		sum += sizeOf(list)
	}
	return sum
}

func sizeOf(segments []sluice.Segment) (sum int64) {
	for _, s := range segments {
		sum += s.Size
	}
	return sum
}
