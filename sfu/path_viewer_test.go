package sfu

import (
	"slices"
	"time"

	"github.com/pion/rtcp"
)

// receive takes what arrives now, shows frames, and asks for what is missing.
func (j *journey) receive() {
	now := time.Now()
	j.mu.Lock()
	var arrived []parcel
	j.flying = slices.DeleteFunc(j.flying, func(p parcel) bool {
		if p.at.After(now) {
			return false
		}
		arrived = append(arrived, p)
		return true
	})
	j.mu.Unlock()
	slices.SortStableFunc(arrived, func(a, b parcel) int { return a.at.Compare(b.at) })
	for _, p := range arrived {
		j.bytes += p.size
		j.browser.arrived(p, now)
		if p.wide >= 0 {
			j.wide = append(j.wide, p)
		}
		switch {
		case p.report != 0:
			j.answer = p
		case p.media, p.rtx:
			j.take(p, now)
		}
	}
	if j.rungs[0].parts != nil {
		j.showParts(now)
	} else {
		j.show(now)
	}
	j.ask(now)
}

// take keeps a packet until its turn.
func (j *journey) take(p parcel, now time.Time) {
	if !j.seen && p.media {
		j.seen, j.wanted, j.head = true, p.seq, p.seq-1
	}
	if !j.seen || int16(p.seq-j.wanted) < 0 {
		return
	}
	if p.media {
		for s := j.head + 1; int16(p.seq-s) > 0; s++ {
			j.asked[s] = now.Add(-time.Hour)
			j.lost++
		}
		if int16(p.seq-j.head) > 0 {
			j.head = p.seq
		}
		j.got++
	}
	if old, ok := j.inbox[p.seq]; ok {
		p.marker, p.key = p.marker || old.marker, p.key || old.key
	}
	j.inbox[p.seq] = p
	delete(j.asked, p.seq)
}

// show shows the frames that are complete, in order, or goes on with a keyframe.
// After a second it asks for one.
func (j *journey) show(now time.Time) {
	for {
		p, ok := j.inbox[j.wanted]
		if !ok {
			break
		}
		j.hole = time.Time{}
		delete(j.inbox, j.wanted)
		j.wanted++
		if p.marker {
			j.sees(now)
		}
	}
	if !j.seen || int16(j.head-j.wanted) < 0 {
		return
	}
	for s := j.wanted; int16(j.head-s) >= 0; s++ {
		if p, ok := j.inbox[s]; ok && p.key && j.complete(s) {
			for o := j.wanted; o != s; o++ {
				delete(j.inbox, o)
				delete(j.asked, o)
			}
			j.wanted = s
			j.show(now)
			return
		}
	}
	if j.hole.IsZero() {
		j.hole = now
	}
	if now.Sub(j.hole) >= time.Second {
		j.b.sh.offer(command{kind: wantKeyframe, viewer: j.b.m.viewer})
		j.hole = now.Add(-800 * time.Millisecond)
	}
}

// sees notes a new picture on the screen.
func (j *journey) sees(now time.Time) {
	if gap := now.Sub(j.shown); !j.shown.IsZero() && gap > 150*time.Millisecond {
		j.freezes = append(j.freezes, gap)
	}
	j.shown = now
}

// complete reports whether all of the frame that begins with s is here.
func (j *journey) complete(s uint16) bool {
	for {
		p, ok := j.inbox[s]
		if !ok || p.marker {
			return ok
		}
		s++
	}
}

// ask sends NACKs, each packet's once in a round trip and a half.
func (j *journey) ask(now time.Time) {
	if now.UnixMilli()%20 != 0 {
		return
	}
	var pairs []rtcp.NackPair
	for s, at := range j.asked {
		if now.Sub(at) > 3*j.road.delay+20*time.Millisecond {
			j.asked[s] = now
			pairs = append(pairs, rtcp.NackPair{PacketID: s})
		}
	}
	if len(pairs) > 0 {
		j.back(command{kind: answerNACK, nacks: pairs})
	}
}

// back sends a report to the server.
func (j *journey) back(c command) {
	if j.random.Float64() < j.road.loss {
		return
	}
	c.viewer = j.b.m.viewer
	time.AfterFunc(j.road.delay, func() { j.b.sh.offer(c) })
}

