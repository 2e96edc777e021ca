package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/sluice-live/sluice/internal/load"
)

// LoadCmd puts load on a server and reports what arrived.
type LoadCmd struct {
	URL        string        `default:"http://127.0.0.1:8080" placeholder:"URL" help:"Base URL of the server."`
	Stream     string        `default:"demo" placeholder:"NAME" help:"Stream; with several publishers -1, -2 and so on are added to it."`
	WHIPURL    string        `name:"whip-url" placeholder:"URL" help:"Full WHIP endpoint of another server; {n} is the number of the stream."`
	WHEPURL    string        `name:"whep-url" placeholder:"URL" help:"Full WHEP endpoint of another server; {n} is the number of the stream."`
	Token      string        `env:"SLUICE_TOKEN" placeholder:"TOKEN" help:"Bearer token."`
	Publishers int           `default:"1" help:"Publishers of synthetic video."`
	NoPublish  bool          `help:"Somebody else publishes."`
	Viewers    int           `default:"100" help:"Viewers."`
	Probes     int           `default:"4" help:"Viewers that also decrypt and measure delay."`
	Ramp       load.Rate     `default:"100/s" placeholder:"RATE" help:"Viewers that join each second; 0 for all at once."`
	Duration   time.Duration `default:"30s" help:"How long to measure once all have joined."`
	Codec      string        `default:"h264" enum:"h264,vp8" help:"Codec of the synthetic video, h264 or vp8."`
	Bitrate    load.Bitrate  `default:"2500k" help:"Bitrate of the synthetic video."`
	Equal      bool          `help:"Keyframes of the synthetic video are no larger than its other frames."`
	Spread     time.Duration `default:"0s" help:"Time between two packets of a frame, as publishers with a pacer have it; shorter where a frame would take more than three quarters of its time."`
	TWCC       bool          `name:"twcc" help:"Viewers send transport-cc feedback."`
	REMB       load.Bitrate  `name:"remb" default:"0" placeholder:"BITRATE" help:"Viewers send this estimate each second."`
	Readers    int           `default:"1" help:"Goroutines that read packets."`
	GRO        bool          `name:"gro" default:"true" negatable:"" help:"Take packets that the server sent as one as one. On loopback that saves the server the work of cutting them, which a network card may do."`
	Coalesce   time.Duration `default:"0s" help:"Rest between reads: fewer wake-ups, for client and server. Delays are measured by the kernel and do not grow."`
	PID        int           `name:"pid" placeholder:"PID" help:"Process of the server on this machine, for its CPU time and memory."`
	Step       int           `placeholder:"N" help:"Search for the most viewers: add N at a time, up to --viewers, until a limit is passed."`
	Hold       time.Duration `default:"5s" help:"How long each step of a search is measured."`
	MaxLatency time.Duration `default:"100ms" help:"Limit of a search: p99 frame latency."`
	MaxLoss    float64       `default:"0.5" placeholder:"PERCENT" help:"Limit of a search: loss in percent."`
	JSON       bool          `help:"Print the report as JSON."`

	HLS      bool `name:"hls" help:"Viewers are strict LL-HLS clients of --stream, which somebody else publishes."`
	Flood    bool `help:"With --hls: ask for the playlist as fast as it comes, instead of playing."`
	Segments bool `help:"With --hls: ask for the newest segments as fast as they come, instead of playing."`
	Check    bool `help:"With --hls: one more client checks every rule of LL-HLS."`
	HTTP1    bool `name:"http1" help:"With --hls: no HTTP/2."`
	Insecure bool `help:"With --hls: take any certificate."`

	Chat     bool    `help:"Viewers are bots in the chat of --stream, each with an audio session and a data channel in it."`
	Socket   bool    `help:"With --chat: bots come by WebSocket, without a session."`
	Senders  int     `default:"50" help:"With --chat: bots that write."`
	Messages float64 `default:"20" placeholder:"RATE" help:"With --chat: messages a second of all bots."`
}

