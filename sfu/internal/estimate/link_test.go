package estimate

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

const nanos = 1000 // in a microsecond

// link is a queue served at a rate, with a delay behind it. Times are
// microseconds.
type link struct {
	rate    float64 // bits per second
	base    int64   // one-way delay
	limit   int64   // longest queue, as time
	loss    float64 // random
	jitter  int64   // added, 0 to jitter
	reorder bool    // jitter may change the order

	free int64 // when the last packet has left the queue
	last int64 // arrival of the packet before
}

// carry returns when a packet arrives; ok is false when it is lost.
func (l *link) carry(rng *rand.Rand, now int64, size int) (at int64, ok bool) {
	start := max(now, l.free)
	if start-now > l.limit {
		return 0, false
	}
	l.free = start + int64(float64(size*8)/l.rate*1e6)
	if rng.Float64() < l.loss {
		return 0, false
	}
	at = l.free + l.base
	if l.jitter > 0 {
		at += rng.Int64N(l.jitter)
	}
	if !l.reorder {
		at = max(at, l.last)
		l.last = at
	}
	return at, true
}

// arrival is a packet on its way, or at the receiver.
type arrival struct {
	seq int64
	at  int64
}

// world is one sender, its estimator, a link and a receiver.
type world struct {
	t    *testing.T
	rng  *rand.Rand
	link link
	e    *Estimator
	now  int64

	layers   []float64 // rates the sender may choose from
	fixed    bool      // the sender always sends the last layer
	probing  bool      // the sender probes for the next layer
	patience int64     // how long a switch down waits for a keyframe
	interval int64     // between reports
	deaf     bool      // reports are lost
	padding  int       // bytes of a packet of padding; 0: what is due, up to 270
	shuffle  bool      // every other report comes late, and each twice

	layer     int
	wanted    int64 // since when another layer is wanted; 0: none
	seq       int64 // next
	flying    []arrival
	arrived   []arrival
	expected  int64
	reports   []pending
	nextFrame int64
	backlog   int
	nextFB    int64
	count     uint8
	frames    int

	sent, dropped int
	maxQueue      time.Duration
}

type pending struct {
	at int64
	fb *rtcp.TransportLayerCC
}

func newWorld(t *testing.T, l link, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), link: l, e: New(Config{}),
		layers: []float64{250e3, 900e3, 2500e3}, interval: 50 * millisecond, now: 1e9, seq: 1,
	}
	w.layer, w.expected = len(w.layers)-1, w.seq
	if w.link.limit == 0 {
		w.link.limit = 400 * millisecond
	}
	return w
}

// run advances the world and calls each, if any, after every 10 ms.
func (w *world) run(d time.Duration, each func(elapsed time.Duration, s State)) {
	start, end := w.now, w.now+d.Microseconds()
	for ; w.now < end; w.now += millisecond {
		w.media()
		w.pad()
		w.receive()
		w.report()
		if (w.now-start)%(10*millisecond) == 0 {
			w.choose()
			s := w.e.State()
			w.maxQueue = max(w.maxQueue, time.Duration(w.link.free-w.now)*time.Microsecond)
			if each != nil {
				each(time.Duration(w.now-start)*time.Microsecond, s)
			}
		}
	}
}

func (w *world) send(size int, probe bool) {
	w.e.Sent(uint16(w.seq), size, w.now*nanos, probe)
	w.sent++
	if at, ok := w.link.carry(w.rng, w.now, size); ok {
		w.flying = append(w.flying, arrival{w.seq, at})
	} else {
		w.dropped++
	}
	w.seq++
}

// media sends frames of the layer, paced at three packets in a millisecond, and
// audio.
func (w *world) media() {
	if w.now >= w.nextFrame {
		w.nextFrame = w.now + 33*millisecond
		bits := w.layers[w.layer] * 0.033
		if w.frames++; w.frames%60 == 0 {
			bits *= 5
		} else {
			bits *= 0.93
		}
		w.backlog += int(bits / 8)
	}
	for range 3 {
		if w.backlog <= 0 {
			break
		}
		size := min(w.backlog, 1200)
		w.backlog -= size
		w.send(size, false)
	}
	if w.now%(20*millisecond) == 0 {
		w.send(120, false)
	}
}

func (w *world) pad() {
	for left := w.e.ProbeBudget(w.now*nanos, 0); left >= 100; left -= max(w.padding, 270) {
		w.send(max(w.padding, min(left, 270)), true)
	}
}

