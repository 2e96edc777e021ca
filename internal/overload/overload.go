package overload

import (
	"errors"
	"time"

	"github.com/sluice-live/sluice"
)

// Facts are all that a decision depends on besides the state. Shares are of what
// there is, and may exceed 1; 0 where there is no limit.
type Facts struct {
	Now      time.Duration // on any clock that does not go back
	CPU      float64       // share of the processor time that the node may use
	Egress   float64       // share of the node's cap on what it sends
	Platform float64       // the same of all nodes together
}

// Used is the share of the scarcest.
func (f Facts) Used() float64 { return max(f.CPU, f.Egress, f.Platform) }

// Config is where steps begin and end. The zero value stands for Default.
type Config struct {
	High  float64       // from this share on a step is added,
	Low   float64       // and below this one taken back
	Raise time.Duration // how long it must last, and a step at least, before the next one
	Lower time.Duration // the same for taking one back
}

// Default is the configuration that the zero value stands for.
func Default() Config {
	return Config{High: .95, Low: .8, Raise: 3 * time.Second, Lower: 10 * time.Second}
}

// Validate returns what is wrong with c.
func (c Config) Validate() error {
	if c != (Config{}) && !(0 < c.Low && c.Low < c.High && c.Raise > 0 && c.Lower > 0) {
		return errors.New("overload: not 0 < low < high, or a time is not positive")
	}
	return nil
}

// State is what earlier decisions leave behind. The zero value is that of a node
// that has nothing to do.
type State struct {
	step  sluice.Step
	side  int           // 1: above High; -1: below Low; 0: between
	since time.Duration // of the side or the step, whichever is younger
	begun bool
}

// Step is the last decision.
func (s *State) Step() sluice.Step { return s.step }

// Decide returns the step for the facts. It differs from the one before by one at
// most.
func (s *State) Decide(f Facts, c Config) sluice.Step {
	if c == (Config{}) {
		c = Default()
	}
	side, wait := 0, time.Duration(0)
	switch used := f.Used(); {
	case used >= c.High:
		side, wait = 1, c.Raise
	case used < c.Low:
		side, wait = -1, c.Lower
	}
	if side != s.side || !s.begun {
		s.side, s.since, s.begun = side, f.Now, true
	}
	if side == 0 || f.Now-s.since < wait {
		return s.step
	}
	next := s.step + sluice.Step(side)
	if next < sluice.StepNone || next > sluice.StepRefuse {
		return s.step
	}
	s.step, s.since = next, f.Now
	return next
}
