package client

import (
	"sync"
	"time"

	"github.com/pion/rtp"
)

const (
	maxGap      = 1000 // sequence numbers; a larger jump is no loss but a break
	maxPartials = 16   // frames in assembly
	nackAge     = time.Second
	nackTries   = 10
	nackEvery   = 60 * time.Millisecond
)

// TrackStats is what a viewer has received of one track.
type TrackStats struct {
	Kind  string `json:"kind"`  // "audio" or "video"
	Codec string `json:"codec"` // MIME type
	SSRC  uint32 `json:"ssrc"`

	Packets    uint64  `json:"packets"` // without duplicates
	Bytes      uint64  `json:"bytes"`   // header and payload
	Lost       uint64  `json:"lost"`    // expected and not here until now
	Reordered  uint64  `json:"reordered"`
	Duplicates uint64  `json:"duplicates"`
	Repaired   uint64  `json:"repaired"` // came by retransmission
	NACKs      uint64  `json:"nacks"`    // sequence numbers that we asked for
	JitterMS   float64 `json:"jitterMs"` // RFC 3550 6.4.1

	Frames     uint64 `json:"frames"` // complete ones
	Keyframes  uint64 `json:"keyframes"`
	Incomplete uint64 `json:"incomplete"` // frames given up for lost packets
	Width      int    `json:"width"`      // of the last keyframe
	Height     int    `json:"height"`

	// Since the POST was sent; 0: not yet.
	FirstPacket   time.Duration `json:"firstPacketNs"`
	FirstKeyframe time.Duration `json:"firstKeyframeNs"` // its first packet
	FirstFrame    time.Duration `json:"firstFrameNs"`    // a complete keyframe

	Breaks Breaks `json:"breaks"`
}

// Breaks counts what a server that forwards one continuous stream never does.
type Breaks struct {
	Sequence  uint64 `json:"sequence"`  // a jump that loss does not explain
	Timestamp uint64 `json:"timestamp"` // one that went back
	PictureID uint64 `json:"pictureId"` // VP8: not one more than the frame before
	SSRC      uint64 `json:"ssrc"`      // a second track of the same kind
}

// Total returns the sum of all breaks.
func (b Breaks) Total() uint64 { return b.Sequence + b.Timestamp + b.PictureID + b.SSRC }

// FrameInfo describes a complete video frame.
type FrameInfo struct {
	At            time.Time // arrival of its last packet
	First         time.Time // arrival of its first packet
	Timestamp     uint32
	Key           bool
	Width, Height int // of a keyframe
	Packets       int
}

// inTrack follows one received stream. push is called by one goroutine, the
// rest by any.
type inTrack struct {
	rate    float64
	posted  time.Time
	onFrame func(FrameInfo) // called without the lock; may be nil

	mu          sync.Mutex
	stats       TrackStats // Kind, Codec and SSRC never change
	plis        uint64     // sent by us
	started     bool
	first, high int64 // extended sequence numbers
	timestamp   uint32
	pictureID   int // of the last in-order packet; -1: none
	transit     float64
	jitter      float64 // in ticks
	missing     map[int64]*missing
	partials    map[uint32]*partial
	ended       map[int64]struct{} // frame ends seen, extended sequence numbers
	order       []uint32           // keys of partials, oldest first
}

type missing struct {
	since, asked time.Time
	tries        int
}

// partial is a frame in assembly.
type partial struct {
	info        FrameInfo
	first, last int64 // of what is here
	starts      bool  // first is the frame's first packet
	ends        bool  // last is the frame's last packet
}

func newInTrack(kind, mime string, ssrc, rate uint32, posted time.Time) *inTrack {
	return &inTrack{
		rate: float64(rate), posted: posted, pictureID: -1,
		stats:    TrackStats{Kind: kind, Codec: mime, SSRC: ssrc},
		missing:  map[int64]*missing{},
		partials: map[uint32]*partial{}, ended: map[int64]struct{}{},
	}
}

// push takes a packet as it arrives.
func (t *inTrack) push(p *rtp.Packet, size int, repaired bool, now time.Time) {
	done := t.account(p, size, repaired, now)
	if done != nil && t.onFrame != nil {
		t.onFrame(done.info)
	}
}

func (t *inTrack) account(p *rtp.Packet, size int, repaired bool, now time.Time) *partial {
	t.mu.Lock()
	defer t.mu.Unlock()
	seq, fresh := t.sequence(p.SequenceNumber, now)
	if !fresh {
		t.stats.Duplicates++
		return nil
	}
	s := &t.stats
	s.Packets++
	s.Bytes += uint64(size)
	if repaired {
		s.Repaired++
	} else {
		t.updateJitter(p.Timestamp, now)
	}
	if s.FirstPacket == 0 {
		s.FirstPacket = now.Sub(t.posted)
	}
	if s.Kind != "video" {
		t.checkOrder(seq, p, payloadFacts{pictureID: -1})
		return nil
	}
	facts := inspect(s.Codec, p.Payload)
	t.checkOrder(seq, p, facts)
	if len(p.Payload) == 0 { // padding
		t.ended[seq] = struct{}{}
		return nil
	}
	if facts.key && s.FirstKeyframe == 0 {
		s.FirstKeyframe = now.Sub(t.posted)
	}
	return t.assemble(seq, p, facts, now)
}

