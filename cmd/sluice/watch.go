package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-live/sluice/internal/client"
	"github.com/sluice-live/sluice/internal/client/record"
)

// WatchCmd watches a stream and prints what arrives.
type WatchCmd struct {
	URL       string        `required:"" placeholder:"URL" help:"WHEP endpoint, such as http://127.0.0.1:8080/whep/demo."`
	Token     string        `env:"SLUICE_TOKEN" placeholder:"TOKEN" help:"Bearer token."`
	Layer     string        `placeholder:"RID" help:"Layer of a simulcast stream to watch, such as q, h or f. Without it the server chooses."`
	Record    string        `placeholder:"PATH" help:"Also write what arrives: .mp4 (H.264, VP9, AV1 and Opus), .ivf (VP8, VP9, AV1), .h264 or .ogg (Opus)."`
	NACK      bool          `default:"true" negatable:"" help:"Ask for lost packets."`
	TWCC      bool          `default:"true" negatable:"" help:"Send transport-cc feedback; without it receiver reports only."`
	Reconnect bool          `help:"Start again when the session ends or nobody publishes, on another node of the cluster when this one is gone."`
	Duration  time.Duration `placeholder:"TIME" help:"Stop after this long; 0 for never."`
	JSON      bool          `help:"Print statistics as JSON lines."`
	Verbose   bool          `help:"Log what happens to the connection."`
}

// Help is the long help of the command.
func (WatchCmd) Help() string {
	return `Prints a line of statistics every second and a summary at the end. SIGINT or SIGTERM ends the session.`
}

// watchReport is one JSON line.
type watchReport struct {
	Seconds      float64 `json:"seconds"`
	Final        bool    `json:"final"`
	VideoBitrate int     `json:"videoBitrate"` // bits per second since the last line
	AudioBitrate int     `json:"audioBitrate"`
	client.ViewerStats
}

// Run implements the command.
func (c *WatchCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Record != "" && c.Reconnect {
		return usageError{errors.New("--record writes one session: it does not go with --reconnect")}
	}
	ctx, cancel := limited(ctx, c.Duration)
	defer cancel()
	log := sessionLogger(c.Verbose)
	cfg := client.ViewerConfig{URL: c.URL, Token: c.Token, NACK: c.NACK, TransportCC: c.TWCC, Log: log}
	var recorder *record.Recorder
	if c.Record != "" {
		var err error
		if recorder, err = record.New(c.Record); err != nil {
			return usageError{err}
		}
		cfg.Sink = recorder
	}
	watch := client.Watch
	if c.Reconnect {
		watch = new(client.Failover).Watch
	}
	start := func(ctx context.Context) (client.Session, error) {
		v, err := watch(ctx, cfg)
		if err != nil {
			return nil, err
		}
		if c.Layer != "" {
			if err := v.SelectLayer(ctx, client.Layer{RID: c.Layer}); err != nil {
				return nil, errors.Join(err, v.Close())
			}
		}
		return v, nil
	}
	var runErr error
	run := func(s client.Session) { runErr = c.follow(ctx, out, s.(*client.Viewer), recorder) }
	err := runSession(ctx, c.Reconnect, log, start, run)
	if recorder != nil {
		err = errors.Join(err, recorder.Close())
	}
	return errors.Join(err, runErr)
}

// follow prints until the session, ctx or the recording ends.
func (c *WatchCmd) follow(ctx context.Context, out io.Writer, v *client.Viewer, recorder *record.Recorder) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := time.Now()
	last, lastAt := v.Stats(), started
	return eachSecond(ctx, v, func(final bool) error {
		now, s := time.Now(), v.Stats()
		report := watchReport{Seconds: now.Sub(started).Seconds(), Final: final, ViewerStats: s}
		if elapsed := now.Sub(lastAt).Seconds(); elapsed > 0 {
			report.VideoBitrate = int(float64(s.Video.Bytes-last.Video.Bytes) * 8 / elapsed)
			report.AudioBitrate = int(float64(s.Audio.Bytes-last.Audio.Bytes) * 8 / elapsed)
		}
		last, lastAt = s, now
		if recorder != nil && recorder.Err() != nil {
			cancel()
		}
		return c.print(out, report)
	})
}

func (c *WatchCmd) print(out io.Writer, r watchReport) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	if !r.Final {
		_, err := fmt.Fprintf(out, "%6.1fs  %-12s  video %dx%d %5d kbit/s %6d packets %4d lost %5.1f ms jitter %5d frames  audio %3d kbit/s %6d packets %4d lost\n",
			r.Seconds, r.State, r.Video.Width, r.Video.Height, r.VideoBitrate/1000, r.Video.Packets, r.Video.Lost, r.Video.JitterMS, r.Video.Frames,
			r.AudioBitrate/1000, r.Audio.Packets, r.Audio.Lost)
		return err
	}
	_, err := fmt.Fprintf(out, `
watched      %.1f s
first packet %s, first keyframe %s, first frame %s after the request
video        %s %dx%d: %d packets, %d bytes, %d lost, %d repaired, %d reordered, %d duplicates, %.1f ms jitter
             %d frames, %d keyframes, %d incomplete
audio        %s: %d packets, %d bytes, %d lost, %d reordered, %.1f ms jitter
continuity   breaks of sequence %d, timestamp %d, picture id %d, SSRC %d
asked for    %d packets again, %d keyframes
`,
		r.Seconds, shown(r.Video.FirstPacket), shown(r.Video.FirstKeyframe), shown(r.Video.FirstFrame),
		r.Video.Codec, r.Video.Width, r.Video.Height, r.Video.Packets, r.Video.Bytes, r.Video.Lost, r.Video.Repaired, r.Video.Reordered, r.Video.Duplicates, r.Video.JitterMS,
		r.Video.Frames, r.Video.Keyframes, r.Video.Incomplete,
		r.Audio.Codec, r.Audio.Packets, r.Audio.Bytes, r.Audio.Lost, r.Audio.Reordered, r.Audio.JitterMS,
		r.Video.Breaks.Sequence+r.Audio.Breaks.Sequence, r.Video.Breaks.Timestamp+r.Audio.Breaks.Timestamp, r.Video.Breaks.PictureID, r.Video.Breaks.SSRC+r.Audio.Breaks.SSRC,
		r.Video.NACKs, r.PLIs)
	return err
}

// shown is a time since the request, or a dash when it did not come.
func shown(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(time.Millisecond / 10).String()
}
