package sfu

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/estimate"
	"github.com/sluice-live/sluice/sfu/internal/extension"
)

// road is what a viewer's link does to packets on their way to it.
type road struct {
	rate  int           // bits per second; 0: no limit
	queue time.Duration // longest wait for the rate
	delay time.Duration // one way
	loss  float64       // in both directions
}

// parcel is a packet on its way to the viewer.
type parcel struct {
	at     time.Time
	size   int
	report uint32 // middle of a sender report's NTP time; 0: it is none
	wide   int    // transport-wide number; -1: none
	media  bool
	rtx    bool
	seq    uint16
	marker bool
	key    bool
	svc    codec.Descriptor
}

// journey is a shard with one viewer behind a road, in the time of a synctest
// bubble: layers like those of a browser, and a receiver that reports, asks again
// for what is lost, and shows frames in order.
type journey struct {
	t      *testing.T
	b      *bench
	random *rand.Rand
	begun  time.Time

	mu     sync.Mutex // guards the road: the shard sends, the viewer receives
	dice   *rand.Rand
	road   road
	free   time.Time
	flying []parcel
	next   int // transport-wide number
	est    *estimate.Estimator

	rungs []*rung

	reports string // "transport-cc", "remb", "loss"
	wide    []parcel
	first   int // transport-wide number that the next report begins with
	fbCount uint8
	answer  parcel // newest sender report that arrived
	lost    int    // media packets, since the last report
	got     int
	bytes   int // since the last estimate
	browser browserEstimate

	decoded map[uint16]bool // pictures of scalable layers

	inbox  map[uint16]parcel
	asked  map[uint16]time.Time
	head   uint16 // newest media sequence number
	wanted uint16 // next to be shown
	seen   bool
	hole   time.Time
	shown  time.Time // when the last frame was

	log     []passage
	freezes []time.Duration
}

// passage is a change of layer.
type passage struct {
	at    time.Duration
	layer string
	why   string
}

// rung is a layer and the encoder behind it.
type rung struct {
	*source
	rate, frames int
	keyEvery     int
	force        bool
	parts        []part // spatial layers; nil: none
}

// roadWire puts what the shard sends on the road.
type roadWire struct{ j *journey }

func (w roadWire) measure(e *estimate.Estimator) { w.j.est = e }

func (w roadWire) write(sh *shard, t *track, h *rtp.Header, _ []extension.Element, payload []byte) {
	j := w.j
	p := parcel{size: 12 + 8 + len(payload) + 16 + 28, wide: -1, seq: h.SequenceNumber, marker: h.Marker}
	switch {
	case h.SSRC != t.rtxSSRC:
		p.media = true
	case !h.Padding:
		p.rtx, p.seq, payload = true, binary.BigEndian.Uint16(payload), payload[2:]
	}
	if c := t.formats[0].codec; p.media || p.rtx {
		p.key = c.Keyframe(payload)
		p.svc, _ = c.Descriptor(payload)
	}
	if j.est != nil && t.twccID != 0 {
		p.wide = j.next
		j.est.Sent(uint16(j.next), p.size, sh.now, sh.probing)
		j.next++
	}
	j.send(p)
}

// WriteRTCP takes the shard's sender reports.
func (j *journey) WriteRTCP(reports []rtcp.Packet) error {
	if sr, ok := reports[0].(*rtcp.SenderReport); ok && sr.SSRC == j.b.m.video.track.ssrc {
		j.send(parcel{size: 120, wide: -1, report: uint32(sr.NTPTime >> 16)})
	}
	return nil
}

func (j *journey) send(p parcel) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dice.Float64() < j.road.loss {
		return
	}
	now := time.Now()
	p.at = now
	if j.road.rate > 0 {
		if j.free.Before(now) {
			j.free = now
		}
		if j.free.Sub(now) > j.road.queue {
			return
		}
		j.free = j.free.Add(time.Duration(float64(p.size*8) / float64(j.road.rate) * 1e9))
		p.at = j.free
	}
	p.at = p.at.Add(j.road.delay)
	j.flying = append(j.flying, p)
}

// travel runs f in a bubble with a viewer that sends such reports.
func travel(t *testing.T, reports string, seed uint64, start road, f func(j *journey)) {
	t.Helper()
	travelWith(t, reports, seed, start, simulcast, f)
}

