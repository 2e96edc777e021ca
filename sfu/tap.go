package sfu

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	// repairPatience is how long a tap waits for a missing packet that the
	// publisher may send again, and orderPatience for one that it will not.
	repairPatience = int64(time.Second)
	orderPatience  = int64(100 * time.Millisecond)
	// settleLeast and settleMost bound the time that a new publisher's tracks get
	// to appear and to report their clocks before any of it is delivered.
	settleLeast = int64(300 * time.Millisecond)
	settleMost  = int64(3 * time.Second)
	// tapInterval is the least time between two notices that a tap can read more.
	tapInterval = int64(20 * time.Millisecond)
)

// Tap is a viewer without a network: it reads every layer of a stream out of the
// layers' rings. It holds nobody up: what it does not read in time is lost to
// it and counted. One goroutine uses it.
type Tap struct {
	stream  *stream
	cursors []*cursor
	settled *Publisher // whose tracks are delivered
	grown   chan struct{}
	noticed atomic.Int64 // when grown was last signalled
}

// cursor is how far a tap is in one layer.
type cursor struct {
	layer   *layer
	track   *sluice.Track
	arrived uint64 // ring index of the next packet to be noticed
	newest  uint64 // greatest sequence number noticed
	next    uint64 // sequence number to deliver
	since   int64  // when next was found missing; 0: it was not
	lost    int    // not delivered yet
}

// Tap opens a tap of a stream that has a publisher, or waits for its return. It
// must be closed.
func (s *SFU) Tap(name string) (*Tap, error) {
	st := s.stream(name, false)
	if st == nil {
		return nil, errOffline()
	}
	t := &Tap{stream: st, grown: make(chan struct{}, 1)}
	st.tap(t)
	return t, nil
}

// Close gives the stream up.
func (t *Tap) Close() {
	t.stream.untap(t)
	for _, c := range t.cursors {
		c.layer.taps.Add(-1)
	}
	t.cursors = nil
	t.stream.sfu.unuse(t.stream)
}

// State says whether the stream has a publisher that sends.
func (t *Tap) State() sluice.StreamState {
	t.stream.mu.Lock()
	defer t.stream.mu.Unlock()
	return t.stream.state
}

// Now is the time on the clock of Packet.Captured.
func (t *Tap) Now() time.Time { return t.stream.sfu.wall(t.stream.sfu.now()) }

// wall converts a time on the SFU's clock. It never jumps.
func (s *SFU) wall(at int64) time.Time { return s.start.Add(time.Duration(at)).Round(0) }

// AskKeyframe asks the publisher for a keyframe of one track. With due set it
// asks nobody who is known not to answer.
func (t *Tap) AskKeyframe(track uint64, due bool) {
	now := t.stream.sfu.now()
	for _, c := range t.cursors {
		if c.track.ID == track && c.layer.active(now) && !(due && c.layer.keyframes.ignored(now)) {
			c.layer.askKeyframe(now)
		}
	}
}

// Grown receives when a frame has come since the last Read, at most each
// tapInterval: then processors are awake anyway.
func (t *Tap) Grown() <-chan struct{} { return t.grown }

// notice signals Grown. It never blocks.
func (t *Tap) notice(now int64) {
	if now-t.noticed.Load() < tapInterval {
		return
	}
	t.noticed.Store(now)
	select {
	case t.grown <- struct{}{}:
	default:
	}
}

// tap and untap keep the list of who is to be told of frames.
func (st *stream) tap(t *Tap) {
	st.mu.Lock()
	defer st.mu.Unlock()
	taps := append(slices.Clone(*st.taps.Load()), t)
	st.taps.Store(&taps)
}

func (st *stream) untap(t *Tap) {
	st.mu.Lock()
	defer st.mu.Unlock()
	taps := slices.DeleteFunc(slices.Clone(*st.taps.Load()), func(o *Tap) bool { return o == t })
	st.taps.Store(&taps)
}

// Read calls f with the packets that have come since the last call: video
// before audio, and in the order of each track. A packet that is missing is
// waited for, so that Read is to be called at least every tenth of a second. It
// reports the tracks that the stream has now.
func (t *Tap) Read(f func(*sluice.Packet)) []*sluice.Track {
	now := t.stream.sfu.now()
	src := t.stream.sources.Load()
	t.follow(src, now, f)
	tracks := make([]*sluice.Track, 0, len(t.cursors))
	for _, c := range t.cursors {
		c.deliver(t.stream.sfu, now, false, f)
		tracks = append(tracks, c.track)
	}
	return tracks
}

