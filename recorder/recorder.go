package recorder

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/recorder/internal/archive"
	"github.com/sluice-live/sluice/recorder/internal/ffmpeg"
)

// Media is where streams come from.
type Media interface {
	// Streams lists what there is now.
	Streams() []sluice.Stream
	// Tap opens a tap of a stream.
	Tap(stream string) (Tap, error)
}

// Tap reads one stream without ever holding it up. One goroutine uses it.
type Tap interface {
	// Read calls f with each packet since the last call, video before audio, and
	// returns the tracks that there are now.
	Read(f func(*sluice.Packet)) []*sluice.Track
	// Grown receives when there may be more to read.
	Grown() <-chan struct{}
	// AskKeyframe asks the publisher for a keyframe of a track; with due, not
	// when it is known to ignore that.
	AskKeyframe(track uint64, due bool)
	State() sluice.StreamState
	// Now is the time on the clock of Packet.Captured.
	Now() time.Time
	Close()
}

// Sink is told of everything as it comes to exist. Calls come in order for each
// rendition, from one goroutine for each recording: Begin; then Describe and
// Init; the parts of a segment, then the Segment, which always comes before the
// parts of the next. An implementation must not block.
//
// Leave says that another node goes on with the recording.
//
// When Segment is called, its bytes are on their way to the disk; until they are
// there, and while the disk fails, Shelf.Segment serves them from memory.
type Sink interface {
	Begin(rec sluice.Recording)                                                     // a recording starts, or goes on after a restart
	Describe(rec string, renditions []sluice.Rendition)                             // renditions have come or changed
	Init(rec, rendition string, version int, data []byte)                           // init section, immutable
	Part(rec, rendition string, growing sluice.Segment, p sluice.Part, data []byte) // exists now; data immutable
	Segment(rec, rendition string, s sluice.Segment)                                // finished
	End(rec string)                                                                 // ended for good
	Leave(rec string)                                                               // goes on elsewhere
}

// Deps are what a Recorder needs of others.
type Deps struct {
	Media Media
	Store blob.Store
	Sink  Sink // nil: nobody listens
	Log   *slog.Logger

	Shared blob.Shared // where other nodes find the recordings; nil: they stay in Store
	Claims Claims      // nil: no other node records

	// Removed is told of recordings that are there no more, whoever has removed them.
	// Any goroutine may call it. It may be nil.
	Removed func(rec string)

	// Tell is told that a recording starts, and that it has ended for good: not when
	// it goes on after a restart or elsewhere. It must not block. nil: nobody is.
	Tell func(sluice.Event)
}

// Recorder records every stream that is published on the node. Its methods may
// be called from any goroutine.
type Recorder struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	archive  *archive.Archive
	remote   *archive.Remote // nil: recordings stay on the disk
	spool    *archive.Spool
	ctx      context.Context // of what goes on in the background; ends with Close
	cancel   context.CancelFunc
	jobs     context.Context // of short work of ffmpeg, which Close does not wait for
	endJobs  context.CancelFunc
	space    func() error
	counters counters
	ffmpeg   bool // it is there
	probing  sync.Once
	encoder  atomic.Pointer[string] // of H.264 in it; "": none works; nil: not tried
	sparing  atomic.Bool            // no pictures are transcoded
	rungs    atomic.Int64           // layers that are transcoded beside the largest of their stream

	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	shows   map[string]*show    // by stream
	running map[string]*record  // by recording
	waiting map[string]*resumed // recordings of before that may go on, by stream
	ended   map[string]*finished
	listed  map[string]bool // what the shared store had when it was last looked through, and what has gone there since
}

// finished is a recording that has ended.
type finished struct {
	meta archive.Meta
	size int64
}

// resumed is a recording that a restart has interrupted.
type resumed struct {
	meta     archive.Meta
	segments map[string][]sluice.Segment
	until    time.Time

	inherited *inherited // of another node; nil: of this one
}

// New reads what is in the store, repairs what a crash has left, and begins to
// record. Close ends it.
func New(cfg Config, deps Deps) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("recorder: %w", err)
	}
	if deps.Sink == nil {
		deps.Sink = nobody{}
	}
	if deps.Tell == nil {
		deps.Tell = func(sluice.Event) {}
	}
	r := &Recorder{
		cfg: cfg, deps: deps, log: deps.Log, archive: &archive.Archive{Store: deps.Store}, stop: make(chan struct{}),
		shows: map[string]*show{}, running: map[string]*record{}, waiting: map[string]*resumed{}, ended: map[string]*finished{},
		listed: map[string]bool{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.jobs, r.endJobs = context.WithCancel(r.ctx)
	r.space = archive.SpaceGuard(deps.Store, func(total int64) int64 { return min(cfg.Reserve, total/20) })
	if deps.Shared != nil {
		r.remote, r.spool = archive.NewRemote(deps.Shared), &archive.Spool{Limit: cfg.Spool}
		disk := r.space
		r.space = func() error { return errors.Join(r.spool.Space(), disk()) }
	}
	if err := r.load(time.Now()); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("recorder: %w", err)
	}
	r.findFFmpeg()
	r.wg.Go(r.run)
	if r.remote != nil {
		r.wg.Go(r.sweep)
	}
	return r, nil
}

// findFFmpeg looks for the program once; its encoders are tried when the first stream needs one.
func (r *Recorder) findFFmpeg() {
	if r.cfg.FFmpeg == "" {
		return
	}
	if _, err := exec.LookPath(r.cfg.FFmpeg); err != nil {
		r.log.Warn("ffmpeg is not there: no AAC sound for Safari, no HLS of VP8 and VP9, no thumbnails; all else is recorded", "program", r.cfg.FFmpeg)
		return
	}
	r.ffmpeg = true
}

