package client

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

const (
	firstReport    = 50 * time.Millisecond // when every track has sent something
	reportInterval = time.Second
	maxBehind      = time.Second            // a stall longer than this is skipped, not caught up
	burst          = 100 * time.Millisecond // requests for several layers that one keyframe answers
)

// cursor walks a track in a loop. Media time never goes back: each round, and
// each jump, moves base.
type cursor struct {
	next  int           // frame to send
	base  time.Duration // media time of the clip's start in this round
	fresh time.Duration // the frame at this media time or after it is to be a keyframe; 0: none is
}

// due returns the media time of the next frame.
func (t *outTrack) due() time.Duration { return t.cursor.base + t.media.At(t.cursor.next) }

// advance moves to the next frame, and to the next round where the period ends
// even when the track is longer.
func (t *outTrack) advance(period time.Duration) {
	t.cursor.next++
	if t.cursor.next >= t.media.Len() || t.media.At(t.cursor.next) >= period {
		t.cursor.next = 0
		t.cursor.base += period
	}
}

// jump makes the next keyframe due at media time at.
func (t *outTrack) jump(at time.Duration) {
	for range t.media.Len() {
		if t.media.Key(t.cursor.next) {
			break
		}
		t.cursor.next = (t.cursor.next + 1) % t.media.Len()
	}
	t.cursor.base = at - t.media.At(t.cursor.next)
}

// pacer sends all tracks of a clip on one clock. Every frame is due at an
// absolute time, so that lateness of one does not move the others.
type pacer struct {
	tracks    []*outTrack
	period    time.Duration
	onRequest bool // jump to a keyframe when asked for one
	rtcp      func([]rtcp.Packet) error
	answered  time.Duration  // media time of the newest keyframe that was asked for
	skipped   *atomic.Uint64 // stalls
}

// run sends until ctx ends or a write fails.
func (p *pacer) run(ctx context.Context) error {
	start := time.Now()
	nextReport := firstReport
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		track := p.first()
		timer.Reset(max(0, track.due()-time.Since(start)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if now := time.Since(start); now-track.due() > maxBehind {
			p.skip(now)
		}
		if err := p.sendNext(track); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(start) >= nextReport {
			if err := p.report(now, now.Sub(start)); err != nil {
				return err
			}
			nextReport = now.Sub(start) + reportInterval
		}
	}
}

// first returns the track whose next frame is due first.
func (p *pacer) first() *outTrack {
	track := p.tracks[0]
	for _, t := range p.tracks[1:] {
		if t.due() < track.due() {
			track = t
		}
	}
	return track
}

// skip moves all tracks to media time now: layers stay together, and sound goes on
// where the picture does.
func (p *pacer) skip(now time.Duration) {
	p.skipped.Add(1)
	for _, t := range p.tracks {
		for t.due() < now {
			t.advance(p.period)
		}
	}
	picture := slices.IndexFunc(p.tracks, func(t *outTrack) bool { return t.Kind() == webrtc.RTPCodecTypeVideo })
	for _, t := range p.tracks {
		if picture < 0 || t.Kind() == webrtc.RTPCodecTypeVideo {
			t.jump(now)
		}
	}
	for _, t := range p.tracks {
		if picture >= 0 && t.Kind() != webrtc.RTPCodecTypeVideo {
			t.cursor.next, t.cursor.base = 0, p.tracks[picture].cursor.base
			for t.due() < now {
				t.advance(p.period)
			}
		}
	}
}

// answer makes the next frame that no layer has sent yet a keyframe of all layers
// when one of them was asked for it, as the encoders of browsers do.
func (p *pacer) answer() {
	asked, next := false, time.Duration(0)
	for _, t := range p.tracks {
		asked = t.wantKey.Swap(false) || asked
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			next = max(next, t.due())
		}
	}
	if !asked || !p.onRequest || p.answered > 0 && next < p.answered+burst {
		return
	}
	p.answered = next
	for _, t := range p.tracks {
		if t.Kind() == webrtc.RTPCodecTypeVideo {
			t.cursor.fresh = next
		}
	}
}

func (p *pacer) sendNext(t *outTrack) error {
	p.answer()
	if t.cursor.fresh > 0 && t.due() >= t.cursor.fresh {
		t.cursor.fresh = 0
		if !t.media.Key(t.cursor.next) {
			t.jump(t.due())
		}
	}
	frame, err := t.media.Frame(t.cursor.next)
	if err != nil {
		return err
	}
	if err := t.send(frame, t.due(), t.media.Key(t.cursor.next)); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	t.advance(p.period)
	return nil
}

// report sends one sender report per track, all about the same instant, so that
// a receiver can align sound and layers exactly.
func (p *pacer) report(now time.Time, at time.Duration) error {
	for _, t := range p.tracks {
		sr := t.report(now, at)
		if sr == nil {
			continue
		}
		cname := rtcp.NewCNAMESourceDescription(sr.SSRC, streamID)
		if err := p.rtcp([]rtcp.Packet{sr, cname}); err != nil {
			return fmt.Errorf("reporting: %w", err)
		}
	}
	return nil
}
