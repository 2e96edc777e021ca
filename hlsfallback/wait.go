package hlsfallback

import (
	"context"
	"time"

	"github.com/sluice-live/sluice"
)

// playlist returns the playlist that the directives ask for, once it is there.
func (h *Handler) playlist(ctx context.Context, t *track, d *directives) (*body, error) {
	r, err := h.await(ctx, t, d)
	if err != nil {
		return nil, err
	}
	// A caller that asks for a segment which a delta update leaves out cannot
	// have what came before it (section 6.2.5.1).
	if d.skip && (!d.blocks || d.at.msn > r.sequence+uint64(r.skipped)) {
		if b := r.delta(); b != nil {
			return b, nil
		}
	}
	return r.full(), nil
}

// await parks the request until the playlist has what it asks for.
func (h *Handler) await(ctx context.Context, t *track, d *directives) (*rendering, error) {
	r, wake, err := t.look(d, true)
	if r != nil || err != nil {
		return r, err
	}
	p, err := h.park()
	if err != nil {
		return nil, err
	}
	defer p.leave()
	for r == nil {
		if err := p.wait(ctx, wake); err != nil {
			return nil, err
		}
		if r, wake, err = t.look(d, false); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// parked is a request that waits.
type parked struct {
	h     *Handler
	timer *time.Timer
	start time.Time
}

// park gives a request a place to wait. leave gives it back.
func (h *Handler) park() (parked, error) {
	if h.parked.Add(1) > int64(h.config.Parked) {
		h.parked.Add(-1)
		h.stats.refused.Add(1)
		return parked{}, sluice.Errorf(sluice.CodeUnavailable, "too many requests wait already")
	}
	p := parked{h: h, start: time.Now()}
	if timer, ok := h.timers.Get().(*time.Timer); ok {
		timer.Reset(h.config.patience())
		p.timer = timer
	} else {
		p.timer = time.NewTimer(h.config.patience())
	}
	return p, nil
}

// wait returns when wake is closed, or why it waits no longer: the patience of the
// configuration is at its end, the caller goes, or the handler closes.
func (p *parked) wait(ctx context.Context, wake <-chan struct{}) error {
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.h.done:
		return errStopping()
	case <-p.timer.C:
		return errTimeout()
	}
}

func (p *parked) leave() {
	p.timer.Stop()
	p.h.timers.Put(p.timer)
	p.h.parked.Add(-1)
	if p.h.deps.Blocked != nil {
		p.h.deps.Blocked.Observe(time.Since(p.start).Seconds())
	}
}

// look returns the rendering of now when it has what is asked for, else the
// channel to wait on. New requests are refused that ask too far ahead.
func (t *track) look(d *directives, isNew bool) (*rendering, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.blocks && !t.over && !t.has(d.at) {
		if isNew && t.ahead(d.at) {
			return nil, nil, sluice.Errorf(sluice.CodeInvalid, "_HLS_msn or _HLS_part is too far ahead")
		}
		if d.at.part < 0 {
			return nil, t.ended.join(), nil
		}
		return nil, t.parted.join(), nil
	}
	if t.drawn == nil {
		t.drawn = t.capture()
	}
	return t.drawn, nil, nil
}

// has reports whether the playlist contains a position or a later one. A part
// beyond the last of a finished segment is the first of the next (section 6.2.5.2).
func (t *track) has(at position) bool {
	finished, some := t.newest()
	if some && at.msn <= finished {
		if at.part < 0 || at.msn < finished {
			return true
		}
		if n := len(t.near); n > 0 && t.near[n-1].seg.Sequence == finished && !t.near[n-1].seg.Gap && at.part >= len(t.near[n-1].parts) {
			return t.growing != nil && len(t.growing.parts) > 0
		}
		return true
	}
	return at.part >= 0 && t.growing != nil && (at.msn < t.growing.seg.Sequence ||
		at.msn == t.growing.seg.Sequence && at.part < len(t.growing.parts))
}

// newest returns the number of the last finished segment.
func (t *track) newest() (uint64, bool) {
	if n := len(t.entries); n > 0 {
		return t.entries[n-1].seg.Sequence, true
	}
	return 0, false
}

// ahead reports whether a position is further on than a caller can know of
// (section 6.2.5.2): more than two segments, or more parts than three seconds hold.
func (t *track) ahead(at position) bool {
	last, listed := uint64(0), 0
	if seq, some := t.newest(); some {
		last = seq
		if n := len(t.near); n > 0 {
			listed = len(t.near[n-1].parts)
		}
	} else if t.growing == nil {
		return at.msn > 2 // nothing is there yet
	}
	if t.growing != nil && len(t.growing.parts) > 0 {
		last, listed = t.growing.seg.Sequence, len(t.growing.parts)
	}
	limit := 3
	if t.show.config.Part < time.Second {
		limit = int(3*time.Second/t.show.config.Part) + 1
	}
	switch {
	case at.msn > last+2:
		return true
	case at.part < 0:
		return false
	case at.msn == last:
		return at.part > listed+limit
	default:
		return at.part > limit
	}
}

// fetch returns a part, which may be the one that the hint names: then the
// request waits for it.
func (h *Handler) fetch(ctx context.Context, t *track, name string) (*payload, error) {
	p, err := h.awaitPart(ctx, t, name)
	if err != nil || !p.shelved {
		return p.payload, err
	}
	whole, err := h.old.get(ctx, segmentKey{t.show.rec.ID, t.id, p.seq, false})
	if err != nil {
		return nil, err
	}
	if p.at+p.size > len(whole.data) {
		return nil, errGap()
	}
	return p.payload.moved(whole.data[p.at : p.at+p.size]), nil
}

func (h *Handler) awaitPart(ctx context.Context, t *track, name string) (part, error) {
	found, wake, err := t.part(name)
	if wake == nil || err != nil {
		return found, err
	}
	p, err := h.park()
	if err != nil {
		return part{}, err
	}
	defer p.leave()
	for wake != nil {
		if err := p.wait(ctx, wake); err != nil {
			return part{}, err
		}
		if found, wake, err = t.part(name); err != nil {
			return part{}, err
		}
	}
	return found, nil
}

// part returns what a name stands for, or the channel to wait on.
func (t *track) part(name string) (part, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.parts[name]; ok {
		if p.payload == nil {
			return part{}, nil, errGap()
		}
		return *p, nil, nil
	}
	if name == t.hint && !t.over {
		return part{}, t.parted.join(), nil
	}
	return part{}, nil, sluice.Errorf(sluice.CodeNotFound, "there is no such part")
}

func errGap() error { return sluice.Errorf(sluice.CodeNotFound, "there is no media here") }
