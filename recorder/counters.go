package recorder

import (
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/recorder/internal/archive"
)

// counters are totals of all recordings.
type counters struct {
	recordings, segments, failed, dropped atomic.Int64
	restarts                              atomic.Int64
}

// Counters is a snapshot of a Recorder's totals.
type Counters struct {
	Recordings       int64                 // running now
	SegmentsWritten  int64                 // durable
	SegmentsFailed   int64                 // not kept, because of the disk
	UnitsDropped     int64                 // pictures lost on the way or useless after a loss
	TranscoderStarts int64                 // again, after it died
	Mirrored         archive.SpoolCounters // of the shared store
	Lag              time.Duration         // of the recording that is furthest behind: age of its newest part
}

// Counters returns the totals.
func (r *Recorder) Counters() Counters {
	c := Counters{
		Recordings: r.counters.recordings.Load(), SegmentsWritten: r.counters.segments.Load(),
		SegmentsFailed: r.counters.failed.Load(), UnitsDropped: r.counters.dropped.Load(),
		TranscoderStarts: r.counters.restarts.Load(),
	}
	if r.spool != nil {
		c.Mirrored = r.spool.Counters()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shows {
		c.Lag = max(c.Lag, time.Duration(s.lag.Load()))
	}
	return c
}