// follow opens cursors for layers that have come, and closes those of layers
// that have gone after delivering what they still hold.
func (t *Tap) follow(src *sources, now int64, f func(*sluice.Packet)) {
	all := src.all()
	kept := t.cursors[:0]
	for _, c := range t.cursors {
		if contains(all, c.layer) {
			kept = append(kept, c)
			continue
		}
		c.deliver(t.stream.sfu, now, true, f)
		c.layer.taps.Add(-1)
	}
	t.cursors = kept
	if len(all) == 0 || src.publisher == nil {
		return
	}
	if t.settled != src.publisher {
		if !settled(src, now) {
			return
		}
		t.settled = src.publisher
	}
	for i, l := range all {
		if i < len(t.cursors) && t.cursors[i].layer == l || t.holds(l) || !l.settled(now) {
			continue
		}
		t.open(l, src.publisher.id)
	}
}

func contains(all []*layer, l *layer) bool {
	for _, other := range all {
		if other == l {
			return true
		}
	}
	return false
}

func (t *Tap) holds(l *layer) bool {
	for _, c := range t.cursors {
		if c.layer == l {
			return true
		}
	}
	return false
}

// open starts a cursor at the oldest packet that is of use: the very first, or
// the newest keyframe. Video stays before audio.
func (t *Tap) open(l *layer, publisher string) {
	l.taps.Add(1)
	c := &cursor{layer: l, track: &sluice.Track{
		ID: t.stream.sfu.tracks.Add(1), Publisher: publisher, RID: l.rid, Codec: l.codec.String(),
		Format: l.fmtp, Video: l.codec.Video(), ClockRate: int(l.codec.ClockRate()),
	}}
	c.seek()
	at := len(t.cursors)
	if c.track.Video {
		for at > 0 && !t.cursors[at-1].track.Video {
			at--
		}
	}
	t.cursors = append(t.cursors, nil)
	copy(t.cursors[at+1:], t.cursors[at:])
	t.cursors[at] = c
}

func (c *cursor) seek() {
	r := c.layer.ring
	from := r.Head()
	if r.At(0) != nil {
		from = 0
	} else if index, ok := c.layer.keyframe(); ok {
		from = index
	}
	c.arrived = from
	if p := r.At(from); p != nil {
		c.next = p.Seq
	}
}

// settled reports whether a publisher's tracks have all come and know their
// clocks, or have had their time.
func settled(src *sources, now int64) bool {
	first := now
	ready := true
	for _, l := range src.all() {
		start := l.clock.first.Load()
		if start == nil {
			ready = false
			continue
		}
		first = min(first, start.at)
		if !l.settled(now) {
			return false
		}
		ready = ready && l.clock.exact()
	}
	if offer := src.publisher.offer; offer != nil {
		ready = ready && (len(src.video) > 0 || offer.section("video") == nil) && (src.audio != nil || offer.section("audio") == nil)
	}
	age := now - first
	return age >= settleLeast && (ready || age >= settleMost)
}

// settled reports whether a layer's times can be relied on, as far as they ever
// will: reports have come, or do not come, or its ring would overflow.
func (l *layer) settled(now int64) bool {
	start := l.clock.first.Load()
	if start == nil {
		return false
	}
	return l.clock.exact() || now-start.at >= settleMost || l.ring.Head() > l.ring.Size()/2
}

// deliver hands over what is there in order. What is missing is waited for,
// unless last is set.
func (c *cursor) deliver(s *SFU, now int64, last bool, f func(*sluice.Packet)) {
	r := c.layer.ring
	for head := r.Head(); c.arrived < head; c.arrived++ {
		p := r.At(c.arrived)
		if p == nil {
			continue // overwritten: its number will be found missing
		}
		if c.next == 0 {
			c.next = p.Seq
		}
		c.newest = max(c.newest, p.Seq)
	}
	for c.next != 0 && c.next <= c.newest {
		p := r.BySeq(c.next)
		if p == nil {
			if !last && !c.giveUp(now) {
				return
			}
			c.lost++
			c.next++
			continue
		}
		c.since = 0
		c.next++
		c.hand(s, p, f)
	}
	c.since = 0
}

// giveUp reports whether the next packet will not come any more.
func (c *cursor) giveUp(now int64) bool {
	if c.newest-c.next >= c.layer.ring.Size()/2 {
		return true
	}
	patience := orderPatience
	if c.layer.codec.Video() {
		patience = repairPatience
	}
	if c.since == 0 {
		c.since = now
	}
	return now-c.since >= patience
}

func (c *cursor) hand(s *SFU, p *ring.Packet, f func(*sluice.Packet)) {
	f(&sluice.Packet{
		Track: c.track, Lost: c.lost, Timestamp: p.Timestamp, Captured: s.wall(c.layer.clock.captured(p.Timestamp)),
		Marker: p.Marker, Payload: p.Payload,
	})
	c.lost = 0
}
