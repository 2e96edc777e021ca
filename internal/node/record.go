package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/recorder"
	"github.com/sluice-live/sluice/sfu"
)

// taps is recorder.Media.
type taps struct{ *sfu.SFU }

// Streams implements recorder.Media: those whose publisher is here.
func (t taps) Streams() []sluice.Stream {
	return slices.DeleteFunc(t.SFU.Streams(), func(s sluice.Stream) bool { return s.Relayed })
}

// Tap implements recorder.Media.
func (t taps) Tap(stream string) (recorder.Tap, error) {
	tap, err := t.SFU.Tap(stream)
	if err != nil {
		return nil, err // a nil *sfu.Tap would not be a nil Tap
	}
	return tap, nil
}

// record begins to record what is published.
func (n *Node) record() (err error) {
	c := n.config.Record
	if !c.Enabled || !slices.Contains(n.config.Node.Roles, sluice.RoleRecording) {
		return nil
	}
	if err = n.openHLS(); err != nil {
		return err
	}
	if n.files, err = blob.OpenDisk(filepath.Join(n.config.Data.Dir, "recordings")); err != nil {
		return fmt.Errorf("data.dir: %w", err)
	}
	n.recorder, err = recorder.New(recorder.Config{
		Part: c.Part, Segment: c.Segment, Window: c.Window, Keep: c.Keep,
		Budget: int64(c.MaxMB) << 20, Reserve: int64(c.ReserveMB) << 20,
		Grace: n.config.Stream.Grace, FFmpeg: c.FFmpeg, Rungs: c.Rungs,
	}, recorder.Deps{Media: taps{n.media}, Store: n.files, Sink: n.hls, Log: n.log})
	if err != nil {
		return err
	}
	n.shelf.open(n.recorder)
	return exportRecorder(n.metrics, n.recorder)
}

// exportRecorder registers the recorder's numbers.
func exportRecorder(r *obs.Registry, rec *recorder.Recorder) error {
	const segments = "Segments of recordings, by result: written is on disk, failed was not kept because of the disk."
	result := func(s string) obs.Labels { return obs.Labels{"result": s} }
	counter := func(name, help string, labels obs.Labels, read func(recorder.Counters) int64) error {
		return r.CounterFunc(name, help, labels, func() float64 { return float64(read(rec.Counters())) })
	}
	return errors.Join(
		r.GaugeFunc("sluice_recordings", "Recordings that are running.", nil, func() float64 { return float64(rec.Counters().Recordings) }),
		r.GaugeFunc("sluice_recorder_lag_seconds", "Age of the newest sample of the recording that is furthest behind.", nil,
			func() float64 { return rec.Counters().Lag.Seconds() }),
		counter("sluice_recorder_segments_total", segments, result("written"), func(c recorder.Counters) int64 { return c.SegmentsWritten }),
		counter("sluice_recorder_segments_total", segments, result("failed"), func(c recorder.Counters) int64 { return c.SegmentsFailed }),
		counter("sluice_recorder_frames_dropped_total", "Pictures that were lost on the way, or of no use after a loss.", nil,
			func(c recorder.Counters) int64 { return c.UnitsDropped }),
		r.GaugesFunc("sluice_transcoder_encoder", "1 for the encoder of H.264 in use, once a stream has needed one.", "encoder", func() map[string]float64 {
			if e := rec.Encoder(); e != "" {
				return map[string]float64{e: 1}
			}
			return nil
		}),
		counter("sluice_transcoder_restarts_total", "Transcoders that were started again after they had died.", nil,
			func(c recorder.Counters) int64 { return c.TranscoderStarts }),
	)
}
