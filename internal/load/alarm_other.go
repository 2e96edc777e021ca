//go:build !linux

package load

import "time"

// alarm waits as exactly as the system's timers do.
type alarm struct{}

func newAlarm() (*alarm, error) { return &alarm{}, nil }

func (*alarm) wait(d time.Duration) { time.Sleep(d) }

func (*alarm) close() error { return nil }
