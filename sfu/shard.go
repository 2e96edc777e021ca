package sfu

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/choice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/egress"
	"github.com/sluice-live/sluice/sfu/internal/estimate"
	"github.com/sluice-live/sluice/sfu/internal/extension"
	"github.com/sluice-live/sluice/sfu/internal/flexfec"
	"github.com/sluice-live/sluice/sfu/internal/prefetch"
)

const (
	// housekeeping is how often, about, a shard chooses layers and looks for waits
	// and reports that are due. It does so when it forwards media anyway: what is
	// sent then meets processors that are awake, a small part of the cost of waking
	// them.
	housekeeping = 100 * time.Millisecond
	// paceInterval is how often viewers with a backlog get their next share.
	paceInterval = time.Millisecond
	// reportInterval is the time between two sender reports of a viewer, and
	// answerInterval that of one whose path only the answers to them measure.
	reportInterval = 2 * int64(time.Second)
	answerInterval = 500 * int64(time.Millisecond)
	// commandQueue is how many commands may wait for a shard.
	commandQueue = 1024
)

// shard owns a slice of a stream's viewers and everything about them. Its
// goroutine is the only one that touches them.
type shard struct {
	stream *stream
	sfu    *SFU

	wakeup   chan struct{}
	frame    atomic.Bool // a frame is complete: send now
	stale    atomic.Bool // layers have come or gone: choose anew
	soon     atomic.Bool // what has come goes out within paceInterval
	waiting  atomic.Bool // a round is due: parts of frames need not ask for one
	commands chan command
	viewers  atomic.Int64 // members, and those on their way in

	members []*member
	index   map[*Viewer]int // of members
	first   int             // who is served first; rotates, so that nobody is always last
	menu    menu

	packets, bytes [kinds]uint64 // since the last flush to the SFU's counters
	late, padding  uint64
	repaired       uint64 // repair packets sent
	now            int64  // of this round
	next           int64  // when there is a round at the latest; 0: when something comes
	hold           int64  // how long packets wait for the rest of their frame
	hasty          bool   // somebody gets parts of frames as they come
	processors     int64  // of the process
	kept           int64  // when it last kept house
	sampled        int64  // arrival of the packet whose delay was observed last
	probing        bool   // what is sent now belongs to a probe
	changed        bool   // a report has changed what a viewer gets
	patched, rtx   [maxPacket + 2]byte
	header         [maxHeader]byte
	repair         [maxPacket + flexfec.HeaderBytes]byte
	dependency     [codec.MaxDependency]byte // extension of the packet that is being sent
	extras         [2]extension.Element
	even           evenness // of the frame that is being sent
	batch          *egress.Batch
}

// member is a viewer as its shard knows it.
type member struct {
	viewer       *Viewer
	video, audio *outlet // nil when not negotiated
	want         sluice.LayerChoice
	reported     int64 // when the last sender report went out
	asking       int64 // when it is asked for its consent next
	joined       bool  // its first video packet has been sent
	nacks, plis  uint64
	resent       uint64
	paused       bool   // the other node needs the track of its branch not now
	counted      uint64 // bytes to another node that are counted as such
	reception    reception
	estimate     *estimate.Estimator // of the path; nil when there is nothing to choose
	meter        meter
	filler       filler
	choice       choice.State
	reason       choice.Reason // why it has its layer
	idle         bool          // there is nothing to choose from
	working      [workingSpans]prefetch.Span
}

func newShard(st *stream) *shard {
	return &shard{
		stream: st, sfu: st.sfu, wakeup: make(chan struct{}, 1), commands: make(chan command, commandQueue), index: map[*Viewer]int{},
		batch: egress.NewBatch(st.sfu.transport.socket), processors: int64(runtime.GOMAXPROCS(0)),
	}
}

// urgency is why a shard or a tap is woken.
type urgency uint8

const (
	framePart   urgency = iota // a packet that may wait for the rest of its frame
	layerEnd                   // one that may not, but others may be right behind it
	frameEnd                   // the last packet of a frame: now
	choices                    // layers have come or gone: choose anew, now
	frameTapped                // the last packet of a frame, for taps
)

// signal wakes the shard. It never blocks.
func (sh *shard) signal(u urgency) {
	switch u {
	case framePart:
		if sh.waiting.Load() {
			return
		}
	case layerEnd:
		if sh.soon.Swap(true) {
			return
		}
	case frameEnd:
		sh.frame.Store(true)
	case choices:
		sh.stale.Store(true)
	}
	select {
	case sh.wakeup <- struct{}{}:
	default:
	}
}

// do hands a command over and waits for room in the queue.
func (sh *shard) do(c command) {
	select {
	case sh.commands <- c:
	case <-sh.stream.stop:
	}
}

// offer hands a command over unless the shard is too busy.
func (sh *shard) offer(c command) {
	select {
	case sh.commands <- c:
	default:
		sh.sfu.counters.commandsDropped.Add(1)
	}
}

// run serves the viewers until the stream ends.
func (sh *shard) run() {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	pace := time.NewTimer(time.Hour)
	defer pace.Stop()
	for {
		select {
		case <-sh.wakeup:
			if !sh.frame.Swap(false) && !sh.stale.Load() {
				sh.schedule(pace, sh.sfu.now()+sh.patience())
				continue
			}
		case <-pace.C:
		case <-tick.C:
			if sh.sfu.now()-sh.kept < int64(housekeeping) {
				continue
			}
		case c := <-sh.commands:
			if !sh.obey(c) {
				sh.flush() // what was sent again
				continue
			}
		case <-sh.stream.stop:
			return
		}
		now := sh.sfu.now()
		sh.now = now
		due := now-sh.kept >= int64(housekeeping)*3/4
		if sh.stale.Swap(false) {
			sh.choose(now)
		}
		sh.round(pace)
		sh.flush()
		if due {
			sh.kept = now
			if sh.choose(now) {
				sh.schedule(pace, sh.sfu.now()) // no media may come that begins it
			}
			sh.reports(now)
		}
	}
}