// needEncoder has the encoders of H.264 tried, in the background, once.
func (r *Recorder) needEncoder() {
	r.probing.Do(func() {
		r.wg.Go(func() {
			encoder, err := ffmpeg.Probe(r.jobs, r.cfg.FFmpeg)
			if err != nil && r.jobs.Err() == nil {
				r.log.Warn("ffmpeg has no H.264 encoder that works: no HLS of VP8 and VP9", "err", err)
			}
			r.encoder.Store(&encoder)
		})
	})
}

// Encoder is the encoder of H.264 in use; "" while none is.
func (r *Recorder) Encoder() string {
	if e := r.encoder.Load(); e != nil {
		return *e
	}
	return ""
}

// canEncode reports whether pictures can be transcoded, as far as is known.
func (r *Recorder) canEncode() bool {
	e := r.encoder.Load()
	return r.ffmpeg && (e == nil || *e != "")
}

// Close finishes the segments of all recordings, which may go on when the process
// starts again within the grace time.
func (r *Recorder) Close() error {
	close(r.stop)
	r.endJobs()
	patience := time.AfterFunc(closePatience, r.cancel) // for what is on its way to the shared store
	defer patience.Stop()
	r.wg.Wait()
	r.cancel()
	return nil
}

// run looks for streams until Close, and then waits for their shows.
func (r *Recorder) run() {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	clean := time.NewTicker(cleanInterval)
	defer clean.Stop()
	var shows sync.WaitGroup
	defer shows.Wait()
	for {
		select {
		case <-look.C:
			r.look(&shows)
			r.expire(time.Now())
		case <-clean.C:
			r.clean(time.Now())
		case <-r.stop:
			return
		}
	}
}

// look starts a show for each stream that has become live.
func (r *Recorder) look(shows *sync.WaitGroup) {
	for _, st := range r.deps.Media.Streams() {
		select {
		case <-r.stop:
			return // a show that ends now is not to begin again
		default:
		}
		if st.State != sluice.StreamLive || st.Publisher == nil || st.Relayed {
			continue // the publisher's own node records
		}
		r.mu.Lock()
		have := r.shows[st.Name] != nil
		r.mu.Unlock()
		if have {
			continue
		}
		tap, err := r.deps.Media.Tap(st.Name)
		if err != nil {
			continue // it has just ended
		}
		s := newShow(r, st.Name, tap)
		r.mu.Lock()
		r.shows[st.Name] = s
		r.mu.Unlock()
		shows.Go(s.run)
	}
}

// leave forgets a show that has ended.
func (r *Recorder) leave(s *show) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.shows, s.stream)
}

// resume returns the recording of before that a stream goes on with, if any.
func (r *Recorder) resume(stream string) *resumed {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[stream]
	delete(r.waiting, stream)
	return w
}

// expire ends recordings whose publisher did not come back.
func (r *Recorder) expire(now time.Time) {
	r.mu.Lock()
	var over []*resumed
	for stream, w := range r.waiting {
		if now.After(w.until) && r.shows[stream] == nil {
			over = append(over, w)
			delete(r.waiting, stream)
		}
	}
	r.mu.Unlock()
	for _, w := range over {
		r.over(w)
	}
}

// clean takes away what is too old, and the oldest of what is too much.
func (r *Recorder) clean(now time.Time) {
	r.mu.Lock()
	var gone []string
	total := int64(0)
	var ids []string
	for id, f := range r.ended {
		if r.cfg.Keep > 0 && now.Sub(f.meta.Ended) > r.cfg.Keep {
			gone = append(gone, id)
			continue
		}
		ids = append(ids, id)
		total += f.size
	}
	records := make([]*record, 0, len(r.running))
	for _, rec := range r.running {
		records = append(records, rec)
		total += rec.bytes()
	}
	slices.SortFunc(ids, strings.Compare)
	over := int64(0)
	if r.cfg.Budget > 0 && r.remote == nil {
		over = total - r.cfg.Budget
	}
	for _, id := range ids {
		if over <= 0 {
			break
		}
		over -= r.ended[id].size
		gone = append(gone, id)
	}
	for _, id := range gone {
		delete(r.ended, id)
	}
	r.mu.Unlock()
	for _, id := range gone {
		if err := r.archive.Remove(id); err != nil {
			r.log.Warn("remove recording", "session", id, "err", err)
		} else {
			r.log.Info("recording removed", "session", id)
			r.gone(id)
		}
	}
	for _, rec := range records {
		over -= rec.trim(now, r.cfg, max(0, over))
	}
}

// newID names a recording: sortable by start, and never given twice.
func newID(start time.Time) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return strings.Replace(start.UTC().Format("20060102-150405.000"), ".", "-", 1) + "-" + hex.EncodeToString(random[:])
}

// tell tells of a recording.
func (r *Recorder) tell(kind sluice.EventKind, rec sluice.Recording) {
	r.deps.Tell(sluice.Event{Kind: kind, Stream: rec.Stream, At: time.Now(), Recording: &rec})
}

// nobody is a Sink that does nothing.
type nobody struct{}

func (nobody) Begin(sluice.Recording)                                   {}
func (nobody) Describe(string, []sluice.Rendition)                      {}
func (nobody) Init(string, string, int, []byte)                         {}
func (nobody) Part(string, string, sluice.Segment, sluice.Part, []byte) {}
func (nobody) Segment(string, string, sluice.Segment)                   {}
func (nobody) End(string)                                               {}
func (nobody) Leave(string)                                             {}
