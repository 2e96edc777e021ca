package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// patience is how long anything may take that must happen: far longer than it does,
// since machines are slow and stand still for seconds.
const patience = time.Minute

// within polls until ok, and fails the test after limit.
func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	poll(t, limit, 5*time.Millisecond, what, ok)
}

func poll(t testing.TB, limit, interval time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// stalls returns how long the machine has stood still in all, until now.
func stalls(t testing.TB) (until func() time.Duration) {
	t.Helper()
	const tick, long = 50 * time.Millisecond, 300 * time.Millisecond
	var stood atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for last := time.Now(); ctx.Err() == nil; {
			rest(ctx, tick)
			if took := time.Since(last); took > long {
				stood.Add(int64(took))
			}
			last = time.Now()
		}
	})
	t.Cleanup(func() { cancel(); watching.Wait() })
	return func() time.Duration { return time.Duration(stood.Load()) }
}

func clientHTTP(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func pattern(t testing.TB, codec clips.Codec, simulcast bool) *clips.Clip {
	t.Helper()
	clip, err := clips.Synthetic(codec, simulcast)
	if err != nil {
		t.Fatal(err)
	}
	return clip
}

// later asks again while a node says that it cannot answer now, as encoders and
// players do.
func later(t testing.TB, ask func() error) (err error) {
	t.Helper()
	poll(t, patience, 200*time.Millisecond, "an answer", func() bool {
		err = ask()
		refused, ok := errors.AsType[*client.StatusError](err)
		return !ok || refused.Status != http.StatusServiceUnavailable
	})
	return err
}

func publishClip(t testing.TB, cfg client.PublisherConfig) *client.Publisher {
	t.Helper()
	cfg.HTTP = clientHTTP(t)
	var p *client.Publisher
	err := later(t, func() (err error) {
		p, err = client.Publish(t.Context(), cfg)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// loadViewer is a viewer with a note of each of its frames.
type loadViewer struct {
	*client.Viewer

	mu     sync.Mutex
	frames []client.FrameInfo
}

// keyAfter returns when the first keyframe was complete whose packets all came
// after since; zero when none has.
func (v *loadViewer) keyAfter(since time.Time) time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.frames {
		if f.Key && f.First.After(since) {
			return f.At
		}
	}
	return time.Time{}
}

// watchClip starts n viewers at once.
func watchClip(t testing.TB, url string, n int) []*loadViewer {
	t.Helper()
	shared := clientHTTP(t)
	viewers := make([]*loadViewer, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range viewers {
		v := &loadViewer{}
		viewers[i] = v
		wg.Go(func() {
			cfg := client.ViewerConfig{URL: url, NACK: true, HTTP: shared, OnFrame: func(f client.FrameInfo) {
				v.mu.Lock()
				v.frames = append(v.frames, f)
				v.mu.Unlock()
			}}
			errs[i] = later(t, func() (err error) {
				v.Viewer, err = client.Watch(t.Context(), cfg)
				return err
			})
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		var closing sync.WaitGroup
		for _, v := range viewers {
			if v.Viewer != nil {
				closing.Go(func() { _ = v.Close() })
			}
		}
		closing.Wait()
	})
	for i, err := range errs {
		if err != nil {
			t.Fatalf("viewer %d: %v", i, err)
		}
	}
	return viewers
}

// clean fails the test for loss and for breaks of the forwarded stream.
func clean(t testing.TB, viewers []*loadViewer) {
	t.Helper()
	for i, v := range viewers {
		s := v.Stats()
		if s.Video.Lost+s.Audio.Lost != 0 {
			t.Errorf("viewer %d lost %d video and %d audio packets", i, s.Video.Lost, s.Audio.Lost)
		}
		if s.Video.Breaks.Total()+s.Audio.Breaks.Total() != 0 {
			t.Errorf("viewer %d: breaks of video %+v, audio %+v", i, s.Video.Breaks, s.Audio.Breaks)
		}
		if err := v.Err(); err != nil {
			t.Errorf("viewer %d: %v", i, err)
		}
	}
}

// spread says how long something took for each of many.
type spread []time.Duration

func (s spread) String() string {
	sorted := slices.Sorted(slices.Values(s))
	at := func(q float64) time.Duration {
		return sorted[int(q*float64(len(sorted)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p95 %v, max %v of %d", at(0.5), at(0.95), at(1), len(sorted))
}

// stream asks the control API.
func (r *running) stream(name string) (sluice.Stream, error) {
	var s sluice.Stream
	resp, err := http.Get(r.URL + "/api/v1/streams/" + name)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the API answers %s", resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// live waits until a stream is live with so many active layers.
func (r *running) live(t testing.TB, name string, layers int) {
	t.Helper()
	poll(t, patience, 50*time.Millisecond, fmt.Sprintf("%s is live with %d layers", name, layers), func() bool {
		s, err := r.stream(name)
		if err != nil || s.State != sluice.StreamLive {
			return false
		}
		active := 0
		for _, l := range s.Layers {
			if l.Active && l.Width > 0 {
				active++
			}
		}
		return active >= layers
	})
}

// buildSluice builds the program, once for all tests, and returns its path.
func buildSluice(t testing.TB) string {
	t.Helper()
	binary, err := sluiceProgram()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// sluiceProgram builds the program into programFolder at the first call.
var sluiceProgram = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(programFolder, "sluice")
	build := exec.Command("go", "build", "-o", binary, "github.com/sluice-live/sluice/cmd/sluice")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

// programFolder is made and removed by TestMain.
var programFolder string

// child is a publisher in a process of its own.
type child struct {
	cmd       *exec.Cmd
	output    io.ReadCloser
	connected chan time.Time // when it could send its first packet
}

// startChild runs the binary with --verbose and follows its log.
func startChild(t testing.TB, binary string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(binary, append(args, "--verbose")...), connected: make(chan time.Time, 1)}
	var err error
	if c.output, err = c.cmd.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill(t) })
	go func() {
		for lines := bufio.NewScanner(c.output); lines.Scan(); {
			line := lines.Text()
			t.Log("publisher: ", line)
			stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && strings.Contains(line, "state=connected") {
				select {
				case c.connected <- at:
				default: // only the first time counts
				}
			}
		}
		close(c.connected)
	}()
	return c
}

// kill ends the process as the kernel would, and waits until it is gone.
func (c *child) kill(t testing.TB) {
	if c.cmd.ProcessState != nil {
		return
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	for range c.connected { // the log must be read to its end before Wait
	}
	_ = c.cmd.Wait() // it says "killed"
}