// choose takes the highest layer that fits, as a viewer's shard does.
func (w *world) choose() {
	best := 0
	bitrate := float64(w.e.State().Bitrate)
	for i, rate := range w.layers {
		if rate*1.08 <= bitrate {
			best = i
		}
	}
	switch {
	case best == w.layer || w.fixed:
		w.wanted = 0
	case w.wanted == 0:
		w.wanted = w.now
	case w.now-w.wanted >= w.patience:
		w.layer, w.wanted = best, 0
	}
	next := w.layers[min(w.layer+1, len(w.layers)-1)] * 1.25
	if w.probing && bitrate < next && w.e.CanProbe(w.now*nanos) {
		w.e.StartProbe(int(next), 0, w.now*nanos)
	}
}

func (w *world) receive() {
	kept := w.flying[:0]
	for _, a := range w.flying {
		if a.at <= w.now {
			w.arrived = append(w.arrived, a)
		} else {
			kept = append(kept, a)
		}
	}
	w.flying = kept
}

// report makes the receiver's reports and hands over those that are due.
func (w *world) report() {
	if w.now >= w.nextFB && len(w.arrived) > 0 {
		w.nextFB = w.now + w.interval
		fb := report(w.t, w.arrived, &w.expected, w.count)
		w.count++
		w.arrived = w.arrived[:0]
		if !w.deaf {
			late := int64(0)
			if w.shuffle && w.count%2 == 0 {
				late = 70 * millisecond
			}
			w.reports = append(w.reports, pending{w.now + w.link.base + late, fb})
			if w.shuffle {
				w.reports = append(w.reports, pending{w.now + w.link.base + late + 5*millisecond, fb})
			}
		}
	}
	kept := w.reports[:0]
	for _, r := range w.reports {
		if r.at <= w.now {
			w.e.Feedback(r.fb, w.now*nanos)
		} else {
			kept = append(kept, r)
		}
	}
	w.reports = kept
}

// clockOffset is the receiver's clock less the sender's.
const clockOffset = 5_432_100_000

// report builds the transport-wide report of what arrived since the last one, and
// takes it over the wire format.
func report(t testing.TB, arrived []arrival, expected *int64, count uint8) *rtcp.TransportLayerCC {
	first, last := *expected, int64(0)
	at := map[int64]int64{}
	for _, a := range arrived {
		at[a.seq] = a.at + clockOffset
		first, last = min(first, a.seq), max(last, a.seq)
	}
	*expected = max(*expected, last+1)
	fb := &rtcp.TransportLayerCC{
		Header:             rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback},
		BaseSequenceNumber: uint16(first), PacketStatusCount: uint16(last - first + 1), FbPktCount: count,
	}
	var clock int64
	var symbols []uint16
	for seq := first; seq <= last; seq++ {
		when, ok := at[seq]
		if !ok {
			symbols = append(symbols, rtcp.TypeTCCPacketNotReceived)
			continue
		}
		if clock == 0 {
			fb.ReferenceTime = uint32(when/referenceUnit) & 0xffffff
			clock = when / referenceUnit * referenceUnit
		}
		ticks := (when - clock) / 250
		kind := uint16(rtcp.TypeTCCPacketReceivedSmallDelta)
		if ticks < 0 || ticks > 255 {
			kind = rtcp.TypeTCCPacketReceivedLargeDelta
		}
		clock += ticks * 250
		symbols = append(symbols, kind)
		fb.RecvDeltas = append(fb.RecvDeltas, &rtcp.RecvDelta{Type: kind, Delta: ticks * 250})
	}
	for len(symbols) > 0 {
		n := min(len(symbols), 7)
		fb.PacketChunks = append(fb.PacketChunks, &rtcp.StatusVectorChunk{
			Type: rtcp.TypeTCCStatusVectorChunk, SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit, SymbolList: symbols[:n],
		})
		symbols = symbols[n:]
	}
	return throughWire(t, fb)
}

func throughWire(t testing.TB, fb *rtcp.TransportLayerCC) *rtcp.TransportLayerCC {
	fb.Header.Length = uint16(fb.MarshalSize()/4 - 1)
	fb.Header.Padding = fb.MarshalSize() != 20+2*len(fb.PacketChunks)+deltaBytes(fb)
	raw, err := fb.Marshal()
	if err != nil {
		t.Fatalf("marshal a report: %v", err)
	}
	out := new(rtcp.TransportLayerCC)
	if err := out.Unmarshal(raw); err != nil {
		t.Fatalf("unmarshal a report: %v", err)
	}
	return out
}

func deltaBytes(fb *rtcp.TransportLayerCC) int {
	n := len(fb.RecvDeltas)
	for _, d := range fb.RecvDeltas {
		if d.Type == rtcp.TypeTCCPacketReceivedLargeDelta {
			n++
		}
	}
	return n
}
