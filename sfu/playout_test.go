package sfu

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
)

const testDelayID = 5

// delays lists what packets say of the playout delay; nil where one says nothing.
func delays(packets []rtp.Packet) [][]byte {
	var all [][]byte
	for _, p := range packets {
		all = append(all, p.GetExtension(testDelayID))
	}
	return all
}

func TestPlayoutDelayIsSaidUntilConfirmed(t *testing.T) {
	b := newBench()
	b.sh.sfu.delay = playoutDelayOf(Config{PlayoutDelayMin: 50 * time.Millisecond, PlayoutDelayMax: 400 * time.Millisecond})
	b.m.video.track.delayID = testDelayID
	src := newSource(b, "", 100, 0)
	b.sources(src)
	src.frame(b, 3, true)
	b.pass(0)
	configured := []byte{0, 5 << 4, 40}
	for i, d := range delays(b.out.packets) {
		if !bytes.Equal(d, configured) {
			t.Errorf("packet %d says %v, want %v", i, d, configured)
		}
	}
	first := b.out.packets[0].SequenceNumber
	b.m.video.delay.confirm(first - 1)
	src.frame(b, 1, false)
	b.pass(0)
	if d := delays(b.out.packets[3:]); len(d) != 1 || d[0] == nil {
		t.Errorf("a report of earlier packets confirmed it: %v", d)
	}
	b.m.video.delay.confirm(first)
	src.frame(b, 1, false)
	b.pass(0)
	if d := delays(b.out.packets[4:]); len(d) != 1 || d[0] != nil {
		t.Errorf("still said after its confirmation: %v", d)
	}

	asked := []byte{1, 2, 3}
	src.noteDelay(asked)
	src.noteDelay([]byte{9}) // not one
	src.frame(b, 2, false)
	b.pass(0)
	for i, d := range delays(b.out.packets[5:]) {
		if !bytes.Equal(d, asked) {
			t.Errorf("packet %d says %v, want the publisher's %v", i, d, asked)
		}
	}
}

func TestPlayoutDelayIsNotSaidWhenNotNegotiatedOrOff(t *testing.T) {
	for _, id := range []uint8{0, testDelayID} {
		b := newBench()
		b.m.video.track.delayID = id
		if id == 0 {
			b.sh.sfu.delay = playoutDelaySet
		}
		src := newSource(b, "", 100, 0)
		b.sources(src)
		src.frame(b, 1, true)
		b.pass(0)
		if p := b.out.packets[0]; p.Extension {
			t.Errorf("id %d: extensions %v", id, p.GetExtensionIDs())
		}
	}
}
