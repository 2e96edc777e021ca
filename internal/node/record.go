package node

import (
	"context"
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

// unrecorded is recorder.Media of a node that records nothing, but serves what
// others have recorded.
type unrecorded struct{ taps }

// Streams implements recorder.Media.
func (unrecorded) Streams() []sluice.Stream { return nil }

// record begins to record what is published.
func (n *Node) record() (err error) {
	c := n.config.Record
	var media recorder.Media = taps{n.media}
	if !slices.Contains(n.config.Node.Roles, sluice.RoleRecording) {
		media = unrecorded{}
	}
	if _, none := media.(unrecorded); !c.Enabled || none && n.config.Data.BlobURL == "" {
		return nil
	}
	if err = n.openHLS(); err != nil {
		return err
	}
	if n.files, err = blob.OpenDisk(filepath.Join(n.config.Data.Dir, "recordings")); err != nil {
		return fmt.Errorf("data.dir: %w", err)
	}
	url := string(n.config.Data.BlobURL)
	if url != "" {
		if n.shared, err = blob.OpenShared(url); err != nil {
			return fmt.Errorf("data.blob_url: %w", err)
		}
	} else if n.cluster.embedded == nil {
		n.log.Warn("recordings stay on this node's disk: when a publisher comes back to another node, a new recording begins there; set data.blob_url")
	}
	n.recorder, err = recorder.New(recorder.Config{
		Part: c.Part, Segment: c.Segment, Window: c.Window, Keep: c.Keep,
		Budget: int64(c.MaxMB) << 20, Reserve: int64(c.ReserveMB) << 20,
		Grace: n.config.Stream.Grace, FFmpeg: c.FFmpeg, Memory: int64(c.CoderMB) << 20, Rungs: c.Rungs,
		Spool: int64(n.config.Data.SpoolMB) << 20,
	}, recorder.Deps{Media: media, Store: n.files, Sink: n.hls, Log: n.log, Shared: n.shared, Claims: recordingClaims{n.cluster}, Removed: n.hls.Forget, Tell: n.teller()})
	if err != nil {
		return err
	}
	n.shelf.open(n.recorder)
	if n.shared != nil {
		err = exportShared(n.metrics, n.recorder)
	}
	return errors.Join(err, exportRecorder(n.metrics, n.recorder))
}

// recordingClaims is recorder.Claims.
type recordingClaims struct{ *cluster }

// Claim implements recorder.Claims.
func (c recordingClaims) Claim(ctx context.Context, stream string, force bool) (recorder.Claim, error) {
	l, err := c.registry.AcquireRecording(ctx, stream, force)
	if err != nil {
		return nil, err // a nil *signaling.Lease would not be a nil Claim
	}
	return l, nil
}

// Moved implements recorder.Claims.
func (c recordingClaims) Moved(ctx context.Context, stream string) bool {
	c.mu.Lock()
	held := c.claims[stream]
	c.mu.Unlock()
	if held != nil && !held.lost() {
		return false
	}
	owner, err := c.registry.Lookup(ctx, stream)
	return err == nil && owner.Node != c.id
}

// Recorded implements recorder.Claims.
func (c recordingClaims) Recorded(ctx context.Context, stream string) (bool, error) {
	_, err := c.registry.LookupRecording(ctx, stream)
	if sluice.CodeOf(err) == sluice.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// exportShared registers the numbers of the store that nodes share.
func exportShared(r *obs.Registry, rec *recorder.Recorder) error {
	return errors.Join(
		r.GaugeFunc("sluice_spool_bytes", "Bytes of recordings that wait in data.dir for the shared store.", nil,
			func() float64 { return float64(rec.Counters().Mirrored.Waiting) }),
		r.GaugeFunc("sluice_spool_failing", "Recordings of which the shared store took nothing when it was last asked.", nil,
			func() float64 { return float64(rec.Counters().Mirrored.Refusing) }),
		r.CounterFunc("sluice_spool_segments_total", "Segments that the shared store has taken.", nil,
			func() float64 { return float64(rec.Counters().Mirrored.Stored) }),
		r.CounterFunc("sluice_spool_failures_total", "Attempts to write to the shared store that failed and are repeated.", nil,
			func() float64 { return float64(rec.Counters().Mirrored.Failed) }),
		r.CounterFunc("sluice_recordings_lost_total", "Recordings that another node has taken over while this one was still writing them.", nil,
			func() float64 { return float64(rec.Counters().Mirrored.Refused) }),
	)
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

// lastShow is signaling.API.Last.
func (n *Node) lastShow(ctx context.Context, stream string) (sluice.Recording, bool) {
	all, err := n.recorder.Recordings(ctx)
	if err != nil {
		n.log.Warn("the recordings of a stream cannot be listed", "stream", stream, "err", err)
		return sluice.Recording{}, false
	}
	for _, rec := range slices.Backward(all) {
		if rec.Stream == stream && !rec.Ended.IsZero() {
			return rec, true
		}
	}
	return sluice.Recording{}, false
}
