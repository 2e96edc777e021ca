package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueue bounds the bytes that wait for a child, and outQueue the units that
	// wait to be fetched from it.
	maxQueue = 8 << 20
	outQueue = 512
	// firstPause and longestPause bound the time before a child that has died is
	// started again; a child that lived that long is started at once.
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// maxOutput bounds one unit out of a child.
	maxOutput = 8 << 20
	// closeTime is how long a child may take to end when nothing more comes in.
	closeTime = 2 * time.Second
	// drainInterval is how often what comes out at the end is fetched.
	drainInterval = 5 * time.Millisecond
)

// common are the arguments of every child.
func common() []string {
	return []string{"-hide_banner", "-loglevel", "error", "-nostdin", "-protocol_whitelist", "pipe"}
}

// child is one running process.
type child struct {
	pid    int
	in     chan []byte
	queued atomic.Int64
	cancel context.CancelFunc
	wg     sync.WaitGroup
	dead   atomic.Bool
	failed atomic.Pointer[error]
}

// start runs the program. read is called with what comes out of it until it
// returns.
func start(program string, args []string, read func(context.Context, io.Reader) error) (*child, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = closeTime
	var complaints tail
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	c := &child{pid: cmd.Process.Pid, in: make(chan []byte, 4096), cancel: cancel}
	c.wg.Go(func() { c.write(ctx, in) })
	c.wg.Go(func() {
		err := read(ctx, out)
		c.dead.Store(true)
		cancel()
		if waited := cmd.Wait(); waited != nil {
			err = fmt.Errorf("%w: %w: %s", errDied, errors.Join(err, waited), complaints.String())
		}
		c.failed.Store(&err)
	})
	return c, nil
}

var errDied = errors.New("ffmpeg ended")

// write feeds the child until it dies or closes.
func (c *child) write(ctx context.Context, in io.WriteCloser) {
	defer in.Close()
	for {
		select {
		case b, more := <-c.in:
			if !more {
				return
			}
			c.queued.Add(-int64(len(b)))
			if _, err := in.Write(b); err != nil {
				c.cancel()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// feed queues bytes and reports false when there is no room.
func (c *child) feed(b []byte) bool {
	if c.queued.Add(int64(len(b))) <= maxQueue {
		select {
		case c.in <- b:
			return true
		default:
		}
	}
	c.queued.Add(-int64(len(b)))
	return false
}

// kill ends the child at once.
func (c *child) kill() {
	c.cancel()
	c.wg.Wait()
}

// tail keeps the beginning of what a child complains of.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 512 - t.buf.Len(); room > 0 {
		t.buf.Write(b[:min(len(b), room)])
	}
	return len(b), nil
}

// String returns one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(t.buf.String()), " ")
}

// Config says how children are run.
type Config struct {
	Program string
	Log     *slog.Logger
	Encoder string // of pictures; see Probe
	Died    func() // called when a child has died and will be started again
	Memory  int64  // bytes that a child may hold; 0: no limit
}

// runner starts a child, and again when it dies.
type runner struct {
	cfg   Config
	child *child
	began time.Time
	pause time.Duration
	again time.Time // not before this
}

// ready reports whether a child runs. A dead one is buried.
func (r *runner) ready(now time.Time) bool {
	if r.child == nil {
		return false
	}
	if !r.child.dead.Load() {
		return true
	}
	c := r.child
	r.bury()
	var err error
	if f := c.failed.Load(); f != nil {
		err = *f
	}
	r.rest(now, err)
	return false
}

// limit ends a child that owes more than it may, unless it has just begun, and one
// that holds too much memory: another begins, as when it dies.
func (r *runner) limit(now time.Time, owes, most time.Duration) {
	if r.child == nil {
		return
	}
	var err error
	if owes > most && now.Sub(r.began) > most {
		err = fmt.Errorf("%w: %v are missing", errLate, owes)
	} else if held := resident(r.child.pid); r.cfg.Memory > 0 && held > r.cfg.Memory {
		err = fmt.Errorf("%w: %d bytes", errLarge, held)
	}
	if err != nil {
		r.bury()
		r.rest(now, err)
	}
}

// resident returns the bytes that a process has in memory, 0 where the system does
// not say (proc(5), statm).
func resident(pid int) int64 {
	var size, pages int64
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

var (
	errLate  = errors.New("it is too slow")
	errLarge = errors.New("it holds too much memory")
)

// rest lets some time pass before the next child.
func (r *runner) rest(now time.Time, err error) {
	if now.Sub(r.began) > longestPause {
		r.pause = 0
	}
	r.again = now.Add(r.pause)
	r.pause = min(max(2*r.pause, firstPause), longestPause)
	r.cfg.Log.Warn("transcoder died and is started again at the next keyframe", "err", err)
	r.cfg.Died()
}

// start runs a child unless it is too early.
func (r *runner) start(now time.Time, args []string, read func(context.Context, io.Reader) error) bool {
	if now.Before(r.again) {
		return false
	}
	c, err := start(r.cfg.Program, args, read)
	if err != nil {
		r.pause = min(max(2*r.pause, firstPause), longestPause)
		r.again = now.Add(r.pause)
		r.cfg.Log.Warn("transcoder does not start", "err", err)
		return false
	}
	r.child, r.began = c, now
	return true
}

// drain lets the child end by itself up to a time, and calls fetch meanwhile.
func (r *runner) drain(until time.Time, fetch func()) {
	if r.child == nil {
		return
	}
	close(r.child.in)
	patience := time.NewTimer(time.Until(until))
	defer patience.Stop()
	look := time.NewTicker(drainInterval)
	defer look.Stop()
	for late := false; !late && !r.child.dead.Load(); fetch() {
		select {
		case <-look.C:
		case <-patience.C:
			late = true
		}
	}
	r.bury()
	fetch()
}

// bury ends the child, if there is one.
func (r *runner) bury() {
	if r.child != nil {
		r.child.kill()
		r.child = nil
	}
}
