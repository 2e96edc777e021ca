package sfu

import (
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	// layerTimeout is how long a layer counts as active without a packet.
	layerTimeout = int64(time.Second)
	// typicalOver is the number of seconds that layer.bitrate evens out.
	typicalOver = 4
)

// layer is one incoming RTP stream: its ring, written by its reader, and what
// others want to know of it.
type layer struct {
	rid   string
	codec codec.Codec
	fmtp  string // the publisher's format parameters
	ssrc  uint32
	ring  *ring.Ring
	whole atomic.Uint64 // ring index behind the last packet that waits for no other; see unfinished
	clock clock

	red         redundancy
	delay       atomic.Uint32 // playout delay that the publisher asks for; see playout
	gop         atomic.Uint64 // 1 + index of the first packet of the newest keyframe; 0: none yet
	lastArrival atomic.Int64  // of a packet; SFU clock
	size        atomic.Uint64 // width<<32 | height of the newest keyframe

	keyframes keyframes
	request   chan<- *layer

	remote   *remote      // what another node says of it; nil for a real publisher's
	watchers atomic.Int64 // outlets that show it or want to
	taps     atomic.Int64 // taps that read it

	packets, bytes, frames atomic.Uint64
	rate                   atomic.Pointer[flow]

	// Of spatial and temporal layers, when packets tell of them.
	cells [codec.MaxSpatial][codec.MaxTemporal]cell
	sizes [codec.MaxSpatial]atomic.Uint64 // as size
}

// flow is what was measured over the last second.
type flow struct {
	at                     int64
	packets, bytes, frames uint64 // totals at that time
	bitrate                int    // bits per second
	typical                int    // the same, evened out over groups of pictures
	frameRate              float64

	cells  cells // totals
	rates  [codec.MaxSpatial][codec.MaxTemporal]int
	points []point // the best first; nil when there is only one
}

// kind is the index of counters.
func (l *layer) kind() int {
	if l.codec.Video() {
		return Video
	}
	return Audio
}

// active reports whether packets arrive.
func (l *layer) active(now int64) bool {
	last := l.lastArrival.Load()
	if told := l.elsewhere(); told != nil && (last == 0 || l.remote.resting.Load()) {
		return told.Active
	}
	return last > 0 && now-last < layerTimeout
}

// keyframe returns the index of the first packet of the newest keyframe that is
// still in the ring.
func (l *layer) keyframe() (index uint64, ok bool) {
	g := l.gop.Load()
	if l.rests() || g == 0 || l.ring.At(g-1) == nil {
		return 0, false
	}
	return g - 1, true
}

// askKeyframe asks the publisher for a keyframe, at most once in
// keyframeInterval whoever asks.
func (l *layer) askKeyframe(now int64) {
	if !l.keyframes.request(now) {
		return
	}
	select {
	case l.request <- l:
	default: // the publisher's goroutine is busy with earlier ones; asked again later
	}
}

// measure computes rates from the totals, once a second.
func (l *layer) measure(now int64) {
	r := &flow{at: now, packets: l.packets.Load(), bytes: l.bytes.Load(), frames: l.frames.Load(), cells: l.snapshot()}
	if last := l.rate.Load(); last != nil && now > last.at {
		seconds := float64(now-last.at) / 1e9
		r.bitrate = int(float64(r.bytes-last.bytes) * 8 / seconds)
		r.frameRate = float64(r.frames-last.frames) / seconds
		r.typical = r.bitrate
		if last.typical > 0 {
			r.typical = last.typical + (r.bitrate-last.typical)/typicalOver
		}
		r.rates = last.rates
		r.points = l.points(&r.cells, &last.cells, &r.rates, seconds)
	}
	l.rate.Store(r)
}

func (l *layer) dimensions() (width, height int) {
	s := l.size.Load()
	return int(s >> 32), int(s & 0xffffffff)
}

// video returns a snapshot for the outside.
func (l *layer) video(now int64) sluice.Layer {
	out := sluice.Layer{RID: l.rid, Codec: l.codec.String(), Active: l.active(now)}
	out.Width, out.Height = l.dimensions()
	if told := l.elsewhere(); told != nil && l.rests() {
		out.Bitrate, out.FrameRate = told.Bitrate, told.FrameRate
	} else if r := l.rate.Load(); r != nil && out.Active {
		out.Bitrate, out.FrameRate = r.bitrate, r.frameRate
		out.Points = l.described()
	}
	return out
}

// bitrate is the rate of the last seconds in bits per second.
func (l *layer) bitrate() int {
	if told := l.elsewhere(); told != nil && (l.rests() || l.lastArrival.Load() == 0) {
		return told.Bitrate
	}
	if r := l.rate.Load(); r != nil {
		return r.typical
	}
	return 0
}
