package archive

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

const (
	// viewAge is how old a view of a running recording may be.
	viewAge = time.Second
	// maxViews and maxViewed bound the views that are kept, and the segments in them.
	maxViews, maxViewed = 4096, 2_000_000
	// guesses is how many recordings that do not exist may be looked for in a second.
	guesses = 50
)

// ErrLaterTerm is the error of a node that may write a recording no longer.
var ErrLaterTerm = errors.New("another node has taken the recording over")

// Remote is all recordings of a store that nodes share. Any goroutine may use it.
type Remote struct {
	Store blob.Shared

	mu      sync.Mutex
	views   map[string]*viewing
	streams map[string]lately
	viewed  int // segments in views
	missed  int // recordings that did not exist, in this second
	second  int64
	listing listing
}

// NewRemote reads a store.
func NewRemote(s blob.Shared) *Remote {
	return &Remote{Store: bounded{s}, views: map[string]*viewing{}, streams: map[string]lately{}}
}

// patience is how long the store may take for one request, and slowest the bytes
// of a second that it may take for more.
const (
	patience = 15 * time.Second
	slowest  = 256 << 10
)

// bounded gives every request a time that it may take.
type bounded struct{ blob.Shared }

func (b bounded) Put(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Duration(len(data)/slowest)*time.Second)
	defer cancel()
	return b.Shared.Put(ctx, name, data)
}

func (b bounded) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	return b.Shared.Get(ctx, name, limit)
}

func (b bounded) List(ctx context.Context, folder string) ([]blob.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	return b.Shared.List(ctx, folder)
}

func (b bounded) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return b.Shared.Delete(ctx, name)
}

// viewing is the newest view of one recording; mu is held while it is read.
type viewing struct {
	mu   sync.Mutex
	view *View // nil: not read yet
	read time.Time
	size int // guarded by Remote.mu
	used time.Time
}

// View reads what there is of a recording. For a running one the answer may be a
// second old.
func (r *Remote) View(ctx context.Context, rec string) (*View, error) {
	return r.look(ctx, rec, viewAge)
}

// look is View with another age; 0 reads what is there now.
func (r *Remote) look(ctx context.Context, rec string, age time.Duration) (*View, error) {
	if err := checkID(rec); err != nil {
		return nil, err
	}
	v, err := r.viewing(rec)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.view != nil && (time.Since(v.read) < age || age > 0 && !v.view.Term.Ended.IsZero()) {
		return v.view, nil
	}
	began := time.Now()
	view, err := r.read(ctx, rec, v.view)
	if err != nil {
		r.forget(rec, v, err)
		return nil, err
	}
	if v.view == nil {
		r.mu.Lock()
		r.missed-- // it was no guess
		r.mu.Unlock()
	}
	v.view, v.read = view, began
	r.weigh(rec, v)
	return view, nil
}

