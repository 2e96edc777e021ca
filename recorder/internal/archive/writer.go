package archive

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

// Limits of a writer.
type Limits struct {
	Queue int64         // bytes that may wait for the disk
	Space func() error  // why nothing more may be written, or nil
	Done  func(Outcome) // told of each segment, by the writer's goroutine
	Shown func(uint64)  // told of each thumbnail that is on the disk; nil: nobody is
}

// Outcome is what became of a segment.
type Outcome struct {
	Rendition string
	Segment   sluice.Segment // Gap is set when it was not kept
	CRC       uint32         // of its bytes (Castagnoli)
	Err       error          // why not
}

// Writer writes one recording. Its methods never wait for the store: what the
// store does not take in time is not kept, segment by segment.
type Writer struct {
	archive *Archive
	rec     string
	limits  Limits
	log     *slog.Logger

	jobs   chan job
	queued atomic.Int64
	failed map[string]uint64 // segments that are not kept, by rendition; 1 + number
	done   sync.WaitGroup
	files  map[string]*open
}

// job is one thing to write, in order.
type job struct {
	rendition string
	seq       uint64
	data      []byte
	segment   *sluice.Segment // the segment is finished
	gaps      []sluice.Segment
	init      int // > 0: data is this init section
	meta      *Meta
	thumbnail bool   // data is thumbnail seq
	removed   uint64 // > 0: segments from seq to before this one are taken away
	lost      bool   // of a finished segment, parts were not taken
}

// open is what is being written of a rendition.
type open struct {
	index   blob.Log
	pending [][]byte // lines that the store has not taken yet
	file    blob.File
	seq     uint64
	crc     uint32
	err     error // why the segment is not kept
	begun   bool
	inits   map[int][]byte // sections that the store has not taken yet
	marked  bool           // the file of used numbers is there
	until   time.Time      // end of the newest finished segment
	gone    int            // lines of the index about segments that have been removed
}

// queueLength bounds the jobs that wait.
const queueLength = 4096

// NewWriter starts the writer of a recording. Recover has been called if it was
// there before.
func (a *Archive) NewWriter(rec string, l Limits, log *slog.Logger) *Writer {
	w := &Writer{
		archive: a, rec: rec, limits: l, log: log, jobs: make(chan job, queueLength),
		failed: map[string]uint64{}, files: map[string]*open{},
	}
	w.done.Go(w.run)
	return w
}

// Close writes what is waiting and ends the goroutine.
func (w *Writer) Close() {
	close(w.jobs)
	w.done.Wait()
}

// Part adds bytes to a segment.
func (w *Writer) Part(rendition string, seq uint64, data []byte) {
	if w.failed[rendition] == seq+1 {
		return
	}
	if w.queued.Load()+int64(len(data)) > w.limits.Queue || !w.put(job{rendition: rendition, seq: seq, data: data}) {
		w.failed[rendition] = seq + 1
	}
}

// Segment finishes a segment. It reports false when not even that could be
// queued.
func (w *Writer) Segment(rendition string, s sluice.Segment) bool {
	return w.put(job{rendition: rendition, seq: s.Sequence, segment: &s, lost: w.failed[rendition] == s.Sequence+1})
}

// Init writes an init section before the segments that follow.
func (w *Writer) Init(rendition string, version int, data []byte) bool {
	return w.put(job{rendition: rendition, init: version, data: data})
}

// Meta writes what the recording is.
func (w *Writer) Meta(m Meta) bool {
	m.Renditions = slices.Clone(m.Renditions)
	return w.put(job{meta: &m})
}

// Thumbnail writes a picture.
func (w *Writer) Thumbnail(n uint64, data []byte) bool {
	return w.put(job{thumbnail: true, seq: n, data: data})
}

// Remove takes the segments from a number to before another away.
func (w *Writer) Remove(rendition string, from, before uint64) bool {
	return w.put(job{rendition: rendition, seq: from, removed: before})
}

func (w *Writer) put(j job) bool {
	w.queued.Add(int64(len(j.data)))
	select {
	case w.jobs <- j:
		return true
	default:
		w.queued.Add(-int64(len(j.data)))
		return false
	}
}

func (w *Writer) run() {
	for j := range w.jobs {
		w.do(j)
		w.queued.Add(-int64(len(j.data)))
	}
	for id, o := range w.files {
		if o.file != nil {
			// Left for Recover, which makes a segment of it.
			if c, ok := o.file.(io.Closer); ok {
				_ = c.Close()
			}
		}
		if o.index != nil {
			if err := o.index.Close(); err != nil {
				w.log.Warn("close index", "rendition", id, "err", err)
			}
		}
	}
}

func (w *Writer) do(j job) {
	var err error
	switch {
	case j.meta != nil:
		err = w.archive.PutMeta(*j.meta)
	case j.thumbnail:
		if err = w.limits.Space(); err == nil {
			err = w.archive.Store.WriteFile(thumbnailName(w.rec, j.seq), j.data)
		}
		if err == nil && w.limits.Shown != nil {
			w.limits.Shown(j.seq)
		}
	case j.init > 0:
		w.open(j.rendition).inits[j.init] = j.data
		err = w.putInits(j.rendition)
	case j.removed > 0:
		err = w.remove(j.rendition, j.seq, j.removed)
	case j.segment != nil:
		w.finish(j)
	case len(j.gaps) > 0:
		w.finishGaps(j)
	default:
		w.write(j)
	}
	if err != nil {
		w.log.Warn("write recording", "session", w.rec, "err", err)
	}
}

func (w *Writer) open(rendition string) *open {
	o := w.files[rendition]
	if o == nil {
		o = &open{inits: map[int][]byte{}}
		w.files[rendition] = o
	}
	return o
}

