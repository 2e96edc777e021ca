package sfu

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/estimate"
	"github.com/sluice-live/sluice/sfu/internal/red"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

const (
	testOpus    = 111
	testRED     = 63
	frameTicks  = 960
	frameLength = 20 * time.Millisecond
)

// microphone is a layer of Opus that a test fills, in frames that hold their
// sequence number.
type microphone struct {
	*layer
	reader *reader
	at     uint16
}

func newMicrophone(b *bench) *microphone {
	l := &layer{codec: codec.Opus, ring: ring.New(64), clock: clock{hertz: 48000, offset: &ntpOffset{}}}
	l.red.opus, l.red.red = testOpus, testRED
	b.sh.stream.sources.Store(&sources{audio: l})
	return &microphone{layer: l, reader: &reader{layer: l, sfu: b.sh.sfu, wake: func(urgency) {}}, at: 500}
}

func sound(seq uint16) []byte { return []byte{byte(seq >> 8), byte(seq), 7} }

// say feeds the next packet: with the frames of that many before it when
// repeats is not negative, else plain Opus. lost ones are made but not fed.
func (m *microphone) say(b *bench, repeats int, lost bool) {
	seq := m.at
	m.at++
	h := rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(seq) * frameTicks, SSRC: 6, PayloadType: testOpus}
	payload := sound(seq)
	if repeats >= 0 {
		h.PayloadType = testRED
		var blocks []red.Block
		for back := repeats; back >= 0; back-- {
			blocks = append(blocks, red.Block{PT: testOpus, Offset: uint32(back) * frameTicks, Data: sound(seq - uint16(back))})
		}
		payload = red.Append(nil, blocks)
	}
	raw, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		panic(err)
	}
	if !lost {
		m.feed(b, raw)
	}
}

func (m *microphone) feed(b *bench, raw []byte) {
	copy(m.reader.space(), raw)
	m.reader.sfu.start = time.Now().Add(-time.Duration(b.now))
	m.reader.take(len(raw))
}

// listener adds a viewer of the sound to a bench.
func (b *bench) listener(pt, red uint8) (*member, *recorder) {
	out := &recorder{}
	t := &track{kind: webrtc.RTPCodecTypeAudio, writer: out, ssrc: 3333, formats: []trackFormat{{codec: codec.Opus, pt: pt, red: red}}}
	v := &Viewer{session: &session{sfu: b.sh.sfu}, stream: b.sh.stream, audio: t, rtcp: out}
	m := newMember(v, pionWire{}, sluice.LayerChoice{}, b.now)
	b.sh.members = append(b.sh.members, m)
	return m, out
}

func newHall() *bench {
	b := newBench()
	b.sh.members = nil
	return b
}

// hear lets the shard work and time go by.
func (b *bench) hear() {
	b.sh.now = b.now
	b.pass(frameLength)
}

func TestPlainViewerGetsTheFramesThatREDRestores(t *testing.T) {
	b := newHall()
	mic := newMicrophone(b)
	_, out := b.listener(testOpus, 0)
	b.hear()
	for i, lost := range []bool{false, false, true, false, true, true, false, false} {
		if i == 7 {
			late := mic.at - 3 // one of the two lost ones, restored already
			mic.say(b, 2, false)
			raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: late, PayloadType: testOpus}, Payload: sound(late)}).Marshal()
			mic.feed(b, raw)
		} else {
			mic.say(b, 2, lost)
		}
		b.hear()
	}
	if len(out.packets) != 8 {
		t.Fatalf("%d packets, want 8", len(out.packets))
	}
	for i, p := range out.packets {
		seq := uint16(500 + i)
		if p.PayloadType != testOpus || !bytes.Equal(p.Payload, sound(seq)) {
			t.Errorf("packet %d: payload type %d, %v", i, p.PayloadType, p.Payload)
		}
		if d := p.Timestamp - out.packets[0].Timestamp; d != uint32(i)*frameTicks || p.SequenceNumber != out.packets[0].SequenceNumber+uint16(i) {
			t.Errorf("packet %d: number %d, %d ticks after the first", i, p.SequenceNumber, d)
		}
	}
	if n, late := b.sh.sfu.counters.restored.Load(), b.sh.sfu.counters.duplicate.Load(); n != 3 || late != 1 {
		t.Errorf("%d restored, %d duplicates", n, late)
	}
}

func TestREDOfThePublisherIsPassed(t *testing.T) {
	b := newHall()
	mic := newMicrophone(b)
	_, same := b.listener(testOpus, 62)
	_, other := b.listener(109, 62)
	b.hear()
	for range 5 {
		mic.say(b, 1, false)
		b.hear()
	}
	checkRED(t, same.packets, testOpus)
	checkRED(t, other.packets, 109)
}

// checkRED wants every packet but the first to repeat up to two before it.
func checkRED(t *testing.T, packets []rtp.Packet, pt uint8) {
	t.Helper()
	if len(packets) < 3 {
		t.Fatalf("%d packets", len(packets))
	}
	for i, p := range packets[1:] {
		var blocks [red.MaxBlocks]red.Block
		n, ok := red.Parse(p.Payload, &blocks)
		if p.PayloadType != 62 || !ok || n != min(i+2, 3) {
			t.Fatalf("packet %d: payload type %d, %d blocks", i+1, p.PayloadType, n)
		}
		for j, block := range blocks[:n] {
			back := n - 1 - j
			if want := packets[i+1-back]; block.PT != pt || block.Offset != uint32(back)*frameTicks || p.Timestamp-want.Timestamp != block.Offset {
				t.Errorf("packet %d: block %d is %+v", i+1, j, block)
			}
			if got := block.Data[len(block.Data)-2]; got != byte(500+i+1-back) {
				t.Errorf("packet %d: block %d holds frame %d", i+1, j, got)
			}
		}
	}
}

