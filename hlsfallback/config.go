package hlsfallback

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/sluice-live/sluice"
)

// Shelf is what is durable of recordings. What is not there is an error with
// sluice.CodeNotFound.
type Shelf interface {
	// Recording returns a recording, running or ended, of this node or another.
	Recording(ctx context.Context, rec string) (sluice.Recording, error)
	// Running returns the recording of a stream that another node goes on with.
	Running(ctx context.Context, stream string) (sluice.Recording, error)
	// Timeline returns the renditions and, by rendition, the finished segments in order.
	Timeline(ctx context.Context, rec string) ([]sluice.Rendition, map[string][]sluice.Segment, error)
	// Segment opens the bytes of a finished segment.
	Segment(ctx context.Context, rec, rendition string, seq uint64) (io.ReadSeekCloser, error)
	// InitSection returns the init section of a version.
	InitSection(ctx context.Context, rec, rendition string, version int) ([]byte, error)
	// Thumbnail returns the n-th thumbnail (sluice.ThumbnailEvery) as JPEG.
	Thumbnail(ctx context.Context, rec string, n uint64) ([]byte, error)
}

// Authorizer reads what the holder of a bearer may do.
type Authorizer interface {
	Authorize(ctx context.Context, bearer string) (sluice.Grant, error)
}

// Limiter counts a refused token, and may answer with a harder refusal.
type Limiter interface {
	Refuse(addr netip.Addr, cause error) error
}

// Observer takes one value of a distribution.
type Observer interface {
	Observe(seconds float64)
}

// Deps are what a Handler works with. Blocked may be nil.
type Deps struct {
	Shelf   Shelf
	Auth    Authorizer
	Limiter Limiter
	Blocked Observer // time that requests were parked
	Log     *slog.Logger
}

// Config configures a Handler. Zero values take the default.
type Config struct {
	Part    time.Duration // part target: no part is longer; 0: 200 ms
	Target  time.Duration // target duration, in whole seconds: no segment is longer; 0: 4 s
	Window  time.Duration // how far back the running show can be rewound; 0: 4 h. At least three target durations are kept
	Parked  int           // requests that may wait at once; 0: 20,000
	Cache   int64         // bytes of older segments that are kept in memory; 0: 256 MiB
	Entries int           // segments of ended recordings whose playlists are kept; 0: 500,000
	Write   time.Duration // time that a caller has to take an answer; 0: 30 s
	Private bool          // answers depend on the caller's token: shared caches must not keep them
}

func (c Config) withDefaults() Config {
	orElse := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	orElse(&c.Part, 200*time.Millisecond)
	orElse(&c.Target, 4*time.Second)
	orElse(&c.Window, 4*time.Hour)
	orElse(&c.Write, 30*time.Second)
	if c.Parked == 0 {
		c.Parked = 20_000
	}
	if c.Cache == 0 {
		c.Cache = 256 << 20
	}
	if c.Entries == 0 {
		c.Entries = 500_000
	}
	return c
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Part < 50*time.Millisecond || c.Part > 5*time.Second:
		return errors.New("hlsfallback: the part target is not between 50 ms and 5 s")
	case c.Target < time.Second || c.Target > time.Minute || c.Target%time.Second != 0:
		return errors.New("hlsfallback: the target duration is not 1 to 60 whole seconds")
	case c.Target < c.Part:
		return errors.New("hlsfallback: the part target is over the target duration")
	case c.Window < 0 || c.Parked < 0 || c.Cache < 0 || c.Entries < 0 || c.Write < 0:
		return errors.New("hlsfallback: a limit is negative")
	}
	return nil
}

// partHoldBack is how far from the live edge a player stays that reads parts.
func (c Config) partHoldBack() time.Duration { return 3 * c.Part }

// listParts is how long parts stay listed behind the live edge.
func (c Config) listParts() time.Duration { return 3 * c.Target }

// keepParts is how long they can be fetched.
func (c Config) keepParts() time.Duration { return 2 * c.listParts() }

// patience is how long a request is parked.
func (c Config) patience() time.Duration { return 3 * c.Target }