// report reports what came, each kind in its own time, and notes the layer.
func (j *journey) report(ms int64) {
	now := time.Now()
	if ms%100 == 0 {
		if v := j.state(); len(j.log) == 0 || j.log[len(j.log)-1].layer != v.Layer {
			j.log = append(j.log, passage{j.elapsed(), v.Layer, v.Reason})
		}
	}
	switch {
	case j.reports == "transport-cc" && ms%100 == 0 && len(j.wide) > 0:
		j.back(command{kind: noteTransport, transport: j.wideReport()})
	case j.reports == "remb" && ms%200 == 0:
		if remb := j.browser.estimate(float64(j.bytes)*8*5, now); remb > 0 {
			j.back(command{kind: noteREMB, remb: remb})
		}
		j.bytes = 0
	}
	if ms%1000 == 10 && j.got > 0 {
		r := reception{loss: float64(j.lost) / float64(j.lost+j.got), highest: j.head}
		if j.answer.report != 0 {
			// The way there as it was, and the way back.
			r.answers, r.rtt = j.answer.report, int64(j.answer.at.Sub(sentAt(j.answer.report, j.answer.at))+j.road.delay)
		}
		j.lost, j.got = 0, 0
		j.back(command{kind: noteReception, reception: r})
	}
}

// sentAt is when a sender report was sent, by the middle of its NTP time.
func sentAt(middle uint32, about time.Time) time.Time {
	units := int32(uint32(ntpTime(about)>>16) - middle)
	return about.Add(-time.Duration(int64(units) * int64(time.Second) >> 16))
}

// wideReport is a transport-wide report of what came since the last.
func (j *journey) wideReport() *rtcp.TransportLayerCC {
	at := map[int]int64{}
	last := j.first
	for _, p := range j.wide {
		at[p.wide] = p.at.Sub(j.begun).Microseconds() + 1e9
		j.first, last = min(j.first, p.wide), max(last, p.wide)
	}
	j.wide = j.wide[:0]
	fb := &rtcp.TransportLayerCC{BaseSequenceNumber: uint16(j.first), PacketStatusCount: uint16(last - j.first + 1), FbPktCount: j.fbCount}
	j.fbCount++
	clock := int64(-1)
	for n := j.first; n <= last; n++ {
		when, ok := at[n]
		if !ok {
			fb.PacketChunks = append(fb.PacketChunks, &rtcp.RunLengthChunk{RunLength: 1})
			continue
		}
		if clock < 0 {
			fb.ReferenceTime = uint32(when / 64_000)
			clock = when / 64_000 * 64_000
		}
		ticks := (when - clock) / 250
		clock += ticks * 250
		fb.PacketChunks = append(fb.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: 1})
		fb.RecvDeltas = append(fb.RecvDeltas, &rtcp.RecvDelta{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: ticks * 250})
	}
	j.first = last + 1
	return fb
}

// browserEstimate is how a browser estimates what reaches it: 8 % a second up, at
// most one and a half times what comes, by a packet in each response time near
// where it was too much last, and 0.85 of what comes when a queue grows.
type browserEstimate struct {
	rate     float64
	capacity float64
	base     time.Duration // least delay
	delays   []time.Duration
	cut      time.Time
	window   [5]float64 // of the last second
	turn     int
}

func (e *browserEstimate) arrived(p parcel, now time.Time) {
	if p.report == 0 {
		return
	}
	d := p.at.Sub(sentAt(p.report, p.at))
	if e.base == 0 || d < e.base {
		e.base = d
	}
	e.delays = append(e.delays, d-e.base)
}

func (e *browserEstimate) estimate(incoming float64, now time.Time) float64 {
	e.window[e.turn%len(e.window)] = incoming
	e.turn++
	incoming = 0
	for _, rate := range e.window {
		incoming += rate / float64(len(e.window))
	}
	if e.rate == 0 {
		e.rate = 300_000
		return e.rate
	}
	queue := time.Duration(0)
	if len(e.delays) > 0 {
		queue = e.delays[len(e.delays)-1]
	}
	if incoming > 1.2*e.capacity {
		e.capacity = 0
	}
	switch {
	case queue > 40*time.Millisecond && now.Sub(e.cut) > 400*time.Millisecond:
		e.cut = now
		if next := 0.85 * incoming; next < e.rate {
			e.rate = next
		}
		e.capacity = incoming
	case queue > 40*time.Millisecond:
	default:
		next := e.rate * 1.0155
		if e.capacity > 0 {
			next = e.rate + 8000
		}
		e.rate = max(e.rate, min(next, 1.5*incoming+10_000))
	}
	e.delays = e.delays[:0]
	return e.rate
}
