package sfu

import (
	"bytes"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/sluice-live/sluice/sfu/internal/egress"
)

// direct lets the bench's viewer get its packets through a real socket, and
// returns that.
func direct(t *testing.T, b *bench) *net.UDPConn {
	t.Helper()
	socket, err := egress.NewSocket(localUDP(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	sink := localUDP(t)
	to := sink.LocalAddr().(*net.UDPAddr).AddrPort()
	seal, err := newSealer(srtp.ProtectionProfileAeadAes128Gcm, make([]byte, 16), make([]byte, 12))
	if err != nil {
		t.Fatal(err)
	}
	w := &directWire{sealer: seal}
	w.to.Store(&to)
	b.sh.batch, b.m.video.wire = egress.NewBatch(socket), w
	return sink
}

// take returns the next n datagrams, decrypted.
func take(t *testing.T, sink *net.UDPConn, n int) (packets []rtp.Packet) {
	t.Helper()
	context, err := srtp.CreateContext(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range n {
		buf := make([]byte, 2*maxPacket)
		size, err := sink.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := context.DecryptRTP(nil, buf[:size], nil)
		if err != nil {
			t.Fatal(err)
		}
		var p rtp.Packet
		if err := p.Unmarshal(plain); err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
	return packets
}

// evened is a viewer that has been sent a keyframe of one packet, and where its
// packets go.
func evened(t *testing.T) (*bench, *net.UDPConn, *source) {
	t.Helper()
	b := newBench()
	sink := direct(t, b)
	src := newSource(b, "", 1, 0)
	b.sources(src)
	src.frame(b, 1, true)
	b.pass(0)
	return b, sink, src
}

// sized feeds a frame whose payloads have these sizes and returns them.
func (s *source) sized(b *bench, key bool, sizes ...int) (payloads [][]byte) {
	for i, size := range sizes {
		var p rtp.Packet
		if err := p.Unmarshal(s.packet(i == 0, i == len(sizes)-1, key)); err != nil {
			panic(err)
		}
		for at := len(p.Payload); at < size; at++ {
			p.Payload = append(p.Payload, byte(at*7+i))
		}
		raw, err := p.Marshal()
		if err != nil {
			panic(err)
		}
		s.feed(b, raw)
		payloads = append(payloads, p.Payload)
	}
	s.ts += 3000
	s.picture++
	return payloads
}

func TestPacketsOfAFrameAreMadeEqual(t *testing.T) {
	about := []int{1000, 1000, 1000, 1001, 1001, 1001}
	rest := []int{1000, 1000, 1000, 1000, 1000, 1000, 1000, 930, 120}
	tests := []struct {
		name       string
		prepare    func(*member)
		sizes      []int
		sent       []int
		stretching int // bytes of padding
	}{
		{"about equal parts, the larger ones last", nil, about, []int{1001, 1001, 1001, 1001, 1001, 1001}, 3},
		{"the larger ones first", nil, []int{1001, 1001, 1000, 1000}, []int{1001, 1001, 1001, 1000}, 1},
		{"a rest too small for a packet", nil, rest, []int{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 120}, 70},
		{"equal already", nil, []int{1000, 1000, 300}, []int{1000, 1000, 300}, 0},
		{"one packet", nil, []int{700}, []int{700}, 0},
		{"slices", nil, []int{1000, 400, 1000, 400, 1000, 400}, []int{1000, 400, 1000, 400, 1000, 400}, 0},
		{"much for a small frame", nil, []int{1000, 930, 120}, []int{1000, 930, 120}, 0},
		{"a narrow path", func(m *member) { m.video.pace = 50_000_000 }, about, about, 0},
		{"repair packets", func(m *member) { m.video.track.shield = &shield{until: math.MaxInt64, group: 10} }, about, about, 0},
		{"resends in place", func(m *member) { m.video.track.rtxSSRC = 0 }, about, about, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, sink, src := evened(t)
			if tt.prepare != nil {
				tt.prepare(b.m)
			}
			want := src.sized(b, false, tt.sizes...)
			before := b.m.video.reported.octets
			b.sh.forward(b.now + int64(33*time.Millisecond))
			b.sh.flush()
			total := 0
			for i, p := range take(t, sink, 1+len(tt.sizes))[1:] {
				if !bytes.Equal(p.Payload, want[i]) || p.Marker != (i == len(want)-1) {
					t.Errorf("packet %d has another payload or marker", i)
				}
				if sent := len(p.Payload) + int(p.PaddingSize); sent != tt.sent[i] {
					t.Errorf("packet %d is sent with %d bytes, want %d", i, sent, tt.sent[i])
				}
				total += len(p.Payload)
			}
			if got := int(b.m.video.padded); got != tt.stretching {
				t.Errorf("%d bytes of padding, want %d", got, tt.stretching)
			}
			if got := int(b.m.video.reported.octets - before); got != total {
				t.Errorf("%d octets reported, want %d: padding does not count", got, total)
			}
		})
	}
}

// TestAPaddedPacketIsSentAgainWithoutPadding: retransmissions have the payload
// alone (RFC 4588 section 4).
func TestAPaddedPacketIsSentAgainWithoutPadding(t *testing.T) {
	b, sink, src := evened(t)
	want := src.sized(b, false, 1000, 1000, 1001, 1001)
	b.pass(33 * time.Millisecond)
	b.sh.flush()
	sent := take(t, sink, 5)[1]
	if sent.PaddingSize != 1 {
		t.Fatalf("padding of %d bytes, want 1", sent.PaddingSize)
	}
	if !b.m.video.again(b.sh, sent.SequenceNumber, 0, b.now) {
		t.Fatal("not sent again")
	}
	b.sh.flush()
	again := take(t, sink, 1)[0]
	if again.SSRC != 2222 || again.Padding || !bytes.Equal(again.Payload[2:], want[0]) {
		t.Errorf("SSRC %d, padding %v, %d bytes", again.SSRC, again.Padding, len(again.Payload))
	}
}

// TestFramesInPartsAreMadeEqualByPart: what has not come yet is not known.
func TestFramesInPartsAreMadeEqualByPart(t *testing.T) {
	b, sink, src := evened(t)
	raw := func(size int, last bool) []byte {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: src.seq, Timestamp: src.ts, SSRC: 5, Marker: last}, Payload: append([]byte{0x80, 0x80, 0x80, 2}, make([]byte, size-4)...)}
		src.seq++
		out, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var sizes []int
	for _, part := range [][]int{{1000, 1001}, {1000, 1002, 1002}} {
		for i, size := range part {
			src.feed(b, raw(size, len(part) == 3 && i == 2))
		}
		b.pass(2 * time.Millisecond) // longer than a frame's end is waited for
	}
	b.sh.flush()
	for _, p := range take(t, sink, 6)[1:] {
		sizes = append(sizes, len(p.Payload)+int(p.PaddingSize))
	}
	if want := []int{1001, 1001, 1002, 1002, 1002}; !slices.Equal(sizes, want) {
		t.Errorf("sizes %v, want %v", sizes, want)
	}
}