// Help is the long help of the command.
func (LoadCmd) Help() string {
	return `Publishes synthetic video and watches it with many light viewers: each has an HTTP session, ICE, DTLS-SRTP and sends
receiver reports, but its packets are counted, not decrypted. Some are probes, which decrypt and measure.

CPU-seconds for each gigabit are the server's CPU time divided by what all viewers received (SRTP packets). When this
client needs a whole core itself, its numbers say more about it than about the server. SIGINT ends early with a report.
It fails when no viewer connects.

With --hls each viewer holds a request for the next part open, then reloads the playlist as a delta, for one video and
one audio rendition, on connections of its own.

With --chat the report says whether every message that the server has confirmed came to every bot, once and in one
order, and how long it took. Raise chat.rate and chat.burst on the server where few bots write much.`
}

// Run implements the command.
func (c *LoadCmd) Run(ctx context.Context, out io.Writer) error {
	if c.HLS {
		return c.runHLS(ctx, out)
	}
	if c.Chat {
		return c.runChat(ctx, out)
	}
	cfg := load.Config{
		Target:     load.Target{URL: c.URL, Stream: c.Stream, WHIPURL: c.WHIPURL, WHEPURL: c.WHEPURL, Token: c.Token},
		Publishers: c.Publishers, Viewers: c.Viewers, Probes: c.Probes, Ramp: c.Ramp, Duration: c.Duration,
		Codec: c.Codec, Bitrate: c.Bitrate, Equal: c.Equal, Spread: c.Spread, Feedback: load.Feedback{TransportCC: c.TWCC, REMB: c.REMB},
		Reading: load.Reading{Readers: c.Readers, GRO: c.GRO, Coalesce: c.Coalesce}, PID: c.PID,
	}
	if c.Step > 0 {
		cfg.Search = load.Search{Step: c.Step, Hold: c.Hold, MaxLatency: c.MaxLatency, MaxLoss: c.MaxLoss}
	}
	if c.NoPublish {
		cfg.Publishers = 0
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	return c.show(out, func(progress func(load.Progress)) (report, error) { return load.Run(ctx, cfg, progress) })
}

func (c *LoadCmd) runHLS(ctx context.Context, out io.Writer) error {
	cfg := load.HLSConfig{
		URL: strings.TrimSuffix(c.URL, "/") + "/hls/" + c.Stream + "/index.m3u8", Token: c.Token,
		Viewers: c.Viewers, Ramp: c.Ramp, Duration: c.Duration, PID: c.PID,
		Flood: c.Flood, Segments: c.Segments, Check: c.Check, HTTP1: c.HTTP1, Insecure: c.Insecure,
	}
	if strings.HasSuffix(c.URL, ".m3u8") {
		cfg.URL = c.URL
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	return c.show(out, func(progress func(load.Progress)) (report, error) { return load.RunHLS(ctx, cfg, progress) })
}

// report is what a run of load returns.
type report interface {
	Write(out io.Writer) error
	Err() error
}

// show runs a load with a line of progress on a terminal, and writes its report
// as the flags say.
func (c *LoadCmd) show(out io.Writer, run func(progress func(load.Progress)) (report, error)) error {
	var progress func(load.Progress)
	if isatty.IsTerminal(os.Stderr.Fd()) {
		progress = newProgressLine(os.Stderr)
	}
	r, err := run(progress)
	if progress != nil {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(out).Encode(r)
	} else {
		err = r.Write(out)
	}
	return errors.Join(err, r.Err())
}

// newProgressLine rewrites one line of a terminal.
func newProgressLine(w io.Writer) func(load.Progress) {
	var last load.Progress
	return func(p load.Progress) {
		rate := 0.0
		if d := (p.Elapsed - last.Elapsed).Seconds(); d > 0 {
			rate = float64(p.Bytes-last.Bytes) * 8 / 1e6 / d
		}
		last = p
		fmt.Fprintf(w, "\r\x1b[K%3.0fs %-10s %d of %d viewers, %d failed, %.1f Mbit/s", p.Elapsed.Seconds(), p.Phase, p.Connected, p.Wanted, p.Failed, rate)
	}
}
