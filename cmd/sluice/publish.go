package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/clips"
)

// PublishCmd publishes a clip in a loop until it is told to stop.
type PublishCmd struct {
	URL       string        `required:"" placeholder:"URL" help:"WHIP endpoint, such as http://127.0.0.1:8080/whip/demo."`
	Token     string        `env:"SLUICE_TOKEN" placeholder:"TOKEN" help:"Bearer token."`
	File      string        `placeholder:"PATH" help:"Clip to send in a loop: .mp4 (H.264 and Opus), .h264, .h265, .ivf or .ogg. Without it, a test pattern with sound."`
	Codec     string        `default:"h264" enum:"h264,vp8" help:"Codec of the test pattern: h264 or vp8."`
	Simulcast bool          `help:"Send the test pattern in three sizes, rids q, h and f."`
	Keyframes string        `default:"clip" enum:"clip,on-request" help:"clip: keyframes come every two seconds, requests are ignored as many encoders do. on-request: also when asked for."`
	Reconnect bool          `help:"Start again when the session ends or the stream is taken."`
	Duration  time.Duration `placeholder:"TIME" help:"Stop after this long; 0 for never."`
	JSON      bool          `help:"Print statistics as JSON lines."`
	Verbose   bool          `help:"Log what happens to the connection."`
}

// Help is the long help of the command.
func (PublishCmd) Help() string {
	return `Prints a line of statistics every second. SIGINT or SIGTERM ends the session.

When the server hands its publishers over, the new session begins before the old
one ends.`
}

// Run implements the command.
func (c *PublishCmd) Run(ctx context.Context, out io.Writer) error {
	clip, err := c.clip()
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = clip.Close() }()
	ctx, cancel := limited(ctx, c.Duration)
	defer cancel()
	log := sessionLogger(c.Verbose)
	cfg := client.PublisherConfig{
		URL: c.URL, Token: c.Token, Clip: clip, KeyframesOnRequest: c.Keyframes == "on-request", Log: log,
	}
	started := time.Now()
	var printErr error
	run := func(s client.Session) {
		printErr = eachSecond(ctx, s, func(bool) error {
			return c.print(out, time.Since(started), s.(*client.Moving).Now().Stats())
		})
	}
	start := func(ctx context.Context) (client.Session, error) { return client.PublishMoving(ctx, cfg) }
	err = runSession(ctx, c.Reconnect, log, start, run)
	return errors.Join(err, printErr)
}

func (c *PublishCmd) clip() (*clips.Clip, error) {
	if c.File != "" {
		if c.Simulcast {
			return nil, errors.New("--simulcast sends the test pattern: it does not go with --file")
		}
		return clips.Open(c.File)
	}
	codec, err := clips.ParseCodec(c.Codec)
	if err != nil {
		return nil, err
	}
	return clips.Synthetic(codec, c.Simulcast)
}

func (c *PublishCmd) print(out io.Writer, since time.Duration, s client.PublisherStats) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(struct {
			Seconds float64 `json:"seconds"`
			client.PublisherStats
		}{since.Seconds(), s})
	}
	_, err := fmt.Fprintf(out, "%6.1fs  %-12s  %7d packets  %9d bytes  %4d keyframes  %4d nack  %4d resent  %4d pli\n",
		since.Seconds(), s.State, s.Packets, s.Bytes, s.Keyframes, s.NACKs, s.Resent, s.PLIs)
	return err
}

// limited ends ctx after d; 0 for never.
func limited(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// sessionLogger logs to stderr: all of it, or only what needs attention.
func sessionLogger(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// runSession runs one session, or one after the other when it shall reconnect. A
// session that ended because ctx did is no error.
func runSession(ctx context.Context, reconnect bool, log *slog.Logger, start func(context.Context) (client.Session, error), run func(client.Session)) error {
	if reconnect {
		return client.Keep(ctx, log, start, run)
	}
	s, err := start(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	run(s)
	err = s.Err()
	return errors.Join(err, s.Close())
}

// eachSecond prints until ctx or the session ends, and once at that end.
func eachSecond(ctx context.Context, s client.Session, print func(final bool) error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return print(true)
		case <-s.Done():
			return print(true)
		case <-ticker.C:
			if err := print(false); err != nil {
				return err
			}
		}
	}
}
