package overload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

func TestScripts(t *testing.T) {
	text, err := os.ReadFile("testdata/steps.txt")
	if err != nil {
		t.Fatal(err)
	}
	var s *State
	name := ""
	for i, line := range strings.Split(string(text), "\n") {
		if title, ok := strings.CutPrefix(line, "script: "); ok {
			s, name = &State{}, title
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		var at float64
		var f Facts
		var want string
		if _, err := fmt.Sscanf(line, "%g %g %g %g -> %s", &at, &f.CPU, &f.Egress, &f.Platform, &want); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		f.Now = time.Duration(at * float64(time.Second))
		if got := s.Decide(f, Config{}); got.String() != want || s.Step() != got {
			t.Errorf("%s, line %d: step %s, want %s", name, i+1, got, want)
		}
	}
}

// Whatever the facts are, steps follow each other one by one and not too fast.
func TestNoJumps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s State
	var now, changed time.Duration
	for range 20000 {
		now += time.Duration(r.IntN(2000)) * time.Millisecond
		before := s.Step()
		f := Facts{Now: now, CPU: r.Float64() * 1.5, Egress: r.Float64() * 1.2}
		if r.IntN(50) == 0 {
			f.CPU = math.Inf(1)
		}
		after := s.Decide(f, Config{High: .7, Low: .6, Raise: time.Second, Lower: 2 * time.Second})
		if d := after - before; d > 1 || d < -1 || after < sluice.StepNone || after > sluice.StepRefuse {
			t.Fatalf("from %s to %s", before, after)
		}
		if after != before {
			if now-changed < time.Second {
				t.Fatalf("two changes within %v", now-changed)
			}
			changed = now
		}
	}
}

func TestConfig(t *testing.T) {
	if (Config{}).Validate() != nil || Default().Validate() != nil {
		t.Error("the defaults are refused")
	}
	for _, c := range []Config{{High: .5, Low: .6, Raise: 1, Lower: 1}, {High: .5}, {High: .5, Low: .4, Lower: 1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
