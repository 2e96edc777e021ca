package recorder

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// Claims says which streams this node may record: one node of the cluster records
// a stream.
type Claims interface {
	// Claim takes the right to record a stream, by force from another node if need
	// be. Errors: sluice.CodeStreamBusy when another node has it.
	Claim(ctx context.Context, stream string, force bool) (Claim, error)
	// Moved reports whether another node publishes the stream now.
	Moved(ctx context.Context, stream string) bool
	// Recorded reports whether some node records the stream.
	Recorded(ctx context.Context, stream string) (bool, error)
}

// Claim is the right to record a stream, until it is lost or given back.
type Claim interface {
	// Generation is higher than that of every claim of the stream before.
	Generation() uint64
	// Lost is closed when another node has it.
	Lost() <-chan struct{}
	Release(ctx context.Context) error
}

const (
	// movedInterval is how often a show without its publisher looks where that is.
	movedInterval = 500 * time.Millisecond
	// handOver is how long a node gets to bring the recording of a stream that has
	// gone to another one into the shared store, before that takes it by force.
	handOver = 5 * time.Second
	// closePatience is the same for a node that stops.
	closePatience = 3 * time.Second
	// choosePatience is how long the shared store may take to say what goes on.
	choosePatience = 5 * time.Second
	// sweepInterval is how often the shared store is looked through for what is too
	// old, and listAge how old the list of its recordings may be.
	sweepInterval, listAge = 30 * time.Second, 10 * time.Second
)

// inherited is a recording that another node has begun.
type inherited struct {
	term archive.Term
	past *archive.View
	gaps []archive.Outcome
}

// admit waits until this node may record the stream, and decides which recording it
// goes on with. It returns false when there is nothing to record any more.
func (s *show) admit() bool {
	r := s.recorder
	s.term = uint64(time.Now().UnixMilli())
	if r.deps.Claims != nil {
		if !s.obtain() {
			return false
		}
		s.term = s.claim.Generation()
	}
	s.before = r.choose(s.stream, s.term)
	return true
}

// obtain takes the claim. A node that has it is given time to let go.
func (s *show) obtain() bool {
	r := s.recorder
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	began, told := time.Now(), false
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		claim, err := r.deps.Claims.Claim(ctx, s.stream, time.Since(began) > handOver)
		cancel()
		if err == nil {
			s.claim = claim
			return true
		}
		if busy := sluice.CodeOf(err) == sluice.CodeStreamBusy; !told && (!busy || time.Since(began) > time.Second) {
			told = true
			s.log.Warn("the stream is not recorded here yet", "err", err)
		}
		select {
		case <-tick.C:
		case <-r.stop:
			return false
		}
		if s.tap.State() == sluice.StreamOffline {
			return false
		}
	}
}

// release gives the claim back.
func (s *show) release() {
	if s.claim == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.claim.Release(ctx); err != nil {
		s.log.Warn("the right to record is not given back and will expire", "err", err)
	}
}

// lostClaim is closed when another node records the stream.
func (s *show) lostClaim() <-chan struct{} {
	if s.claim == nil {
		return nil
	}
	return s.claim.Lost()
}

// lostTerm is closed when another node goes on with the recording.
func (s *show) lostTerm() <-chan struct{} {
	if s.record == nil || s.record.mirror == nil {
		return nil
	}
	return s.record.mirror.Lost()
}

// moved reports now and then whether another node has the stream's publisher.
func (s *show) moved() bool {
	if s.claim == nil || time.Since(s.looked) < movedInterval {
		return false
	}
	s.looked = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), movedInterval)
	defer cancel()
	return s.recorder.deps.Claims.Moved(ctx, s.stream)
}

// choose returns the recording that a stream goes on with: one of an earlier process
// of this node, or of another node; nil: a new one begins.
func (r *Recorder) choose(stream string, term uint64) *resumed {
	local := r.resume(stream)
	if r.remote == nil {
		return local
	}
	ctx, cancel := context.WithTimeout(context.Background(), choosePatience)
	defer cancel()
	rec, err := r.remote.Newest(ctx, stream)
	if err != nil {
		r.log.Warn("the shared store does not say what there is of a stream: nothing that another node has recorded is continued", "stream", stream, "err", err)
		return local
	}
	if local != nil && rec < local.meta.ID {
		return local // the store has nothing of it yet
	}
	if rec == "" {
		return nil
	}
	next, err := r.succeed(ctx, rec, term, local)
	if err != nil {
		r.log.Warn("the recording of another node is not continued: a new one begins", "stream", stream, "session", rec, "err", err)
	}
	return next
}

// succeed takes a recording over, if it goes on. local is what this node has waiting.
func (r *Recorder) succeed(ctx context.Context, rec string, term uint64, local *resumed) (*resumed, error) {
	if local != nil && local.meta.ID != rec {
		r.over(local)
		local = nil
	}
	view, err := r.remote.View(ctx, rec)
	switch {
	case sluice.CodeOf(err) == sluice.CodeNotFound:
		return local, nil
	case err != nil:
		return local, err
	case local != nil && view.Term.Term <= local.meta.Term:
		return local, nil
	}
	segments := view.Segments()
	last := endOf(view.Term.Meta, segments)
	if !view.Term.Ended.IsZero() || time.Since(last) > r.cfg.Grace {
		return nil, nil
	}
	next, past, err := r.remote.Succeed(ctx, rec, term)
	if err != nil {
		return nil, err
	}
	segments, gaps, err := r.archive.Inherit(next, past, time.Now(), r.cfg.Segment)
	if err != nil {
		return nil, err
	}
	r.log.Info("recording of another node goes on here", "stream", next.Stream, "session", rec, "silent", time.Since(last).Round(time.Millisecond).String())
	return &resumed{meta: next.Meta, segments: segments, until: last.Add(r.cfg.Grace), inherited: &inherited{next, past, gaps}}, nil
}

