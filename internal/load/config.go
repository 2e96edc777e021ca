package load

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config says what to load a server with. Duration runs from the moment when
// the last viewer has joined.
type Config struct {
	Target     Target
	Publishers int // 0: somebody else publishes
	Viewers    int
	Probes     int // viewers that go on decrypting and measure delay
	Ramp       Rate
	Duration   time.Duration
	Codec      string // H264 or VP8
	Bitrate    Bitrate
	Equal      bool          // keyframes are no larger than other frames
	Spread     time.Duration // between two packets of a frame; shorter where a frame has too many
	Feedback   Feedback
	Reading    Reading
	PID        int // of the server, for its CPU time and memory; 0: unknown
	Search     Search
}

// Target is the server. Without the full URLs, Sluice's paths below URL are
// used. "{n}" in a full URL is replaced by the number of the stream.
type Target struct {
	URL     string
	Stream  string
	WHIPURL string
	WHEPURL string
	Token   string
}

// Feedback is what viewers send beside receiver reports.
type Feedback struct {
	TransportCC bool
	REMB        Bitrate // 0: none
}

// Reading is how packets are read.
type Reading struct {
	Readers  int           // goroutines; 0: one
	GRO      bool          // take what the server sent as one as one; on loopback it saves the server the cutting
	Coalesce time.Duration // rest between reads; 0: read at once
}

// Search adds viewers in steps until the server no longer keeps up. The zero
// value joins all of them and does not search.
type Search struct {
	Step       int           // viewers added at once; 0: no search
	Hold       time.Duration // how long each step is measured
	MaxLatency time.Duration // p99 of a frame
	MaxLoss    float64       // percent
}

// Rate is viewers a second; 0 means all at once. As text: "100/s" or "100".
type Rate float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "/s"), 64)
	if err != nil || !(v >= 0 && v <= 1e6) {
		return fmt.Errorf("%q is no rate such as 100/s", text)
	}
	*r = Rate(v)
	return nil
}

// Bitrate is bits a second. As text: "2500k", "2.5M" or "2500000".
type Bitrate int

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bitrate) UnmarshalText(text []byte) error {
	number, scale := string(text), 1.0
	if n := len(number); n > 0 {
		switch number[n-1] {
		case 'k', 'K':
			number, scale = number[:n-1], 1e3
		case 'm', 'M':
			number, scale = number[:n-1], 1e6
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0 && v*scale <= 1e9) {
		return fmt.Errorf("%q is no bitrate such as 2500k or 2.5M", text)
	}
	*b = Bitrate(v * scale)
	return nil
}

// probes reports whether the viewer that joins as the i-th, from 0, is a probe.
// They are spread evenly, because servers serve viewers in some order; each step
// of a search has its own.
func (c Config) probes(i int) bool {
	group := c.Viewers
	if c.Search.Step > 0 {
		group = c.Search.Step
	}
	if c.Probes >= group {
		return true
	}
	i %= group
	// The j-th of n probes is in the middle of the j-th of n equal parts.
	j := i * c.Probes / group
	return j < c.Probes && i == (2*j+1)*group/(2*c.Probes)
}

const leastBitrate = 50_000

// Validate says what cannot be run.
func (c Config) Validate() error {
	switch {
	case c.Publishers < 0 || c.Viewers < 0 || c.Probes < 0 || c.Reading.Readers < 0:
		return errors.New("numbers of publishers, viewers, probes and readers cannot be negative")
	case c.Publishers+c.Viewers == 0:
		return errors.New("neither publishers nor viewers: nothing to do")
	case c.Duration <= 0 && c.Search.Step == 0:
		return errors.New("the duration must be positive")
	case c.Codec != H264 && c.Codec != VP8:
		return fmt.Errorf("codec %q is neither %s nor %s", c.Codec, H264, VP8)
	case c.Publishers > 0 && c.Bitrate < leastBitrate:
		return fmt.Errorf("a bitrate below %d bit/s leaves no room for frames", leastBitrate)
	case c.Spread < 0 || c.Spread > time.Second/frameRate:
		return fmt.Errorf("packets can be spread by 0 to %v", time.Second/frameRate)
	case c.Search.Step < 0 || c.Search.Step > 0 && c.Search.Hold <= 0:
		return errors.New("a search needs a positive step and a positive time to hold it")
	}
	for n := range max(c.Publishers, 1) {
		for _, endpoint := range []string{c.Target.whip(n, c.Publishers), c.Target.whep(n, c.Publishers)} {
			u, err := url.Parse(endpoint)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return fmt.Errorf("not an http(s) URL: %q", endpoint)
			}
		}
	}
	if c.Publishers > 1 && (c.Target.WHIPURL != "" && c.Target.whip(0, 2) == c.Target.whip(1, 2)) {
		return errors.New("several publishers need {n} in the WHIP URL")
	}
	return nil
}

// whip is the endpoint of the n-th of several publishers, from 0.
func (t Target) whip(n, of int) string { return t.endpoint(t.WHIPURL, "whip", n, of) }

func (t Target) whep(n, of int) string { return t.endpoint(t.WHEPURL, "whep", n, of) }

func (t Target) endpoint(full, path string, n, of int) string {
	if full != "" {
		return strings.ReplaceAll(full, "{n}", strconv.Itoa(n+1))
	}
	stream := t.Stream
	if of > 1 {
		stream += "-" + strconv.Itoa(n+1)
	}
	return strings.TrimSuffix(t.URL, "/") + "/" + path + "/" + url.PathEscape(stream)
}
