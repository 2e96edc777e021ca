package sfu

import "sync/atomic"

// Observer takes samples of a duration in seconds, such as a histogram.
type Observer interface{ Observe(seconds float64) }

type discard struct{}

func (discard) Observe(float64) {}

// Counters are totals since the SFU started.
type Counters struct {
	PacketsIn, BytesIn          uint64 // RTP from publishers
	PacketsOut, BytesOut        uint64 // RTP to viewers, retransmissions included
	Resent                      uint64 // packets sent again in answer to NACK
	NACKsIn                     uint64 // sequence numbers that viewers asked for
	PLIsIn, PLIsOut             uint64 // from viewers, to publishers
	Switches                    uint64 // layer switches
	DroppedOverrun              uint64 // packets skipped because a viewer fell behind the ring
	DroppedLate                 uint64 // packets from before a switch that came after it
	DroppedMalformed            uint64 // from publishers
	DroppedDuplicate            uint64
	ResendRefused               uint64 // packets not sent again: forgotten, or over the budget
	CommandsDropped             uint64 // feedback lost to a busy shard
	SessionsFailed              uint64 // ended before they connected
	SendFailed                  uint64 // packets that could not be encrypted or handed to the kernel
	PublishersNow, ViewersNow   int64
	SessionsPending, StreamsNow int64
}

// counters are the live form of Counters.
type counters struct {
	packetsIn, bytesIn, packetsOut, bytesOut           atomic.Uint64
	resent, nacksIn, plisIn, plisOut, switches         atomic.Uint64
	overrun, late, malformed, duplicate, resendRefused atomic.Uint64
	commandsDropped, sessionsFailed, unsealed          atomic.Uint64
	publishers, viewers, pending                       atomic.Int64
}

// Counters returns the totals.
func (s *SFU) Counters() Counters {
	c := &s.counters
	return Counters{
		PacketsIn: c.packetsIn.Load(), BytesIn: c.bytesIn.Load(),
		PacketsOut: c.packetsOut.Load(), BytesOut: c.bytesOut.Load(),
		Resent: c.resent.Load(), NACKsIn: c.nacksIn.Load(),
		PLIsIn: c.plisIn.Load(), PLIsOut: c.plisOut.Load(), Switches: c.switches.Load(),
		DroppedOverrun: c.overrun.Load(), DroppedLate: c.late.Load(),
		DroppedMalformed: c.malformed.Load(), DroppedDuplicate: c.duplicate.Load(),
		ResendRefused: c.resendRefused.Load(), CommandsDropped: c.commandsDropped.Load(),
		SessionsFailed: c.sessionsFailed.Load(), SendFailed: c.unsealed.Load(),
		PublishersNow: c.publishers.Load(), ViewersNow: c.viewers.Load(),
		SessionsPending: c.pending.Load(), StreamsNow: int64(s.streamCount()),
	}
}
