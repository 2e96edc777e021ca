package estimate

import (
	"math"
	"time"
)

// Config bounds the estimate, in bits per second. The zero value means 50k, 50M
// and 1M, and a viewer that no padding can be sent to.
type Config struct {
	Min, Max, Start int
	Pads            bool // what ProbeBudget asks for is sent
}

func (c Config) withDefaults() Config {
	if c.Min <= 0 {
		c.Min = 50_000
	}
	if c.Max <= 0 {
		c.Max = 50_000_000
	}
	c.Max = max(c.Max, c.Min)
	if c.Start <= 0 {
		c.Start = 1_000_000
	}
	c.Start = min(max(c.Start, c.Min), c.Max)
	return c
}

// State is what the estimator knows.
type State struct {
	Bitrate  int           // target, bits per second
	Received int           // acknowledged throughput of the last 500 ms, bits per second
	Queue    time.Duration // standing queue on the path above its base delay
	Overuse  bool          // more is sent right now than the path carries
	Loss     float64       // fraction lost in about the last second, 0 to 1
	Tight    bool          // it was so in the last half minute
	Rising   bool          // a receiver's own estimate has risen in the last five seconds
	Source   string        // "transport-cc", "remb", "loss" or "none"
}

// Where the target comes from.
const (
	sourceNone      = "none"
	sourceTransport = "transport-cc"
	sourceREMB      = "remb"
	sourceLoss      = "loss"
)

const (
	millisecond = int64(1000) // in microseconds
	second      = 1000 * millisecond

	// maxSize is the largest packet that is counted in full.
	maxSize = 1<<16 - 1
	// fresh is how long transport-wide feedback outranks other reports.
	fresh = 5 * second
	// rembFresh is how long a REMB outranks receiver reports.
	rembFresh = 10 * second
	// silence is how long packets may go unreported before the target falls.
	silence = 2500 * millisecond
	// tightFor is how long a path counts as tight after it was full.
	tightFor = 30 * second
	// silenceStep is the time between two cuts while reports stay out.
	silenceStep = 500 * millisecond
)

// Estimator is the estimate for one viewer. Use New. It must not be copied, nor
// used by two goroutines at once.
type Estimator struct {
	config  Config
	history *history // made when the first packet is sent

	target   float64
	source   string
	feedback feedbackClock
	acked    throughput
	losses   lossWindow
	floor    delayFloor
	trend    trendline
	ramp     ramp
	control  control
	probe    probe
	reports  reports
	pulse    pulse

	sent    int64 // when the newest packet was
	heard   int64 // when feedback last acknowledged something
	unheard int64 // when the first packet since then was sent; 0: none was
	newest  int64 // when the packet acknowledged last was sent
	muted   int64 // when silence last cut the target
}

// New makes an estimator that starts at config.Start.
func New(config Config) *Estimator {
	config = config.withDefaults()
	e := &Estimator{config: config, target: float64(config.Start), source: sourceNone}
	e.trend.init()
	return e
}

// Sent notes a packet that carries transport-wide sequence number seq, of size
// bytes as the path sees it, sent at now (monotonic nanoseconds). probe tells
// padding that was sent because ProbeBudget asked for it.
func (e *Estimator) Sent(seq uint16, size int, now int64, probe bool) {
	if e.history == nil {
		e.history = new(history)
	}
	size = min(max(size, 0), maxSize)
	at := now / 1000
	if e.source == sourceTransport && e.rests(at) {
		e.wake()
	}
	e.sent = at
	if e.unheard == 0 {
		e.unheard = at
	} else if at-e.unheard > silence {
		e.onSilence(at)
	}
	var cluster uint8
	if e.probe.stage == probeSending {
		cluster = e.probe.onSent(size, at, probe)
	}
	e.history.put(seq, size, at, cluster)
}

// wake forgets what the path was like before nothing was sent.
func (e *Estimator) wake() {
	e.acked, e.losses, e.ramp = throughput{}, lossWindow{}, ramp{}
	e.trend.init()
	e.floor.rest()
	e.control.overuse, e.control.hold, e.control.suspected, e.unheard = false, false, 0, 0
}

// onSilence lowers the target while nothing at all is heard of what is sent
// (the idea of RFC 8083 section 4.1, in steps rather than by a stop).
func (e *Estimator) onSilence(now int64) {
	if e.source != sourceTransport || now-e.muted < silenceStep {
		return
	}
	e.muted = now
	e.setTarget(e.target * 0.8)
}

// State returns the present estimate.
func (e *Estimator) State() State {
	s := State{
		Bitrate: int(e.target),
		Source:  e.source,
		Loss:    e.losses.fraction(),
		Queue:   time.Duration(e.floor.queue()) * time.Microsecond,
		Overuse: e.control.overuse,
		Tight:   e.control.decreased != 0 && e.control.updated-e.control.decreased < tightFor,
	}
	if e.source == sourceREMB || e.source == sourceLoss {
		s.Loss = e.reports.loss
		s.Queue = time.Duration(e.reports.queue) * time.Microsecond
		s.Rising = e.reports.roseAt != 0 && e.reports.rembAt-e.reports.roseAt < behindFor
		s.Tight = e.reports.cutAt != 0 && e.reports.updated-e.reports.cutAt < tightFor
		return s
	}
	if s.Overuse && e.ramp.steep(e.floor.noise()) {
		s.Queue = max(s.Queue, time.Duration(e.ramp.queue())*time.Microsecond)
	}
	s.Received = int(e.acked.long())
	return s
}

// setTarget moves the target, within the bounds.
func (e *Estimator) setTarget(bitrate float64) {
	if math.IsNaN(bitrate) {
		return
	}
	e.target = min(max(bitrate, float64(e.config.Min)), float64(e.config.Max))
}