// forward gives every viewer what is due to it, one viewer after the other, and
// reports whether some have more to come.
func (sh *shard) forward(now int64) (backlog bool) {
	c := &sh.sfu.counters
	sh.next, sh.hasty, sh.hold = 0, false, holdTime(c.viewers.Load()+c.branches.Load(), sh.processors)
	n := len(sh.members)
	if n == 0 {
		return false
	}
	sh.first = (sh.first + 1) % n
	for i := range n {
		m := sh.members[(sh.first+i)%n]
		sh.members[(sh.first+i+1)%n].fetch()
		prefetch.Of(sh.members[(sh.first+i+2)%n]).Fetch()
		if m.audio != nil && m.audio.forward(sh, now) {
			backlog = true
		}
		if m.video != nil && m.video.forward(sh, now) {
			backlog = true
		}
		if m.probe(sh, now) {
			backlog = true
		}
		m.fill(sh, now)
		if m.video != nil {
			m.ask(sh, now)
		}
		if !m.joined && m.viewer.carries == nil && m.video != nil && m.video.packets > 0 {
			m.joined = true
			sh.sfu.deps.JoinTime.Observe(time.Since(m.viewer.since).Seconds())
		}
	}
	return backlog
}

// flush sends what was batched, adds what was counted to the SFU's totals, and
// samples the delay.
func (sh *shard) flush() {
	sh.batch.Flush()
	if failed := sh.batch.Failed; failed > 0 {
		sh.batch.Failed = 0
		sh.sfu.counters.unsealed.Add(failed)
	}
	if sh.packets == [kinds]uint64{} && sh.late == 0 {
		return
	}
	c := &sh.sfu.counters
	for kind := range kinds {
		c.packetsOut[kind].Add(sh.packets[kind])
		c.bytesOut[kind].Add(sh.bytes[kind])
	}
	c.late.Add(sh.late)
	c.padding.Add(sh.padding)
	c.repairs.Add(sh.repaired)
	sh.repaired = 0
	sh.packets, sh.bytes, sh.late, sh.padding = [kinds]uint64{}, [kinds]uint64{}, 0, 0
	sh.sample()
}

// sample observes the delay of the first viewer's newest packet, once, when it was
// live and not out of the cache.
func (sh *shard) sample() {
	if len(sh.members) == 0 || sh.members[0].video == nil {
		return
	}
	o := sh.members[0].video
	arrival := o.newest.arrival
	if o.current != nil && arrival > o.begun && arrival != sh.sampled {
		sh.sampled = arrival
		sh.sfu.deps.ForwardDelay.Observe(float64(sh.sfu.now()-arrival) / 1e9)
	}
}

// choose chooses layers anew, and reports whether a probe is to be sent.
func (sh *shard) choose(now int64) (probing bool) {
	sh.menu.read(sh.stream.sources.Load(), now)
	for _, m := range sh.members {
		m.choose(&sh.menu, now)
		probing = probing || m.estimate != nil && m.estimate.Probing()
	}
	return probing
}

// reports sends the sender reports that are due: a player must know at once how
// the timestamps of another layer go on.
func (sh *shard) reports(now int64) {
	for _, m := range sh.members {
		if now-m.reported >= m.reportsAfter(now) || m.video != nil && m.video.begun > m.reported {
			m.reported = now
			sh.report(m, sh.sfu.now()) // the round may have taken a while
		}
	}
}

// reportsAfter is the time between two sender reports of the viewer.
func (m *member) reportsAfter(now int64) int64 {
	switch {
	case m.estimate == nil || !m.estimate.NeedsReports():
		return reportInterval
	case m.estimate.HoldsReports(now):
		return math.MaxInt64
	}
	return answerInterval
}

// report sends the sender reports of a viewer's tracks: the capture clock that
// all layers share, in the viewer's own timestamps (RFC 3550 section 6.4.1). It
// returns the middle of that of the video, 0 when none was sent.
func (sh *shard) report(m *member, now int64) (middle uint32) {
	var reports []rtcp.Packet
	ntp := ntpTime(sh.sfu.wall(now))
	for _, o := range []*outlet{m.video, m.audio} {
		if o == nil || o.current == nil || o.packets == 0 {
			continue
		}
		reports = append(reports, &rtcp.SenderReport{
			SSRC: o.track.ssrc, NTPTime: ntp,
			RTPTime:     o.line.Current().Timestamp(o.current.clock.timestampAt(now)),
			PacketCount: o.reported.packets, OctetCount: o.reported.octets,
		})
	}
	if m.viewer.carries != nil {
		sent := m.snapshot().BytesSent
		sh.sfu.counters.relayedOut.Add(sent - m.counted)
		m.counted = sent
	}
	if len(reports) == 0 {
		return 0
	}
	if err := m.viewer.rtcp.WriteRTCP(reports); err != nil {
		m.viewer.log.Debug("send reports", "err", err)
		return 0
	}
	if m.video == nil || m.video.current == nil || m.video.packets == 0 {
		return 0
	}
	return uint32(ntp >> 16)
}