// sequence extends a sequence number and accounts for loss. fresh is false for a
// packet that was here before.
func (t *inTrack) sequence(number uint16, now time.Time) (seq int64, fresh bool) {
	if !t.started {
		t.started = true
		t.first, t.high = int64(number), int64(number)
		return t.high, true
	}
	delta := int64(int16(number - uint16(t.high)))
	seq = t.high + delta
	switch {
	case delta > maxGap || delta < -maxGap:
		t.stats.Breaks.Sequence++
		clear(t.missing)
		clear(t.partials)
		clear(t.ended)
		t.order = t.order[:0]
		t.high, t.pictureID = seq, -1
	case delta > 0:
		for m := t.high + 1; m < seq; m++ {
			t.missing[m] = &missing{since: now}
			t.stats.Lost++
		}
		t.high = seq
	default:
		if _, ok := t.missing[seq]; !ok {
			return seq, false
		}
		delete(t.missing, seq)
		t.stats.Lost--
		t.stats.Reordered++
	}
	return seq, true
}

// checkOrder compares with the packet before, when nothing is missing between.
func (t *inTrack) checkOrder(seq int64, p *rtp.Packet, facts payloadFacts) {
	if seq != t.high {
		return
	}
	if t.stats.Packets > 1 && int32(p.Timestamp-t.timestamp) < 0 {
		t.stats.Breaks.Timestamp++
	}
	_, gap := t.missing[seq-1]
	if facts.pictureID >= 0 && t.pictureID >= 0 && !gap {
		step := (facts.pictureID - t.pictureID) & 0x7fff
		same := p.Timestamp == t.timestamp
		if same && step != 0 || !same && step != 1 {
			t.stats.Breaks.PictureID++
		}
	}
	t.timestamp = p.Timestamp
	if facts.pictureID >= 0 {
		t.pictureID = facts.pictureID
	}
}

func (t *inTrack) updateJitter(timestamp uint32, now time.Time) {
	arrival := now.Sub(t.posted).Seconds() * t.rate
	transit := arrival - float64(timestamp)
	if t.stats.Packets > 1 {
		d := transit - t.transit
		if d < 0 {
			d = -d
		}
		if d < t.rate*10 { // not across a wrap of the timestamp or a break
			t.jitter += (d - t.jitter) / 16
		}
	}
	t.transit = transit
	t.stats.JitterMS = t.jitter / t.rate * 1000
}

// assemble adds a packet to its frame and returns the frame when it is complete.
func (t *inTrack) assemble(seq int64, p *rtp.Packet, facts payloadFacts, now time.Time) *partial {
	f := t.partials[p.Timestamp]
	if f == nil {
		f = &partial{first: seq, last: seq, info: FrameInfo{First: now, Timestamp: p.Timestamp}}
		t.partials[p.Timestamp] = f
		t.order = append(t.order, p.Timestamp)
		t.evict()
	}
	f.info.Packets++
	f.info.At = now
	f.info.Key = f.info.Key || facts.key
	if facts.width > 0 {
		f.info.Width, f.info.Height = facts.width, facts.height
	}
	if seq <= f.first {
		f.first = seq
		f.starts = f.starts || facts.start
	}
	f.last = max(f.last, seq)
	if p.Marker {
		f.ends = true
		t.ended[seq] = struct{}{}
		if next := t.after(seq + 1); next != nil && next != f {
			next.starts = true
		}
	}
	if _, ok := t.ended[f.first-1]; ok {
		f.starts = true
	}
	return t.complete(f)
}

// after returns the frame in assembly whose earliest packet is seq.
func (t *inTrack) after(seq int64) *partial {
	for _, f := range t.partials {
		if f.first == seq {
			return f
		}
	}
	return nil
}

func (t *inTrack) complete(f *partial) *partial {
	if !f.starts || !f.ends || int64(f.info.Packets) != f.last-f.first+1 {
		return nil
	}
	s := &t.stats
	s.Frames++
	if f.info.Key {
		s.Keyframes++
		if f.info.Width > 0 {
			s.Width, s.Height = f.info.Width, f.info.Height
		}
		if s.FirstFrame == 0 {
			s.FirstFrame = f.info.At.Sub(t.posted)
		}
	}
	delete(t.partials, f.info.Timestamp)
	for i, ts := range t.order {
		if ts == f.info.Timestamp {
			t.order = append(t.order[:i], t.order[i+1:]...)
			break
		}
	}
	delete(t.ended, f.first-1)
	return f
}

func (t *inTrack) evict() {
	for len(t.order) > maxPartials {
		delete(t.partials, t.order[0])
		t.order = t.order[1:]
		t.stats.Incomplete++
	}
	if len(t.ended) > 4*maxPartials {
		for seq := range t.ended {
			if seq < t.high-maxGap {
				delete(t.ended, seq)
			}
		}
	}
}

// wanted returns the sequence numbers to ask for now.
func (t *inTrack) wanted(now time.Time) []uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var want []uint16
	for seq, m := range t.missing {
		if now.Sub(m.since) > nackAge || m.tries >= nackTries {
			if now.Sub(m.since) > 10*nackAge {
				delete(t.missing, seq)
			}
			continue
		}
		if now.Sub(m.asked) < nackEvery {
			continue
		}
		m.asked = now
		m.tries++
		want = append(want, uint16(seq))
	}
	t.stats.NACKs += uint64(len(want))
	return want
}

func (t *inTrack) snapshot() TrackStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}
