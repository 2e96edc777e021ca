//go:build unix

package node

import (
	"syscall"
	"time"
)

// processTime is the processor time that the process has used, 0 if unknown.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
