package recorder

import (
	"errors"
	"fmt"
	"time"
)

// Config sets a Recorder up. There are no defaults here but where said.
type Config struct {
	Part    time.Duration // nominal length of a part; 200 ms to 1 s
	Segment time.Duration // nominal length of a segment; 1 to 10 s
	Window  time.Duration // of a running recording that is kept
	Keep    time.Duration // how long an ended recording is kept; 0: for ever
	Budget  int64         // bytes of all recordings; 0: no limit
	Reserve int64         // bytes that are left free on the disk, but not more than a twentieth of it
	Grace   time.Duration // how long a recording waits for its publisher, through a restart of the process too
	FFmpeg  string        // program that transcodes; "": none
	Spool   int64         // bytes that may wait on the disk for the shared store
	Memory  int64         // bytes that one transcoder may hold; 0: no limit
	Rungs   int           // layers of all streams that are transcoded beside the largest of each
}

// Validate reports what is out of range.
func (c Config) Validate() error {
	var errs []error
	within := func(name string, d, least, most time.Duration) {
		if d < least || d > most {
			errs = append(errs, fmt.Errorf("%s: %v is not within %v and %v", name, d, least, most))
		}
	}
	within("part", c.Part, 100*time.Millisecond, 2*time.Second)
	within("segment", c.Segment, time.Second, 10*time.Second)
	if c.Part > c.Segment {
		errs = append(errs, errors.New("part is longer than segment"))
	}
	within("window", c.Window, 10*c.Segment, 365*24*time.Hour)
	if c.Rungs < 0 || c.Keep < 0 || c.Budget < 0 || c.Reserve < 0 || c.Memory < 0 || c.Grace < 0 {
		errs = append(errs, errors.New("keep, budget, reserve, memory, grace and rungs must not be negative"))
	}
	return errors.Join(errs...)
}

const (
	// pollInterval is how often a show reads a tap that does not grow.
	pollInterval = 100 * time.Millisecond
	// lookInterval is how often the Recorder looks for streams to record.
	lookInterval = 200 * time.Millisecond
	// cleanInterval is how often it takes away what is too old or too much.
	cleanInterval = 10 * time.Second
	// longestSegment is when a segment is cut without a keyframe.
	longestSegment = 10 * time.Second
	// videoPatience and soundPatience are how late media may come before its time
	// is filled with a gap or silence.
	videoPatience = 1500 * time.Millisecond
	soundPatience = 500 * time.Millisecond
	// vacantPatience is how far renditions that nobody feeds stay behind the others.
	vacantPatience = 250 * time.Millisecond
	// coderPatience is how late a transcoder may be before a gap stands for what it
	// has not given, and it begins anew.
	coderPatience = 3 * time.Second
	// drainTime is how long a transcoder may take to end.
	drainTime = 500 * time.Millisecond
	// queueBytes is how much of one recording may wait for the disk.
	queueBytes = 32 << 20
	// recentSegments of each rendition stay in memory, for when the disk fails.
	recentSegments = 6
	// lead is how far before the first sample a recording's timeline begins.
	lead = 10 * time.Second
	// clockAhead and clockBehind are how far capture times may be from now before
	// they are not believed.
	clockAhead, clockBehind = time.Second, lead
	// lateRemoval is how long the files of segments outlive the window, for
	// players that still have them in their playlist; never longer than the window.
	lateRemoval = 10 * time.Minute
)
