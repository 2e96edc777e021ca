package sfu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

const testDependencyID = 12

// scalable is a source of frames with layers.
type scalable struct {
	*source
	frames int // so far
	number uint16
}

func newScalable(b *bench, c codec.Codec) *scalable {
	s := &scalable{source: newSource(b, "", 65500, 1<<32-9000), number: 65530}
	s.layer.codec = c
	s.reader.dependencyID = testDependencyID
	b.m.video.track.formats[0].codec = c
	b.sources(s.source)
	return s
}

// raw makes one packet.
func (s *scalable) raw(payload, dependency []byte, marker bool) []byte {
	h := rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.ts, SSRC: 5, Marker: marker}
	if dependency != nil {
		h.Extension, h.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		if err := h.SetExtension(testDependencyID, dependency); err != nil {
			panic(err)
		}
	}
	raw, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		panic(err)
	}
	s.seq++
	return raw
}

// vp8 makes the packets of the next frame: the pattern of three temporal layers
// that browsers send.
func (s *scalable) vp8(packets int, key bool) [][]byte {
	tid := []byte{0x00, 0xa0, 0x60, 0x80, 0x00, 0x80, 0x40, 0x80}[s.frames%8]
	if key {
		s.frames, tid = 0, 0
	}
	s.frames++
	frame := byte(1)
	if key {
		frame = 0
	}
	var out [][]byte
	for i := range packets {
		start := byte(0x80)
		if i == 0 {
			start = 0x90
		}
		payload := []byte{start, 0xe0, 0x80 | byte(s.picture>>8&0x7f), byte(s.picture), byte(s.frames), tid, frame, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0}
		out = append(out, s.raw(payload, nil, i == packets-1))
	}
	s.ts += 3000
	s.picture++
	return out
}

func (s *scalable) feedAll(b *bench, packets [][]byte) {
	for _, raw := range packets {
		s.feed(b, raw)
	}
}

// seconds feeds frames and measures them like the monitor.
func (s *scalable) seconds(b *bench, n int, frame func(i int) [][]byte) {
	for range n {
		for i := range 30 {
			s.feedAll(b, frame(i))
			b.pass(33 * time.Millisecond)
		}
		s.measure(b.now)
	}
}

func TestTemporalLayersAreThinned(t *testing.T) {
	b := newBench()
	src := newScalable(b, codec.VP8)
	first := true
	next := func(int) [][]byte {
		key := first
		first = false
		return src.vp8(2, key)
	}
	src.measure(b.now)
	src.seconds(b, 2, next)
	points := src.scale()
	if len(points) != 3 || points[0].Temporal != 2 || points[2].Temporal != 0 || points[2].frameRate > points[0].frameRate/2 {
		t.Fatalf("operating points %+v", points)
	}
	for _, tt := range []struct {
		want   sluice.LayerChoice
		frames int // in one second, of 30
		now    int
	}{
		{sluice.LayerChoice{}, 30, 2},
		{sluice.LayerChoice{MaxTemporal: sluice.LayerID{N: 1, Set: true}}, 15, 1},
		{sluice.LayerChoice{Temporal: sluice.LayerID{N: 0, Set: true}}, 7, 0},
		{sluice.LayerChoice{}, 30, 2},
	} {
		b.m.want = tt.want
		src.seconds(b, 1, next) // until the next place to change
		before := len(b.out.packets)
		src.seconds(b, 1, next)
		if got := (len(b.out.packets) - before) / 2; got < tt.frames-1 || got > tt.frames+1 {
			t.Errorf("%+v: %d frames in a second, want %d", tt.want, got, tt.frames)
		}
		if v := b.m.snapshotOf(); v.Now == nil || v.Now.Temporal != tt.now || v.Wanted.Temporal != tt.now {
			t.Errorf("%+v: viewer has %+v, wants %+v", tt.want, v.Now, v.Wanted)
		}
	}
	continuous(t, b.out.packets)
}

