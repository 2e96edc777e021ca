package estimate

import "github.com/pion/rtcp"

const (
	// referenceUnit is the unit of a report's reference time, 64 ms
	// (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
	referenceUnit = 64 * millisecond
	// maxChunks is more than fit into a packet of 1500 bytes.
	maxChunks = 1024
	// maxLeap is a change of delay that no queue makes: a clock was set, or the
	// report lies.
	maxLeap = 10 * second
)

// feedbackClock is where the reports of one receiver stand.
type feedbackClock struct {
	begun     bool
	reference uint32 // of the newest report, 24 bits
	base      int64  // the same, unwrapped, in microseconds
	count     uint8  // of the newest report
}

// open returns the unwrapped reference time of a report and whether reports
// before it are missing.
func (c *feedbackClock) open(fb *rtcp.TransportLayerCC) (base int64, gap bool) {
	if !c.begun {
		*c = feedbackClock{begun: true, reference: fb.ReferenceTime, count: fb.FbPktCount}
		c.base = int64(fb.ReferenceTime&0xffffff) * referenceUnit
		return c.base, false
	}
	diff := int32((fb.ReferenceTime-c.reference)<<8) >> 8
	base = c.base + int64(diff)*referenceUnit
	step := int8(fb.FbPktCount - c.count)
	if step > 0 {
		c.reference, c.base, c.count = fb.ReferenceTime, base, fb.FbPktCount
	}
	return base, step > 1
}

// Feedback takes a transport-wide report that arrived at now. Packets that were
// not sent, are forgotten, or were acknowledged before are ignored.
func (e *Estimator) Feedback(fb *rtcp.TransportLayerCC, now int64) {
	if fb == nil || e.history == nil {
		return
	}
	if e.source == sourceREMB || e.source == sourceLoss {
		e.forgetTiming() // the delays were round trips
	}
	base, gap := e.feedback.open(fb)
	if gap {
		e.acked.restart() // what the missing report told was not nothing
	}
	e.losses.open()
	p := reading{e: e, now: now / 1000, arrival: base, seq: fb.BaseSequenceNumber, deltas: fb.RecvDeltas}
	left := int(fb.PacketStatusCount)
	for _, chunk := range fb.PacketChunks[:min(len(fb.PacketChunks), maxChunks)] {
		if left <= 0 || p.failed {
			break
		}
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			if c == nil {
				return
			}
			n := min(left, int(c.RunLength))
			p.run(c.PacketStatusSymbol, n)
			left -= n
		case *rtcp.StatusVectorChunk:
			if c == nil {
				return
			}
			for _, symbol := range c.SymbolList[:min(left, len(c.SymbolList))] {
				p.run(symbol, 1)
				left--
			}
		}
	}
	if !p.heard {
		return
	}
	e.heard, e.unheard, e.source = p.now, 0, sourceTransport
	e.floor.close(p.now)
	e.update(p.now)
}

// reading is one report on its way through the history.
type reading struct {
	e       *Estimator
	now     int64
	arrival int64
	seq     uint16
	deltas  []*rtcp.RecvDelta
	heard   bool // it told something new
	failed  bool // it contradicts itself
}

// run takes n packets of one status.
func (p *reading) run(symbol uint16, n int) {
	if symbol == rtcp.TypeTCCPacketNotReceived {
		p.lost(n)
		return
	}
	for range n {
		seq := p.seq
		p.seq++
		if symbol == rtcp.TypeTCCPacketReceivedWithoutDelta {
			p.arrived(seq, false)
			continue
		}
		if len(p.deltas) == 0 || p.deltas[0] == nil {
			p.failed = true
			return
		}
		p.arrival += p.deltas[0].Delta
		p.deltas = p.deltas[1:]
		p.arrived(seq, true)
	}
}

func (p *reading) lost(n int) {
	h := p.e.history
	seq, m := h.clip(p.seq, n)
	p.seq += uint16(n)
	for range m {
		if r := h.find(seq); r != nil && r.marks&(markArrived|markLost) == 0 {
			r.marks |= markLost
			p.e.losses.lostPacket()
			p.e.probe.onLost(r)
			p.heard = true
		}
		seq++
	}
}

func (p *reading) arrived(seq uint16, timed bool) {
	e := p.e
	r := e.history.find(seq)
	if r == nil || r.marks&markArrived != 0 {
		return
	}
	late := r.marks&markLost != 0
	r.marks |= markArrived
	p.heard = true
	e.losses.arrivedPacket(late)
	if !timed {
		return
	}
	sent := r.sentAt(p.now)
	delay := p.arrival - sent
	if leap := delay - e.floor.last; e.floor.known && (leap > maxLeap || leap < -maxLeap) {
		e.forgetTiming()
	}
	e.acked.add(p.arrival, int(r.size))
	e.floor.add(p.arrival, delay)
	e.probe.onArrived(r, sent, delay, late)
	probed := e.probe.covers(sent)
	if !probed {
		e.trend.packet(sent, p.arrival)
	}
	e.ramp.add(p.arrival, delay, int(r.size), probed)
	e.newest = sent
	e.control.roundTrip(p.now - sent)
}

// forgetTiming starts the filters over on a new clock of the receiver.
func (e *Estimator) forgetTiming() {
	e.acked = throughput{}
	e.floor = delayFloor{}
	e.trend.init()
	e.ramp = ramp{}
}