// putInits writes the init sections that are waiting.
func (w *Writer) putInits(rendition string) error {
	o := w.open(rendition)
	for version, data := range o.inits {
		if err := w.archive.Store.WriteFile(initName(w.rec, rendition, version), data); err != nil {
			return err
		}
		delete(o.inits, version)
	}
	return nil
}

// write appends a part.
func (w *Writer) write(j job) {
	o := w.open(j.rendition)
	if !o.begun || o.seq != j.seq {
		w.abort(o)
		o.begun, o.seq, o.crc = true, j.seq, 0
		if o.err = w.limits.Space(); o.err == nil {
			o.err = w.putInits(j.rendition)
		}
		if o.err == nil {
			o.err = w.makeMark(j.rendition, o)
		}
		if o.err == nil {
			o.file, o.err = w.archive.Store.Create(segmentName(w.rec, j.rendition, j.seq))
		}
		if o.err != nil {
			w.use(j.rendition, o, j.seq)
		}
	}
	if o.err != nil || len(j.data) == 0 {
		return
	}
	if _, o.err = o.file.Write(j.data); o.err != nil {
		w.abort(o)
		w.use(j.rendition, o, j.seq)
		return
	}
	o.crc = crc32.Update(o.crc, castagnoli(), j.data)
}

func (w *Writer) abort(o *open) {
	if o.file != nil {
		_ = o.file.Abort() // a segment that could not be written
		o.file = nil
	}
}

var errQueue = errors.New("the disk is too slow")

// finish makes a segment durable and then puts it into the index; one that
// failed stands there as a gap, so that its number is never used again.
func (w *Writer) finish(j job) {
	o := w.open(j.rendition)
	s := *j.segment
	switch {
	case j.lost:
		o.err = errQueue
	case s.Gap:
	case !o.begun || o.seq != j.seq:
		o.err = errQueue
	}
	if s.Gap || o.err != nil {
		w.abort(o)
	} else if o.file != nil {
		o.err = o.file.Commit()
		o.file = nil
	}
	if o.err != nil {
		s = sluice.Segment{
			Sequence: s.Sequence, Init: s.Init, Start: s.Start, Duration: s.Duration, Discontinuity: s.Discontinuity, Breaks: s.Breaks, Gap: true,
		}
	}
	o.until = s.Start.Add(s.Duration)
	err := w.appendLine(j.rendition, o, entry{Segment: &s, CRC: o.crc})
	if err != nil {
		w.use(j.rendition, o, s.Sequence)
	}
	w.limits.Done(Outcome{j.rendition, s, o.crc, errors.Join(o.err, err)})
	o.begun, o.err = false, nil
}

// maxPending bounds the index lines that wait for space.
const maxPending = 1 << 16

// appendLine makes a line durable, and those before it that could not be.
func (w *Writer) appendLine(rendition string, o *open, e entry) error {
	line, err := formatLine(e)
	if err != nil {
		return err
	}
	if len(o.pending) < maxPending {
		o.pending = append(o.pending, line)
	}
	name := path.Join(w.rec, rendition, "index")
	if o.index == nil {
		lines, good, err := w.archive.lines(w.rec, rendition)
		if err == nil {
			o.gone = lines
			o.index, err = w.archive.Store.Append(name, good)
		}
		if err != nil {
			return fmt.Errorf("open index: %w", err)
		}
	}
	for len(o.pending) > 0 {
		if _, err = o.index.Write(o.pending[0]); err != nil {
			break
		}
		o.pending = o.pending[1:]
	}
	if err == nil {
		err = o.index.Sync()
	}
	if err != nil { // the end may be torn: it is opened anew behind what is good
		err = errors.Join(fmt.Errorf("append to index: %w", err), o.index.Close())
		o.index = nil
	}
	return err
}

func appendEntry(log blob.Log, e entry) error {
	line, err := formatLine(e)
	if err != nil {
		return err
	}
	_, err = log.Write(line)
	return err
}

// remove notes in the index that segments go, and takes their files away.
func (w *Writer) remove(rendition string, from, before uint64) error {
	if err := w.appendLine(rendition, w.open(rendition), entry{Removed: before}); err != nil {
		return err
	}
	var errs []error
	w.open(rendition).gone += int(before - from)
	for ; from < before; from++ {
		errs = append(errs, w.archive.Store.Remove(segmentName(w.rec, rendition, from)))
	}
	return errors.Join(append(errs, w.compact(rendition))...)
}

// longIndex is how many lines about segments that are gone an index has at least
// before it is written anew.
const longIndex = 4096

// compact writes an index anew that is mostly about segments that are gone.
func (w *Writer) compact(rendition string) error {
	o := w.open(rendition)
	if o.gone < longIndex || len(o.pending) > 0 || o.index == nil {
		return nil
	}
	entries, err := w.archive.entries(w.rec, rendition)
	if err != nil || o.gone < 2*len(entries) {
		return err
	}
	var lines []byte
	for _, e := range entries {
		line, err := formatLine(e)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	err = o.index.Close()
	o.index, o.gone = nil, 0
	return errors.Join(err, w.archive.Store.WriteFile(path.Join(w.rec, rendition, "index"), lines))
}

// SpaceGuard returns a Limits.Space that keeps reserve bytes of a store free. It
// looks at most once a second.
func SpaceGuard(s blob.Store, reserve func(total int64) int64) func() error {
	var mu sync.Mutex
	var looked time.Time
	var last error
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(looked) < time.Second {
			return last
		}
		looked = time.Now()
		free, total, err := s.Space()
		switch {
		case err != nil:
			last = err
		case free < reserve(total):
			last = fmt.Errorf("only %d MiB are free on the disk, of which %d are reserved", free>>20, reserve(total)>>20)
		default:
			last = nil
		}
		return last
	}
}
