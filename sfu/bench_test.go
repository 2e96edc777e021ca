package sfu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

// recorder is the writer of a track: it keeps what a viewer would get.
type recorder struct {
	packets []rtp.Packet
	reports []rtcp.Packet
}

func (r *recorder) WriteRTCP(reports []rtcp.Packet) error {
	r.reports = append(r.reports, reports...)
	return nil
}

func (r *recorder) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	r.packets = append(r.packets, rtp.Packet{Header: h.Clone(), Payload: append([]byte(nil), payload...)})
	return len(payload), nil
}

func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }

const (
	testPT  = 96
	testRTX = 97
)

// bench is a shard with one viewer, and layers whose packets come from here
// instead of from a network. Time is what the test says.
type bench struct {
	sh  *shard
	m   *member
	out *recorder
	now int64
}

func newBench() *bench {
	s := &SFU{cfg: Config{}.withDefaults(), deps: Deps{ForwardDelay: discard{}, JoinTime: discard{}}, start: time.Now()}
	st := &stream{sfu: s, stop: make(chan struct{})}
	s.transport = &transport{}
	st.sources.Store(&sources{})
	b := &bench{sh: newShard(st), out: &recorder{}, now: int64(time.Hour)}
	v := &Viewer{session: &session{sfu: s}, stream: st, video: testTrack(b.out), rtcp: b.out}
	b.m = newMember(v, pionWire{}, sluice.LayerChoice{}, b.now)
	b.sh.members = []*member{b.m}
	return b
}

func testTrack(w webrtc.TrackLocalWriter) *track {
	return &track{kind: webrtc.RTPCodecTypeVideo, writer: w, ssrc: 1111, rtxSSRC: 2222,
		formats: []trackFormat{{codec: codec.VP8, pt: testPT, rtx: testRTX}}}
}

// source is a VP8 layer that a test fills.
type source struct {
	*layer
	reader  *reader
	seq     uint16
	ts      uint32
	picture uint16
	asked   chan *layer
}

func newSource(b *bench, rid string, seq uint16, ts uint32) *source {
	asked := make(chan *layer, 16)
	l := &layer{rid: rid, codec: codec.VP8, ring: ring.New(256), request: asked,
		clock: clock{hertz: 90000, offset: &ntpOffset{}}}
	return &source{layer: l, reader: &reader{layer: l, sfu: b.sh.sfu, wake: func(urgency) {}}, seq: seq, ts: ts, picture: seq, asked: asked}
}

// packet makes the raw RTP packet of a frame: its first when first is set.
func (s *source) packet(first, last, key bool) []byte {
	descriptor := byte(0x80)
	if first {
		descriptor |= 0x10
	}
	frame := byte(1)
	if key {
		frame = 0
	}
	payload := []byte{descriptor, 0x80, 0x80 | byte(s.picture>>8&0x7f), byte(s.picture), frame, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0}
	raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.ts, SSRC: 5, Marker: last}, Payload: payload}).Marshal()
	if err != nil {
		panic(err)
	}
	s.seq++
	return raw
}

// frame feeds a frame of n packets and moves on by one frame duration.
func (s *source) frame(b *bench, n int, key bool) {
	for i := range n {
		s.feed(b, s.packet(i == 0, i == n-1, key))
	}
	s.ts += 3000
	s.picture++
}

func (s *source) feed(b *bench, raw []byte) {
	copy(s.reader.space(), raw)
	s.reader.sfu.start = time.Now().Add(-time.Duration(b.now))
	s.reader.take(len(raw))
}

func (b *bench) sources(all ...*source) {
	next := &sources{}
	for _, s := range all {
		next.video = append(next.video, s.layer)
	}
	b.sh.stream.sources.Store(next)
}

// pass lets d go by and the shard work, until nothing waits any more.
func (b *bench) pass(d time.Duration) {
	b.now += int64(d)
	b.sh.choose(b.now)
	b.sh.reports(b.now)
	for b.sh.forward(b.now) {
		b.now += int64(paceInterval)
	}
}

// continuous checks what every decoder relies on.
func continuous(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	for i, p := range packets {
		if p.SSRC != 1111 || p.PayloadType != testPT {
			t.Fatalf("packet %d has SSRC %d, payload type %d", i, p.SSRC, p.PayloadType)
		}
		if i == 0 {
			continue
		}
		before := packets[i-1]
		if p.SequenceNumber != before.SequenceNumber+1 {
			t.Fatalf("packet %d: sequence number %d after %d", i, p.SequenceNumber, before.SequenceNumber)
		}
		if d := int32(p.Timestamp - before.Timestamp); d < 0 || d == 0 != !before.Marker {
			t.Fatalf("packet %d: timestamp %d after %d", i, p.Timestamp, before.Timestamp)
		}
		picture, last := binary.BigEndian.Uint16(p.Payload[2:])&0x7fff, binary.BigEndian.Uint16(before.Payload[2:])&0x7fff
		want := last
		if before.Marker {
			want = (last + 1) & 0x7fff
		}
		if picture != want {
			t.Fatalf("packet %d: picture id %d after %d", i, picture, last)
		}
	}
}
