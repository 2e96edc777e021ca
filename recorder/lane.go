package recorder

import (
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/recorder/internal/frame"
	"github.com/sluice-live/sluice/recorder/internal/timeline"
)

// soundID and aacID are the renditions of sound: as it comes, and transcoded.
// Renditions of video begin with layerPrefix where it is recorded as it comes, and
// with pictureID where it is transcoded: that alone is the best of a stream.
const (
	layerPrefix = "v"
	soundID     = "opus"
	aacID       = "aac"
	pictureID   = "h264"
)

// lane makes access units of one layer, or of the sound, on the recording's
// timeline. A layer whose publisher comes back has the same lane.
type lane struct {
	show   *show
	id     string
	track  uint64 // that feeds it; 0: none does
	video  *frame.Assembler
	sound  *frame.Opus
	line   timeline.Timeline
	shift  time.Duration // of a capture clock that was set back, so that time goes on
	out    *output       // nil where a transcoder comes between
	format *frame.Format // of sound that has not begun yet

	width, height int       // of pictures for a transcoder
	seen          time.Time // capture time of the newest of them
	dropped       uint64    // of the assembler, as counted
}

func laneID(t *sluice.Track) string {
	if !t.Video {
		return soundID
	}
	return layerPrefix + t.RID
}

// begin makes a track feed the lane. It reports false for what cannot be
// recorded.
func (l *lane) begin(t *sluice.Track) bool {
	l.video, l.sound, l.out = nil, nil, nil
	switch {
	case t.RID != "" && sluice.CheckRID(t.RID) != nil: // it would be part of file names
		return false
	case t.Video:
		l.video = frame.New(t)
	case t.Codec == "opus":
		l.sound = &frame.Opus{}
	}
	if l.video == nil && l.sound == nil {
		return false
	}
	if needsTranscoder(t.Codec) {
		if !l.show.recorder.canEncode() {
			return false
		}
		l.show.recorder.needEncoder()
	} else {
		l.out = l.show.output(l.id, t.Video)
	}
	l.track, l.dropped = t.ID, 0
	l.line, l.shift = timeline.Timeline{Hertz: int64(t.ClockRate)}, 0
	return true
}

// needsTranscoder reports whether a codec has no place in HLS.
func needsTranscoder(codec string) bool { return codec == "VP8" || codec == "VP9" }

func (l *lane) push(p *sluice.Packet) {
	if l.video == nil {
		l.sound.Push(p, l.hear)
		return
	}
	l.video.Push(p, l.see)
	if n := l.video.Dropped(); n > l.dropped {
		l.show.recorder.counters.dropped.Add(int64(n - l.dropped))
		l.dropped = n
	}
}

// place returns the time of a unit on the recording's timeline.
func (l *lane) place(u frame.Unit) time.Time {
	now, captured := l.show.tap.Now(), u.Captured
	if captured.After(now.Add(clockAhead)) || captured.Before(now.Add(-clockBehind)) {
		captured = now
	}
	at, broken := l.line.At(u.Timestamp, captured)
	if broken {
		l.show.log.Info("media time has jumped", "layer", l.id)
		l.show.split()
		l.shift = 0
		if newest := l.newest(); !at.Add(l.show.offset).After(newest) {
			l.shift = newest.Sub(at.Add(l.show.offset)) + afterShift
		}
	}
	at = at.Add(l.shift)
	if l.show.record == nil {
		l.show.start(at)
	}
	return at.Add(l.show.offset)
}

// afterShift lies between the newest sample and the next where time was set back.
const afterShift = 40 * time.Millisecond

// newest is the time of the newest sample.
func (l *lane) newest() time.Time {
	if l.out != nil {
		return l.out.newest()
	}
	return l.seen
}

func (l *lane) see(u frame.Unit) {
	at := l.place(u)
	if l.out == nil {
		l.show.transcode(l, u, at)
		return
	}
	if u.Format == nil || l.out.format(u.Format) {
		l.out.picture(at, u.Key, u.Data)
	}
}

func (l *lane) hear(u frame.Unit) {
	if u.Format != nil {
		l.format = u.Format
	}
	if (!l.out.running() || l.out.vacant) && l.show.waitsForVideo(u.Captured) {
		return
	}
	at := l.place(u)
	if l.format != nil && !l.out.format(l.format) {
		return
	}
	l.format = nil
	l.out.packet(at, u)
}

// pictured reports whether the lane brings pictures that are recorded.
func (l *lane) pictured() bool {
	return l.video != nil && l.track != 0 && (l.out != nil || l.show.recorder.canEncode())
}

// needsKeyframe reports whether nothing can be shown before a keyframe comes.
func (l *lane) needsKeyframe() bool {
	if l.out == nil {
		return l.video.NeedsKeyframe() || l.show.coder.wanted() && l.show.recorder.Encoder() != ""
	}
	return l.video.NeedsKeyframe() || l.out.lost
}

// flush closes what is open, since nothing will continue it.
func (l *lane) flush() {
	switch {
	case l.out == nil:
		l.show.coder.leave(l)
	case l.sound != nil:
		l.out.flush()
		l.show.coder.hush()
	default:
		l.out.flush()
	}
}