// snapshotOf tells the scales without a session.
func (m *member) snapshotOf() (out sluice.Viewer) {
	out.Now, out.Wanted = m.video.scales()
	return out
}

func TestLossBesideWhatIsLeftOut(t *testing.T) {
	b := newBench()
	src := newScalable(b, codec.VP8)
	src.feedAll(b, src.vp8(2, true))
	b.pass(0)
	b.m.video.thin.Aim(thin.Point{Spatial: 3}, b.m.video.newest.timestamp)
	b.m.video.point = thin.Point{Spatial: 3}
	feed := func(packets ...[]byte) {
		src.feedAll(b, packets)
		b.sh.forward(b.now)
	}
	upper := src.vp8(3, false)
	src.frames = 4 // the next one is of the lowest layer
	lower := src.vp8(3, false)
	feed(upper[0], lower[0], lower[2]) // the rest of the upper frame and one packet are lost
	var seqs []uint16
	for _, p := range b.out.packets {
		seqs = append(seqs, p.SequenceNumber-b.out.packets[0].SequenceNumber)
	}
	if len(seqs) != 4 || seqs[2] != 2 || seqs[3] != 4 {
		t.Fatalf("numbers %v: only what was lost of the lower frame may be missing", seqs)
	}
	feed(lower[1], upper[1])
	if n := len(b.out.packets); n != 5 || b.out.packets[4].SequenceNumber != b.out.packets[0].SequenceNumber+3 {
		t.Fatalf("%d packets after the late ones", n)
	}
	asked := b.out.packets[3]
	b.out.packets = nil
	b.now += int64(time.Second)
	if !b.m.video.again(b.sh, asked.SequenceNumber, 0, b.now) {
		t.Fatal("not sent again")
	}
	if got := b.out.packets[0]; binary.BigEndian.Uint16(got.Payload) != asked.SequenceNumber || string(got.Payload[2:]) != string(asked.Payload) {
		t.Errorf("sent again %x, want %x", got.Payload, asked.Payload)
	}
}

func TestAPlaceThatIsWaitedForIsFilled(t *testing.T) {
	b := newBench()
	src := newScalable(b, codec.VP8)
	src.feedAll(b, src.vp8(1, true))
	b.pass(0)
	b.m.video.point = thin.Point{Spatial: 3}
	src.frames = 4
	base := src.vp8(1, false)
	src.frames = 3
	lost := src.vp8(1, false) // of the uppermost layer
	src.frames = 4
	after := src.vp8(1, false)
	src.feedAll(b, base)
	src.feedAll(b, after)
	b.sh.forward(b.now)
	src.feedAll(b, lost)
	b.sh.forward(b.now)
	if n := len(b.out.packets); n != 4 {
		t.Fatalf("%d packets, want 4", n)
	}
	if p := b.out.packets[3]; !p.Padding || p.SequenceNumber != b.out.packets[1].SequenceNumber+1 {
		t.Errorf("the place is filled with %+v", p.Header)
	}
	if b.m.video.again(b.sh, b.out.packets[3].SequenceNumber, 0, b.now) {
		t.Error("what was left out is sent when it is asked for")
	}
}

