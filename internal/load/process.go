package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc; it is 1/100 s on every
// architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// process reads what /proc tells of a process.
type process struct{ dir string }

func newProcess(pid int) process { return process{dir: filepath.Join("/proc", strconv.Itoa(pid))} }

// cpu is the user and system time of all its threads so far.
func (p process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join(p.dir, "stat"))
	if err != nil {
		return 0, err
	}
	return parseStat(b)
}

// parseStat reads utime and stime, fields 14 and 15 of proc_pid_stat(5).
func parseStat(b []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(b, ')') // the name may hold anything
	if end < 0 {
		return 0, errors.New("/proc/PID/stat has no name")
	}
	fields := strings.Fields(string(b[end+1:]))
	const state, utime, stime = 3, 14, 15
	if len(fields) <= stime-state {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	var ticks uint64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseUint(fields[i-state], 10, 63)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// resident is the memory that it occupies, in bytes.
func (p process) resident() (int64, error) {
	b, err := os.ReadFile(filepath.Join(p.dir, "status"))
	if err != nil {
		return 0, err
	}
	return parseStatus(b)
}

func parseStatus(b []byte) (int64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		value, ok := strings.CutPrefix(lines.Text(), "VmRSS:")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 53)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/status: %w", err)
		}
		return n << 10, nil
	}
	return 0, errors.New("/proc/PID/status has no VmRSS")
}
