package sfu

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// part is a spatial layer.
type part struct{ width, height, rate int }

// svc is what a browser publishes as VP9 of mode L3T3_KEY: three spatial layers, of
// which only keyframes refer to each other, and three temporal ones.
func svc(b *bench) []*rung {
	b.m.video.track.formats[0].codec = codec.VP9
	g := &rung{source: newSource(b, "", 65500, 1<<32-9000), keyEvery: 3000, force: true}
	g.layer.codec = codec.VP9
	g.layer.keyframes.verdict.Store(obeysYes)
	g.parts = []part{{240, 135, 101_000}, {480, 270, 257_000}, {960, 540, 879_000}}
	return []*rung{g}
}

// cycle is the temporal layer, how far back the reference is, and the share of a
// frame of all bytes of four.
var cycle = [4]struct {
	temporal, back byte
	share          float64
}{{0, 4, 2}, {2, 1, 0.6}, {1, 2, 0.8}, {2, 1, 0.6}}

// shootParts makes the next picture.
func (g *rung) shootParts(j *journey, key bool) {
	if key {
		g.frames = 1
	}
	at := cycle[(g.frames-1)%len(cycle)]
	for s, p := range g.parts {
		bytes := float64(p.rate) / 8 * 0.033 * at.share * (0.8 + 0.4*j.random.Float64())
		if key {
			bytes = float64(p.rate) / 8 * 0.033 * 5
		}
		n := max(1, (int(bytes)+1099)/1100)
		for i := range n {
			raw := g.vp9(s, at.temporal, at.back, i == 0, i == n-1, key)
			raw = append(raw, make([]byte, max(0, int(bytes)/n-len(raw)+12))...)
			copy(g.reader.space(), raw)
			if g.reader.take(len(raw)) {
				g.reader.tell()
			}
		}
	}
	g.ts += 2970
	g.picture++
}

// vp9 makes a packet of a frame in flexible mode (RFC 9628 section 4.2).
func (g *rung) vp9(spatial int, temporal, back byte, first, last, key bool) []byte {
	marker := last && spatial == len(g.parts)-1
	raw := (&scalable{source: g.source}).raw(nil, nil, marker)
	b := byte(0xb0) // I, L, F
	if !key {
		b |= 0x40
	}
	if first {
		b |= 0x08
	}
	if last {
		b |= 0x04
	}
	sizes := key && first && spatial == 0
	if sizes {
		b |= 0x02
	}
	layer := byte(spatial) << 1
	if key && spatial > 0 {
		layer |= 1
	}
	raw = append(raw, b, 0x80|byte(g.picture>>8&0x7f), byte(g.picture), temporal<<5|layer)
	if !key {
		raw = append(raw, back<<1)
	}
	if sizes {
		raw = append(raw, byte(len(g.parts)-1)<<5|0x10)
		for _, p := range g.parts {
			raw = append(raw, byte(p.width>>8), byte(p.width), byte(p.height>>8), byte(p.height))
		}
	}
	return raw
}

// showParts shows the pictures that are complete and whose references were shown.
// What nothing shown refers to is not waited for.
func (j *journey) showParts(now time.Time) {
	if !j.seen {
		return
	}
	progress := false
	for s := j.wanted; int16(j.head-s) >= 0; s++ {
		p, ok := j.inbox[s]
		if !ok || !p.svc.Start || p.svc.Spatial != 0 {
			continue
		}
		end, ok := j.whole(s)
		if !ok || !p.key && !j.decoded[j.refers(p)] {
			continue
		}
		for o := j.wanted; o != end+1; o++ {
			delete(j.inbox, o)
			delete(j.asked, o)
		}
		j.wanted, s, progress = end+1, end, true
		j.decoded[p.svc.Picture] = true
		delete(j.decoded, p.svc.Picture-64)
		j.sees(now)
	}
	switch {
	case progress || int16(j.head-j.wanted) < 0:
		j.hole = now
	case now.Sub(j.hole) >= time.Second:
		j.b.sh.offer(command{kind: wantKeyframe, viewer: j.b.m.viewer})
		j.hole = now.Add(-800 * time.Millisecond)
	}
}

// refers is the picture that one refers to.
func (j *journey) refers(p parcel) uint16 {
	for back := range uint16(64) {
		if p.svc.Refs>>back&1 != 0 {
			return (p.svc.Picture - back - 1) & 0x7fff
		}
	}
	return p.svc.Picture
}

// whole returns the last packet of the picture that begins with s, when all of it
// is here.
func (j *journey) whole(s uint16) (end uint16, ok bool) {
	first := j.inbox[s].svc.Picture
	for ; ; s++ {
		p, ok := j.inbox[s]
		if !ok || p.svc.Picture != first {
			return 0, false
		}
		if p.marker {
			return s, true
		}
	}
}

// TestScalableLayersBehindAShortQueue is a path that falls from 1.2 Mbit/s to 300
// kbit/s, with hardly a queue: HARSH paths of each kind, seen at several moments of
// the pictures' cycle. How many stood still for more than 500 ms is logged.
func TestScalableLayersBehindAShortQueue(t *testing.T) {
	const most = 4 * time.Second // without a new picture
	for _, rtt := range []time.Duration{40, 100, 160} {
		var gaps []time.Duration
		for i := range cases(t, "HARSH", 3) {
			wide := road{delay: rtt * time.Millisecond / 2, queue: 50 * time.Millisecond, rate: 1_200_000}
			travelWith(t, "transport-cc", uint64(i), wide, svc, func(j *journey) {
				j.pass(6*time.Second + time.Duration(i)*37*time.Millisecond)
				narrow, froze := wide, len(j.freezes)
				narrow.rate = 300_000
				j.set(narrow)
				j.pass(8 * time.Second)
				gap := slices.Max(append(j.freezes[froze:], time.Since(j.shown)))
				gaps = append(gaps, gap)
				if v := j.state(); gap > most || v.Now == nil || v.Now.Spatial > 1 {
					t.Errorf("%d ms, case %d: no new picture for %v; %+v: %s", rtt, i, gap, v.Now, v.Reason)
				}
			})
		}
		logGaps(t, fmt.Sprintf("%d ms", rtt), gaps)
	}
}