// vp9 makes one picture of two spatial layers, each frame of one packet.
func (s *scalable) vp9(key bool) [][]byte {
	var out [][]byte
	for spatial := range byte(2) {
		first := byte(0xac) // I, L, B, E
		if !key {
			first |= 0x40
		}
		payload := []byte{first, 0x80 | byte(s.picture>>8&0x7f), byte(s.picture), spatial<<1 | spatial&boolByte(key), byte(s.frames), 0, 1, 2, 3}
		if key && spatial == 0 {
			payload[0] |= 0x02
			payload = append(payload[:5], 1<<5|0x10, 1, 64, 0, 180, 2, 128, 1, 104, 0, 0)
		}
		out = append(out, s.raw(payload, nil, spatial == 1))
	}
	s.frames++
	s.ts += 3000
	s.picture++
	return out
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func TestSpatialLayersOfVP9(t *testing.T) {
	b := newBench()
	src := newScalable(b, codec.VP9)
	src.feedAll(b, src.vp9(true))
	src.measure(b.now)
	src.seconds(b, 2, func(int) [][]byte { return src.vp9(false) })
	if points := src.scale(); len(points) != 2 || points[0].Spatial != 1 {
		t.Fatalf("operating points %+v", points)
	}
	if w, h := src.sizeOf(0); w != 320 || h != 180 {
		t.Errorf("the lower layer is %dx%d", w, h)
	}
	count := func() (packets, markers int) {
		before := len(b.out.packets)
		src.seconds(b, 1, func(int) [][]byte { return src.vp9(false) })
		for _, p := range b.out.packets[before:] {
			packets++
			if p.Marker {
				markers++
			}
		}
		return packets, markers
	}
	if packets, markers := count(); packets != 60 || markers != 30 {
		t.Errorf("all layers: %d packets with %d markers", packets, markers)
	}
	b.m.want.MaxSpatial = sluice.LayerID{Set: true}
	b.pass(0)
	if packets, markers := count(); packets != 30 || markers != 30 {
		t.Errorf("the lower layer: %d packets with %d markers", packets, markers)
	}
	asked := len(src.asked)
	b.m.want = sluice.LayerChoice{}
	b.pass(0)
	if packets, _ := count(); packets != 30 {
		t.Errorf("%d packets without a keyframe", packets)
	}
	if len(src.asked) == asked {
		t.Error("no keyframe is asked for")
	}
	src.feedAll(b, src.vp9(true))
	if packets, markers := count(); packets != 62 || markers != 31 {
		t.Errorf("after a keyframe: %d packets with %d markers", packets, markers)
	}
	for i, p := range b.out.packets[1:] {
		before := b.out.packets[i]
		if p.SequenceNumber != before.SequenceNumber+1 || p.Timestamp != before.Timestamp != before.Marker {
			t.Fatalf("packet %d: %d at %d after %d at %d", i, p.SequenceNumber, p.Timestamp, before.SequenceNumber, before.Timestamp)
		}
	}
}

func TestThinningAllocatesNothing(t *testing.T) {
	b := newBench()
	b.m.viewer.video.writer = discardWriter{}
	src := newScalable(b, codec.VP8)
	src.feedAll(b, src.vp8(2, true))
	b.pass(0)
	b.m.video.point = thin.Point{Spatial: 3, Temporal: 1}
	frame := func() { src.feedAll(b, src.vp8(2, false)) }
	for range 20 {
		frame()
		b.sh.forward(b.now)
	}
	reading := testing.AllocsPerRun(100, func() { b.now += int64(33 * time.Millisecond); frame() })
	b.sh.forward(b.now)
	both := testing.AllocsPerRun(100, func() {
		b.now += int64(33 * time.Millisecond)
		frame()
		b.sh.forward(b.now)
	})
	if both > reading {
		t.Errorf("thinning a frame allocates %.1f times, reading it %.1f", both-reading, reading)
	}
}

func TestChoiceOfMissingLayersIsRefused(t *testing.T) {
	b := newBench()
	src := newScalable(b, codec.VP8)
	src.measure(b.now)
	src.seconds(b, 2, func(i int) [][]byte { return src.vp8(1, i == 0) })
	set := func(n int) sluice.LayerID { return sluice.LayerID{N: n, Set: true} }
	for _, tt := range []struct {
		want sluice.LayerChoice
		ok   bool
	}{
		{sluice.LayerChoice{Temporal: set(2)}, true},
		{sluice.LayerChoice{Temporal: set(3)}, false},
		{sluice.LayerChoice{Spatial: set(0), Temporal: set(1)}, true},
		{sluice.LayerChoice{Spatial: set(1)}, false},
		{sluice.LayerChoice{MaxSpatial: set(7)}, true},
		{sluice.LayerChoice{RID: "x", Temporal: set(0)}, false},
	} {
		if err := b.sh.stream.sources.Load().check(tt.want); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.want, err)
		}
	}
}