// simulcast is what a browser publishes of three layers.
func simulcast(b *bench) (rungs []*rung) {
	for i, r := range []struct {
		rid           string
		width, height int
		rate          int
	}{{"q", 320, 180, 150_000}, {"h", 640, 360, 500_000}, {"f", 1280, 720, 2_500_000}} {
		g := &rung{source: newSource(b, r.rid, uint16(1000*i), uint32(i)*90000), rate: r.rate, keyEvery: 60, force: true}
		g.size.Store(packSize(r.width, r.height))
		rungs = append(rungs, g)
	}
	return rungs
}

// travelWith is travel with another publisher.
func travelWith(t *testing.T, reports string, seed uint64, start road, publish func(b *bench) []*rung, f func(j *journey)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.sh.sfu.start = time.Now().Add(-time.Hour)
		j := &journey{
			t: t, b: b, reports: reports, road: start, random: rand.New(rand.NewPCG(seed, 3)), dice: rand.New(rand.NewPCG(seed, 4)), begun: time.Now(),
			inbox: map[uint16]parcel{}, asked: map[uint16]time.Time{}, decoded: map[uint16]bool{},
		}
		b.m.viewer.rtcp = j
		b.m.video.wire = roadWire{j}
		if reports == "transport-cc" {
			b.m.video.track.twccID = 1
		}
		b.sh.index[b.m.viewer] = 0
		next := &sources{layered: true}
		for _, g := range publish(b) {
			g.reader.wake = func(urgency) {}
			g.clock.offset = &ntpOffset{}
			j.rungs = append(j.rungs, g)
			next.video = append(next.video, g.layer)
		}
		b.sh.stream.sources.Store(next)
		for _, g := range j.rungs {
			g.reader.wake = b.sh.signal
		}
		done := make(chan struct{})
		go func() { defer close(done); b.sh.run() }()
		f(j)
		close(b.sh.stream.stop)
		<-done
	})
}

// set changes the road.
func (j *journey) set(r road) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.road = r
}

func (j *journey) elapsed() time.Duration { return time.Since(j.begun) }

// pass lets d go by.
func (j *journey) pass(d time.Duration) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		ms := j.elapsed().Milliseconds()
		for i, g := range j.rungs {
			if (ms+int64(5*i))%33 == 0 {
				g.shoot(j)
			}
			if ms%1000 == 0 {
				g.measure(j.b.sh.sfu.now())
			}
		}
		j.receive()
		if ms%10 == 0 {
			j.report(ms)
		}
		synctest.Wait()
	}
}

// until lets time go by until the viewer gets a layer, and returns when that was.
func (j *journey) until(layer string, limit time.Duration) time.Duration {
	j.t.Helper()
	for end := j.elapsed() + limit; j.elapsed() < end; {
		j.pass(100 * time.Millisecond)
		if n := len(j.log); n > 0 && j.log[n-1].layer == layer {
			return j.elapsed()
		}
	}
	v := j.state()
	j.t.Errorf("layer %s, want %s within %v: %s", v.Layer, layer, limit, v.Reason)
	return j.elapsed()
}

// shoot makes the next frame of a layer, with a keyframe each two seconds or when
// one was asked for.
func (g *rung) shoot(j *journey) {
	for asked := true; asked; {
		select {
		case <-g.asked:
			g.force = true
		default:
			asked = false
		}
	}
	bytes := float64(g.rate) / 8 * 0.033
	key := g.force || g.frames%g.keyEvery == 0
	if key {
		g.force = false
		bytes *= 5
	} else {
		bytes *= 0.94 * (0.8 + 0.4*j.random.Float64())
	}
	g.frames++
	if g.parts != nil {
		g.shootParts(j, key)
		return
	}
	n := max(1, (int(bytes)+1099)/1100)
	for i := range n {
		raw := g.packet(i == 0, i == n-1, key)
		raw = append(raw, make([]byte, max(0, int(bytes)/n-14))...)
		copy(g.reader.space(), raw)
		if g.reader.take(len(raw)) {
			g.reader.tell()
		}
	}
	g.ts += 2970
	g.picture++
}

// state asks the shard for the viewer.
func (j *journey) state() sluice.Viewer {
	reply := make(chan []sluice.Viewer, 1)
	j.b.sh.do(command{kind: describe, reply: reply})
	return (<-reply)[0]
}
