package load

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm waits to the microsecond: Go's own timers come up to a millisecond late
// where nothing else wakes the process. One goroutine uses it.
type alarm struct {
	timer *os.File
	fd    int
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	return &alarm{timer: os.NewFile(uintptr(fd), "timer"), fd: fd}, nil
}

// wait returns after d.
func (a *alarm) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	var expirations [8]byte
	if unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil) == nil {
		_, _ = a.timer.Read(expirations[:])
	}
}

func (a *alarm) close() error { return a.timer.Close() }
