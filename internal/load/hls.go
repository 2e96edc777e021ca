package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/hlscheck"
)

// HLSConfig says how to load a server with LL-HLS clients of a running stream.
type HLSConfig struct {
	URL      string // multivariant playlist
	Token    string
	Viewers  int
	Ramp     Rate
	Duration time.Duration // from the moment when the last viewer has begun
	Flood    bool          // ask for the playlist as fast as it comes, instead of playing
	Segments bool          // ask for the newest segments of video as fast as they come, instead of playing
	HTTP1    bool          // no HTTP/2 over TLS
	Check    bool          // one more client checks every rule
	Insecure bool          // any certificate is good
	PID      int           // of the server, for its CPU time; 0: unknown
}

// Validate reports what is wrong.
func (c HLSConfig) Validate() error {
	switch {
	case !strings.HasPrefix(c.URL, "http://") && !strings.HasPrefix(c.URL, "https://"):
		return fmt.Errorf("%q is no address of a playlist", c.URL)
	case c.Viewers < 1 || c.Viewers > 100_000:
		return errors.New("viewers: must be 1 to 100000")
	case c.Duration <= 0:
		return errors.New("duration: must be more than 0")
	case c.Flood && c.Segments:
		return errors.New("flood and segments: choose one")
	}
	return nil
}

// hlsRun is one run.
type hlsRun struct {
	cfg       HLSConfig
	playing   atomic.Int64
	measuring atomic.Bool
	requests  atomic.Uint64 // of playlists, in the window
	parts     atomic.Uint64
	bytes     atomic.Uint64 // of bodies, in the window

	mu     sync.Mutex
	delays histogram
	errors map[string]int
	failed int
	ended  int
}

// RunHLS loads the server and reports. When ctx ends early, what was measured
// until then is reported.
func RunHLS(ctx context.Context, cfg HLSConfig, progress func(Progress)) (*HLSReport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &hlsRun{cfg: cfg, errors: map[string]int{}}
	playing, stop := context.WithCancel(ctx)
	var viewers sync.WaitGroup
	defer viewers.Wait()
	defer stop()
	started := time.Now()
	if err := r.ramp(ctx, func() {
		viewers.Go(func() { r.view(playing) })
	}); err != nil {
		return nil, err
	}
	var checked *hlscheck.Result
	if cfg.Check {
		client, idle := r.client()
		defer idle()
		viewers.Go(func() {
			result, err := hlscheck.Run(playing, hlscheck.Config{URL: cfg.URL, Token: cfg.Token, Duration: cfg.Duration, Client: client})
			if err != nil {
				r.failure(err)
			}
			r.mu.Lock()
			checked = result
			r.mu.Unlock()
		})
	}
	report, err := r.window(ctx, started, progress)
	if err != nil {
		return nil, err
	}
	stop()
	viewers.Wait()
	r.finish(report, checked)
	return report, nil
}

// ramp starts the viewers at the configured rate.
func (r *hlsRun) ramp(ctx context.Context, start func()) error {
	gap := time.Duration(0)
	if r.cfg.Ramp > 0 {
		gap = time.Duration(float64(time.Second) / float64(r.cfg.Ramp))
	}
	next := time.Now()
	for range r.cfg.Viewers {
		wait(ctx, time.Until(next))
		if err := ctx.Err(); err != nil {
			return err
		}
		next = next.Add(gap)
		start()
	}
	return nil
}

// window measures for the configured time.
func (r *hlsRun) window(ctx context.Context, started time.Time, progress func(Progress)) (*HLSReport, error) {
	wait(ctx, settle)
	var server *process
	if r.cfg.PID > 0 {
		p := newProcess(r.cfg.PID)
		server = &p
	}
	client := newProcess(os.Getpid())
	cpu := func(p *process) (time.Duration, error) {
		if p == nil {
			return 0, nil
		}
		return p.cpu()
	}
	serverFrom, err := cpu(server)
	if err != nil {
		return nil, fmt.Errorf("the server's process: %w", err)
	}
	clientFrom, err := client.cpu()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	r.measuring.Store(true)
	for end := begin.Add(r.cfg.Duration); ctx.Err() == nil && time.Now().Before(end); {
		wait(ctx, min(time.Second, time.Until(end)))
		if progress != nil {
			progress(Progress{Elapsed: time.Since(started), Phase: "measuring", Connected: int(r.playing.Load()), Wanted: r.cfg.Viewers, Bytes: r.bytes.Load()})
		}
	}
	r.measuring.Store(false)
	took := time.Since(begin)
	serverTo, err := cpu(server)
	if err != nil {
		return nil, fmt.Errorf("the server's process: %w", err)
	}
	clientTo, err := client.cpu()
	if err != nil {
		return nil, err
	}
	report := &HLSReport{
		Seconds: took.Seconds(), Viewers: r.cfg.Viewers, Playing: int(r.playing.Load()),
		Playlists: r.requests.Load(), Parts: r.parts.Load(), Bytes: r.bytes.Load(),
		ClientCPU: percent(float64(clientTo-clientFrom), float64(took)),
	}
	report.measure(took)
	if server != nil {
		report.Server = newHLSServer(report, serverTo-serverFrom, took)
		if report.Server.RSS, err = server.resident(); err != nil {
			return nil, fmt.Errorf("the server's process: %w", err)
		}
	}
	return report, nil
}

func (r *hlsRun) finish(report *HLSReport, checked *hlscheck.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Failed, report.Ended, report.Errors = r.failed, r.ended, maps.Clone(r.errors)
	report.PartDelay = r.delays.spread()
	if checked != nil {
		report.Checked = true
		for _, v := range checked.Violations {
			report.Violations = append(report.Violations, fmt.Sprintf("%s: section %s, %d times: %s", v.Rendition, v.Rule, v.Count, v.Detail))
		}
	}
}

func (r *hlsRun) failure(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 && strings.Contains(text, "http") {
		text = text[i+2:] // without addresses, which differ
	}
	r.errors[text]++
}

// client is an HTTP client with connections of its own.
func (r *hlsRun) client() (client *http.Client, idle func()) {
	transport := &http.Transport{
		ForceAttemptHTTP2: !r.cfg.HTTP1, DisableCompression: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: r.cfg.Insecure}, //nolint:gosec // asked for
	}
	if r.cfg.HTTP1 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}
