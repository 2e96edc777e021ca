package sfu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// structure is a keyframe's dependency descriptor of one spatial and two temporal
// layers, with frame number 0.
func structure() []byte {
	// Template 0: layer 0, targets "switch switch"; 1: layer 0, refers 2 back;
	// 2: layer 1, targets "not present, discardable", refers 1 back.
	fields := [][2]uint32{
		{0b11, 2}, {0, 6}, {0, 16}, {0b10000, 5},
		{0, 6}, {1, 5}, {0, 2}, {1, 2}, {3, 2},
		{2, 2}, {2, 2}, {2, 2}, {2, 2}, {0, 2}, {1, 2},
		{0, 1}, {1, 1}, {1, 4}, {0, 1}, {1, 1}, {0, 4}, {0, 1},
		{0, 1}, {0, 1}, // no chains: ns(3) has one bit for 0; no sizes
	}
	var out []byte
	at := 0
	for _, f := range fields {
		for i := int(f[1]) - 1; i >= 0; i-- {
			if at%8 == 0 {
				out = append(out, 0)
			}
			out[at/8] |= byte(f[0]>>i&1) << (7 - at%8)
			at++
		}
	}
	return out
}

// h264 makes the next frame, of one packet, with its dependency descriptor.
func (s *scalable) h264(key bool) [][]byte {
	dependency, payload := []byte{0xc0 | 1, byte(s.number >> 8), byte(s.number)}, []byte{0x61, 1, 2, 3}
	switch {
	case key:
		dependency = structure()
		binary.BigEndian.PutUint16(dependency[1:], s.number)
		payload[0], s.frames = 0x65, 0
	case s.frames%2 == 1:
		dependency[0]++
	}
	s.frames++
	s.number++
	out := [][]byte{s.raw(payload, dependency, true)}
	s.ts += 3000
	return out
}

func TestDependencyDescriptorIsPassedOn(t *testing.T) {
	b := newBench()
	b.m.video.track.dependencyID = testDependencyID
	src := newScalable(b, codec.H264)
	first := true
	next := func(int) [][]byte {
		key := first
		first = false
		return src.h264(key)
	}
	src.measure(b.now)
	src.seconds(b, 2, next)
	b.m.want.Temporal = sluice.LayerID{Set: true}
	src.seconds(b, 1, next)
	before := len(b.out.packets)
	src.seconds(b, 1, next)
	if got := len(b.out.packets) - before; got != 15 {
		t.Errorf("%d frames of the lowest layer in a second, want 15", got)
	}
	second := newScalable(b, codec.H264) // another publisher, with other numbers
	second.number = 5
	second.feedAll(b, second.h264(true))
	second.feedAll(b, second.h264(false))
	b.m.want = sluice.LayerChoice{}
	b.pass(time.Second)
	var structure *codec.Structure
	var last uint16
	for i, p := range b.out.packets {
		raw := p.GetExtension(testDependencyID)
		d, err := codec.ParseDependency(raw, structure)
		if err != nil {
			t.Fatalf("packet %d: %x: %v", i, raw, err)
		}
		structure = d.Structure
		thinned := i >= before && i < before+15
		if thinned && (d.Active != 1 || d.Temporal != 0) {
			t.Errorf("packet %d of layer %d has the active decode targets %b, want 1", i, d.Temporal, d.Active)
		}
		if step := d.Number - last; i > 0 && (step < 1 || step > 2) {
			t.Errorf("packet %d: frame %d after %d", i, d.Number, last)
		}
		last = d.Number
	}
	if n := len(b.out.packets); n != before+15+2 {
		t.Errorf("%d packets of the second publisher", n-before-15)
	}
}

func TestDependencyDescriptorIsLeftOutWhenNotWanted(t *testing.T) {
	b := newBench()
	src := newScalable(b, codec.H264)
	src.feedAll(b, src.h264(true))
	b.pass(0)
	if p := b.out.packets[0]; p.Extension {
		t.Errorf("extensions %v", p.GetExtensionIDs())
	}
}