// mirror begins to bring a recording into the shared store. before is what it goes
// on with, or nil.
func (r *Recorder) mirror(meta archive.Meta, before *resumed) *archive.Mirror {
	if r.remote == nil || meta.Term == 0 {
		return nil
	}
	if before == nil || before.inherited == nil {
		return archive.NewMirror(r.remote, r.archive, r.spool, archive.Term{Meta: meta}, nil, before != nil, r.log)
	}
	from := before.inherited
	m := archive.NewMirror(r.remote, r.archive, r.spool, from.term, from.past, false, r.log)
	for _, gap := range from.gaps {
		m.Segment(gap)
	}
	return m
}

// over ends a recording that nobody goes on with.
func (r *Recorder) over(w *resumed) {
	w.meta.Ended = w.until.Add(-r.cfg.Grace)
	if err := r.archive.PutMeta(w.meta); err != nil {
		r.log.Warn("end recording", "session", w.meta.ID, "err", err)
	}
	r.put(w.meta, sizeOfAll(w.segments))
	r.deliver(w.meta, r.mirror(w.meta, w))
	r.tell(sluice.EventRecordingFinished, w.meta.Recording)
}

// put notes a recording that has ended.
func (r *Recorder) put(meta archive.Meta, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[meta.ID] = &finished{meta: meta, size: size}
}

// deliver brings the rest of a recording that has ended into the shared store, in
// the background; the disk is free of it then.
func (r *Recorder) deliver(meta archive.Meta, m *archive.Mirror) {
	if m == nil {
		return
	}
	m.Meta(meta)
	r.wg.Go(func() {
		if !m.Close(r.ctx) && !isClosed(m.Lost()) {
			return // the next process goes on
		}
		r.drop(meta.ID)
	})
}

// drop takes a recording off the disk that the shared store has.
func (r *Recorder) drop(rec string) {
	r.mu.Lock()
	delete(r.ended, rec)
	r.listed[rec] = true
	r.mu.Unlock()
	if err := r.archive.Remove(rec); err != nil {
		r.log.Warn("remove recording", "session", rec, "err", err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sweep looks through the shared store until Close: it ends recordings that nobody
// goes on with, and takes away what is too old and the oldest of what is too much.
func (r *Recorder) sweep() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.stop:
			return
		}
		if err := r.sweepOnce(r.ctx, time.Now()); err != nil && r.ctx.Err() == nil {
			r.log.Warn("the shared store is not looked through", "err", err)
		}
	}
}

func (r *Recorder) sweepOnce(ctx context.Context, now time.Time) error {
	all, err := r.remote.List(ctx, 0)
	if err == nil {
		r.notice(all)
	}
	errs := []error{err}
	total := int64(0)
	var left []archive.Term
	for _, t := range all {
		switch {
		case t.Ended.IsZero():
			errs = append(errs, r.endAbandoned(ctx, t, now))
		case r.cfg.Keep > 0 && now.Sub(t.Ended) > r.cfg.Keep:
			errs = append(errs, r.removeShared(ctx, t))
		default:
			left = append(left, t)
			total += t.Bytes
		}
	}
	for _, t := range left {
		if r.cfg.Budget == 0 || total <= r.cfg.Budget {
			break
		}
		total -= t.Bytes
		errs = append(errs, r.removeShared(ctx, t))
	}
	return errors.Join(errs...)
}

func (r *Recorder) removeShared(ctx context.Context, t archive.Term) error {
	if err := r.remote.Remove(ctx, t); err != nil {
		return err
	}
	r.log.Info("recording removed from the shared store", "session", t.ID)
	r.gone(t.ID)
	return nil
}

// endAbandoned ends a recording whose node is gone.
func (r *Recorder) endAbandoned(ctx context.Context, t archive.Term, now time.Time) error {
	if now.Sub(t.Started) < r.cfg.Grace || r.mine(t.ID) || r.deps.Claims == nil {
		return nil
	}
	view, err := r.remote.View(ctx, t.ID)
	if err != nil {
		return err
	}
	last := endOf(t.Meta, view.Segments())
	if now.Sub(last) < r.cfg.Grace+sweepInterval {
		return nil
	}
	if held, err := r.deps.Claims.Recorded(ctx, t.Stream); held || err != nil {
		return err
	}
	r.log.Info("recording has ended with its node", "session", t.ID, "stream", t.Stream)
	return r.remote.End(ctx, view, last)
}

// mine reports whether a recording is on this node's disk.
func (r *Recorder) mine(rec string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiting {
		if w.meta.ID == rec {
			return true
		}
	}
	return r.running[rec] != nil || r.ended[rec] != nil
}