// viewing finds or makes the place of a recording.
func (r *Remote) viewing(rec string) (*viewing, error) {
	r.mu.Lock()
	known := r.views[rec] != nil
	r.mu.Unlock()
	if !known {
		if err := r.guess(); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.views[rec]
	if v == nil {
		v = &viewing{}
		r.views[rec] = v
	}
	v.used = time.Now()
	return v, nil
}

// forget drops a place that holds nothing.
func (r *Remote) forget(rec string, v *viewing, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if sluice.CodeOf(err) == sluice.CodeNotFound {
		r.viewed -= v.size
		v.view, v.size = nil, 0
	}
	if v.view == nil && r.views[rec] == v {
		delete(r.views, rec)
	}
}

// weigh counts a view, and drops those that were not asked for lately when there
// are too many.
func (r *Remote) weigh(rec string, v *viewing) {
	size := 1
	for _, list := range v.view.segments {
		size += len(list)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.views[rec] != v {
		return // forgotten meanwhile
	}
	r.viewed += size - v.size
	v.size = size
	for len(r.views) > 1 && (len(r.views) > maxViews || r.viewed > maxViewed) {
		oldest := ""
		for id, other := range r.views {
			if id != rec && (oldest == "" || other.used.Before(r.views[oldest].used)) {
				oldest = id
			}
		}
		r.viewed -= r.views[oldest].size
		delete(r.views, oldest)
	}
}

// read reads a recording; before is what was read last, or nil.
func (r *Remote) read(ctx context.Context, rec string, before *View) (*View, error) {
	newest, err := r.newestTerm(ctx, rec)
	if err != nil {
		return nil, err
	}
	if newest == 0 {
		return nil, NotFound("recording")
	}
	b, err := r.Store.Get(ctx, termName(rec, newest), maxTerm)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, NotFound("recording")
	}
	if err != nil {
		return nil, err
	}
	t, err := parseTerm(b, rec)
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w", rec, err)
	}
	view := &View{Term: t, segments: map[string][]kept{}}
	if before != nil && before.Term.Term == t.Term && before.Term.Log == t.Log {
		view.lines, view.segments = before.lines, maps.Clone(before.segments)
	} else {
		for _, w := range t.Before {
			n, err := r.readLog(ctx, view, w, 0)
			if err == nil && n < w.Lines {
				err = fmt.Errorf("recording %s: of term %d there are %d lines instead of %d", rec, w.Term, n, w.Lines)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	view.lines, err = r.readLog(ctx, view, Written{t.Term, t.Log, math.MaxInt}, view.lines)
	return view, err
}

// readLog reads what counts of a log behind the first so many lines, and returns how
// many there are in all.
func (r *Remote) readLog(ctx context.Context, view *View, w Written, from int) (int, error) {
	lines := from
	for chunk := from / chunkLines; lines < w.Lines; chunk++ {
		b, err := r.Store.Get(ctx, chunkName(view.Term.ID, w.Term, w.Log, chunk), maxChunk)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return lines, err
		}
		first := chunk * chunkLines
		n := view.add(b, w.Term, lines-first, min(w.Lines-first, chunkLines))
		lines = max(lines, first+n)
		if n < chunkLines {
			break
		}
	}
	return lines, nil
}

// newestTerm returns the number of the newest term, 0 when there is none.
func (r *Remote) newestTerm(ctx context.Context, rec string) (newest uint64, err error) {
	entries, err := r.Store.List(ctx, termFolder(rec))
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name, 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	return newest, err
}

// check reports ErrLaterTerm when a recording has a later term than one.
func (r *Remote) check(ctx context.Context, rec string, term uint64) error {
	newest, err := r.newestTerm(ctx, rec)
	if err == nil && newest > term {
		err = ErrLaterTerm
	}
	return err
}

// putTerm makes a term known.
func (r *Remote) putTerm(ctx context.Context, t Term) error {
	line, err := formatLine(t)
	if err != nil {
		return err
	}
	if err := r.Store.Put(ctx, streamFolder(t.Stream)+"/"+t.ID, nil); err != nil {
		return err
	}
	return r.Store.Put(ctx, termName(t.ID, t.Term), line)
}

// Succeed begins a term of a recording that another node has written until now: what
// it had of it counts, and nothing that it writes from now on.
func (r *Remote) Succeed(ctx context.Context, rec string, term uint64) (Term, *View, error) {
	view, err := r.look(ctx, rec, 0)
	if err != nil {
		return Term{}, nil, err
	}
	before := view.Term
	if term <= before.Term {
		return Term{}, nil, ErrLaterTerm
	}
	t := Term{Meta: before.Meta, Before: append(slices.Clone(before.Before), Written{before.Term, before.Log, view.lines})}
	t.Term, t.Log, t.Closed = term, 0, false
	return t, view, r.putTerm(ctx, t)
}

// End ends a recording in the name of a node that is gone.
func (r *Remote) End(ctx context.Context, view *View, at time.Time) error {
	t := view.Term
	t.Meta.Ended = at.UTC()
	for _, list := range view.segments {
		for _, k := range list {
			t.Bytes += k.Size
		}
	}
	return r.putTerm(ctx, t)
}

// Segment reads a segment and checks that it is what was written.
func (r *Remote) Segment(ctx context.Context, rec, rendition string, seq uint64) ([]byte, error) {
	view, err := r.View(ctx, rec)
	if err != nil {
		return nil, err
	}
	k, ok := view.find(rendition, seq)
	if !ok || k.Gap {
		return nil, NotFound("segment")
	}
	data, err := r.get(ctx, sharedSegment(rec, rendition, seq, k.term), maxSegment, "segment")
	if err == nil && (int64(len(data)) != k.Size || crc32.Checksum(data, castagnoli()) != k.crc) {
		err = fmt.Errorf("segment %d of %s in recording %s is damaged", seq, rendition, rec)
	}
	return data, err
}

// Init reads an init section.
func (r *Remote) Init(ctx context.Context, rec, rendition string, version int) ([]byte, error) {
	view, err := r.View(ctx, rec)
	if err != nil {
		return nil, err
	}
	term, ok := view.termOfInit(rendition, version)
	if !ok {
		return nil, NotFound("init section")
	}
	return r.get(ctx, sharedInit(rec, rendition, version, term), maxInit, "init section")
}

// Thumbnail reads a picture.
func (r *Remote) Thumbnail(ctx context.Context, rec string, n uint64) ([]byte, error) {
	if _, err := r.View(ctx, rec); err != nil {
		return nil, err
	}
	return r.get(ctx, sharedThumbnail(rec, n), maxThumb, "thumbnail")
}

func (r *Remote) get(ctx context.Context, name string, limit int64, what string) ([]byte, error) {
	data, err := r.Store.Get(ctx, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, NotFound(what)
	}
	return data, err
}
