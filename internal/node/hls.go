package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/hlsfallback"
	"github.com/sluice-live/sluice/internal/auth"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/recorder"
)

// openHLS makes the handler of /hls/ and /vod/. It reads from the recorder, which
// tells it what is new and is therefore made after it.
func (n *Node) openHLS() error {
	c := n.config
	blocked, err := histogram(n.metrics, "sluice_hls_blocked_seconds", "Time that HLS requests waited for media to come.",
		.01, .025, .05, .1, .2, .35, .5, 1, 2, 5, 10)
	if err != nil {
		return err
	}
	n.shelf = &shelf{ready: make(chan struct{})}
	n.hls, err = hlsfallback.New(hlsfallback.Deps{
		Shelf: n.shelf, Auth: n.auth, Limiter: n.limiter, Blocked: blocked, Log: n.log,
	}, hlsfallback.Config{
		Part: sluice.LongestPart(c.Record.Part), Target: targetDuration(c.Record.Segment), Window: c.Record.Window,
		Parked: c.HLS.MaxWaiting, Cache: int64(c.HLS.CacheMB) << 20, Write: writeTimeout,
		Private: c.Auth.Mode == auth.ModeToken,
	})
	if err != nil {
		return err
	}
	return exportHLS(n.metrics, n.hls)
}

// targetDuration leaves room for a publisher whose keyframes do not come to the
// millisecond.
func targetDuration(segment time.Duration) time.Duration {
	return segment.Truncate(time.Second) + time.Second
}

// front routes HLS past the engine and its middlewares. The chat of a recording
// is no part of HLS.
func (n *Node) front(engine http.Handler) http.Handler {
	if n.hls == nil {
		return engine
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hlsfallback.Handles(r.URL.Path) && !strings.HasSuffix(r.URL.Path, "/chat.json") {
			n.hls.ServeHTTP(w, r)
			return
		}
		engine.ServeHTTP(w, r)
	})
}

// shelf is hlsfallback.Shelf: the recorder, once there is one.
type shelf struct {
	ready    chan struct{} // closed when recorder is set
	recorder *recorder.Recorder
}

func (s *shelf) open(r *recorder.Recorder) {
	s.recorder = r
	close(s.ready)
}

func (s *shelf) wait(ctx context.Context) (*recorder.Recorder, error) {
	select {
	case <-s.ready:
		return s.recorder, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Recording implements hlsfallback.Shelf.
func (s *shelf) Recording(ctx context.Context, rec string) (sluice.Recording, error) {
	r, err := s.wait(ctx)
	if err != nil {
		return sluice.Recording{}, err
	}
	return r.Recording(ctx, rec)
}

// Running implements hlsfallback.Shelf.
func (s *shelf) Running(ctx context.Context, stream string) (sluice.Recording, error) {
	r, err := s.wait(ctx)
	if err != nil {
		return sluice.Recording{}, err
	}
	return r.Running(ctx, stream)
}

// Timeline implements hlsfallback.Shelf.
func (s *shelf) Timeline(ctx context.Context, rec string) ([]sluice.Rendition, map[string][]sluice.Segment, error) {
	r, err := s.wait(ctx)
	if err != nil {
		return nil, nil, err
	}
	return r.Timeline(ctx, rec)
}

// Segment implements hlsfallback.Shelf.
func (s *shelf) Segment(ctx context.Context, rec, rendition string, seq uint64) (io.ReadSeekCloser, error) {
	r, err := s.wait(ctx)
	if err != nil {
		return nil, err
	}
	return r.Segment(ctx, rec, rendition, seq)
}

// InitSection implements hlsfallback.Shelf.
func (s *shelf) InitSection(ctx context.Context, rec, rendition string, version int) ([]byte, error) {
	r, err := s.wait(ctx)
	if err != nil {
		return nil, err
	}
	return r.InitSection(ctx, rec, rendition, version)
}

// Thumbnail implements hlsfallback.Shelf.
func (s *shelf) Thumbnail(ctx context.Context, rec string, number uint64) ([]byte, error) {
	r, err := s.wait(ctx)
	if err != nil {
		return nil, err
	}
	return r.Thumbnail(ctx, rec, number)
}

// exportHLS registers the numbers of HLS.
func exportHLS(r *obs.Registry, h *hlsfallback.Handler) error {
	errs := []error{
		r.GaugeFunc("sluice_hls_waiting", "HLS requests that wait for media to come.", nil, func() float64 { return float64(h.Parked()) }),
		r.CounterFunc("sluice_hls_refused_total", "HLS requests that were not let wait because too many did.", nil, func() float64 { return float64(h.Refused()) }),
		r.CounterFunc("sluice_hls_bytes_total", "Bytes of HLS answers, without headers.", nil, func() float64 { return float64(h.Bytes()) }),
	}
	for _, kind := range hlsfallback.Kinds() {
		for class := 2; class <= 5; class++ {
			errs = append(errs, r.CounterFunc("sluice_hls_requests_total", "HLS requests answered, by kind and class of status.",
				obs.Labels{"kind": kind.String(), "status": strconv.Itoa(class) + "xx"},
				func() (sum float64) {
					for _, status := range hlsfallback.Statuses() {
						if status/100 == class {
							sum += float64(h.Requests(kind, status))
						}
					}
					return sum
				}))
		}
	}
	return errors.Join(errs...)
}
