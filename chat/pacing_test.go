package chat

import (
	"testing"
	"time"
)

// TestPacing has something happen whenever it is wanted and due, once it is.
func TestPacing(t *testing.T) {
	const tick = 100 * time.Millisecond
	for name, tt := range map[string]struct {
		slack, every, after time.Duration // wanted so often, first so long after something else
		most                time.Duration // longest wait at the end
	}{
		"once a tick":              {tick / 2, tick, time.Second, 0},
		"once a tick, out of step": {tick / 2, tick, tick / 10, 0},
		"three times a tick":       {tick / 2, tick / 3, time.Second, tick},
		"three times, no slack":    {0, tick / 3, time.Second, tick},
		"seldom":                   {tick / 2, 10 * tick, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPacing(tt.slack)
			defer p.timer.Stop()
			now := time.Unix(1000, 0)
			p.done(now, tick)
			end := now.Add(10 * time.Second)
			var wait time.Duration
			times := 0
			for wanted := now.Add(tt.after); wanted.Before(end); wanted = wanted.Add(tt.every) {
				if now.After(wanted) {
					continue // it came with the last
				}
				if now = wanted; !p.due(now) {
					now = p.next.Add(-p.slack)
				}
				if !p.due(now) {
					t.Fatal("it is not due when the timer fires")
				}
				p.done(now, tick)
				times++
				wait = now.Sub(wanted)
			}
			if wait > tt.most {
				t.Errorf("it waits %v", wait)
			}
			if most := int(10*time.Second/(tick-tt.slack/10)) + 1; times > most {
				t.Errorf("it happened %d times, more than %d", times, most)
			}
		})
	}
}
