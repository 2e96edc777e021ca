package sfu

import "sync/atomic"

// Observer takes samples of a duration in seconds, such as a histogram.
type Observer interface{ Observe(seconds float64) }

type discard struct{}

func (discard) Observe(float64) {}

// Kind of media, as an index of counters.
const (
	Video = iota
	Audio
	kinds
)

// Counters are totals since the SFU started.
type Counters struct {
	PacketsIn, BytesIn   [kinds]uint64 // RTP from publishers
	PacketsOut, BytesOut [kinds]uint64 // RTP to viewers, retransmissions included
	Padding              uint64        // bytes of these that only probe a path
	Resent, ResentIn     uint64        // packets sent again in answer to NACK, and those of publishers on RTX
	NACKsIn, NACKsOut    uint64        // packets that viewers asked for, and that we asked publishers for
	PLIsIn, PLIsOut      uint64        // from viewers, to publishers
	RepairsOut           uint64        // repair packets to viewers
	Restored             uint64        // packets of publishers that were lost and made again from redundancy

	SwitchesChosen uint64 // layer switches that a viewer asked for
	SwitchesAuto   uint64 // and those that it did not

	DroppedOverrun   uint64 // packets skipped because a viewer fell behind the ring
	DroppedLate      uint64 // packets from before a switch that came after it
	DroppedMalformed uint64 // from publishers
	DroppedDuplicate uint64
	ResendRefused    uint64 // packets not sent again: forgotten, or over the budget
	CommandsDropped  uint64 // feedback lost to a busy shard
	SessionsFailed   uint64 // ended before they connected
	SendFailed       uint64 // packets that could not be encrypted or handed to the kernel

	RelayedIn, RelayedOut uint64 // bytes of these from and to other nodes

	PublishersNow, ViewersNow   int64
	RelaysNow, BranchesNow      int64 // streams pulled from other nodes, and other nodes' pulls from here
	SessionsPending, StreamsNow int64
}

// counters are the live form of Counters.
type counters struct {
	packetsIn, bytesIn, packetsOut, bytesOut                                         [kinds]atomic.Uint64
	padding, resent, resentIn, nacksIn, nacksOut, plisIn, plisOut, restored, repairs atomic.Uint64
	switchesChosen, switchesAuto                                                     atomic.Uint64
	overrun, late, malformed, duplicate, resendRefused                               atomic.Uint64
	commandsDropped, sessionsFailed, unsealed                                        atomic.Uint64
	relayedIn, relayedOut                                                            atomic.Uint64
	publishers, viewers, pending, relays, branches                                   atomic.Int64
}

func load(c *[kinds]atomic.Uint64) [kinds]uint64 {
	return [kinds]uint64{c[Video].Load(), c[Audio].Load()}
}

// Counters returns the totals.
func (s *SFU) Counters() Counters {
	c := &s.counters
	return Counters{
		PacketsIn: load(&c.packetsIn), BytesIn: load(&c.bytesIn),
		PacketsOut: load(&c.packetsOut), BytesOut: load(&c.bytesOut), Padding: c.padding.Load(),
		Resent: c.resent.Load(), ResentIn: c.resentIn.Load(), NACKsIn: c.nacksIn.Load(), NACKsOut: c.nacksOut.Load(),
		PLIsIn: c.plisIn.Load(), PLIsOut: c.plisOut.Load(), Restored: c.restored.Load(), RepairsOut: c.repairs.Load(),
		SwitchesChosen: c.switchesChosen.Load(), SwitchesAuto: c.switchesAuto.Load(),
		DroppedOverrun: c.overrun.Load(), DroppedLate: c.late.Load(),
		DroppedMalformed: c.malformed.Load(), DroppedDuplicate: c.duplicate.Load(),
		ResendRefused: c.resendRefused.Load(), CommandsDropped: c.commandsDropped.Load(),
		SessionsFailed: c.sessionsFailed.Load(), SendFailed: c.unsealed.Load(),
		RelayedIn: c.relayedIn.Load(), RelayedOut: c.relayedOut.Load(),
		RelaysNow: c.relays.Load(), BranchesNow: c.branches.Load(),
		PublishersNow: c.publishers.Load(), ViewersNow: c.viewers.Load(),
		SessionsPending: c.pending.Load(), StreamsNow: int64(s.streamCount()),
	}
}