func TestViewerBehindALossyPathGetsRED(t *testing.T) {
	b := newHall()
	mic := newMicrophone(b)
	lossy, out := b.listener(testOpus, 62)
	other, others := b.listener(testOpus, 62)
	_, plain := b.listener(testOpus, 0)
	say := func(n int) {
		for range n {
			mic.say(b, -1, false)
			b.hear()
		}
	}
	b.hear()
	say(3)
	for _, p := range out.packets {
		if p.PayloadType != testOpus {
			t.Fatal("redundancy without loss")
		}
	}
	lossy.reception.loss, other.reception.loss = 0.05, 0.01
	lossy.received(b.now)
	other.received(b.now)
	say(4)
	for i, p := range out.packets[3:] {
		var blocks [red.MaxBlocks]red.Block
		if n, ok := red.Parse(p.Payload, &blocks); !ok || n != 3 || p.PayloadType != 62 {
			t.Errorf("packet %d: payload type %d, %d blocks", i, p.PayloadType, n)
		}
	}
	b.now += redundantTime
	out.packets = out.packets[:0]
	say(2)
	for _, all := range [][]rtp.Packet{out.packets, others.packets, plain.packets} {
		for i, p := range all {
			if p.PayloadType != testOpus || len(p.Payload) != 3 {
				t.Errorf("packet %d has payload type %d and %d bytes", i, p.PayloadType, len(p.Payload))
			}
		}
	}
}

func TestAFullPathGetsNoRED(t *testing.T) {
	b := newHall()
	mic := newMicrophone(b)
	m, out := b.listener(testOpus, 62)
	b.hear()
	m.reception.loss = 0.05
	m.received(b.now)
	m.estimate = estimate.New(estimate.Config{})
	for i, rtt := range []time.Duration{40, 300, 300} {
		m.estimate.Report(estimate.Reception{Loss: 0.05, RTT: int64(rtt * time.Millisecond)}, b.now+int64(i)*int64(time.Second))
	}
	m.received(b.now)
	mic.say(b, -1, false)
	b.hear()
	if p := out.packets[len(out.packets)-1]; p.PayloadType != testOpus {
		t.Errorf("payload type %d while the path is full", p.PayloadType)
	}
}

func TestREDIsBuiltOnceAndWithinItsSize(t *testing.T) {
	b := newHall()
	mic := newMicrophone(b)
	mic.red.until.Store(1 << 62)
	for i, size := range []int{200, 200, 200, 100, 1100, 100, 1100, 1100} {
		raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * frameTicks, PayloadType: testOpus}, Payload: make([]byte, size)}).Marshal()
		mic.feed(b, raw)
	}
	for i, want := range []int{0, 1 + 4 + 400, 1 + 4 + 400, 1 + 8 + 500, 1 + 4 + 1200, 0, 1 + 4 + 1200, 0} {
		if got := len(mic.ring.At(uint64(i)).Redundant); got != want {
			t.Errorf("packet %d repeats in %d bytes, want %d", i, got, want)
		}
	}
}

func TestForeignREDIsDropped(t *testing.T) {
	b := newHall()
	mic := newMicrophone(b)
	for i, payload := range [][]byte{
		{}, {0x80 | testOpus}, red.Append(nil, []red.Block{{PT: 9, Data: []byte{1}}}),
		red.Append(nil, []red.Block{{PT: 9, Offset: 960, Data: []byte{1}}, {PT: testOpus, Data: []byte{1}}}),
	} {
		raw, _ := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), PayloadType: testRED}, Payload: payload}).Marshal()
		mic.feed(b, raw)
	}
	if n := b.sh.sfu.counters.malformed.Load(); n != 4 || mic.ring.Head() != 0 {
		t.Errorf("%d of 4 malformed, %d in the ring", n, mic.ring.Head())
	}
}

// TestSoundIsNotSqueezed: a busy node comes to new sound late. Its frames keep
// their length: of the first sound the newest is sent, of what replaces it all
// that lies behind what was sent.
func TestSoundIsNotSqueezed(t *testing.T) {
	b := newHall()
	_, out := b.listener(testOpus, 0)
	want := 0
	for _, n := range []int{1, 5} {
		mic := newMicrophone(b)
		b.hear()
		for range 5 {
			mic.say(b, -1, false)
			b.now += int64(frameLength)
		}
		b.hear()
		mic.say(b, -1, false)
		b.hear()
		if want += n + 1; len(out.packets) != want {
			t.Fatalf("%d packets, want %d", len(out.packets), want)
		}
	}
	for i, p := range out.packets[1:] {
		before := out.packets[i]
		if d := p.Timestamp - before.Timestamp; p.SequenceNumber != before.SequenceNumber+1 || d < frameTicks || d > 3*frameTicks {
			t.Errorf("frame %d at %d after %d at %d", p.SequenceNumber, p.Timestamp, before.SequenceNumber, before.Timestamp)
		}
	}
}
