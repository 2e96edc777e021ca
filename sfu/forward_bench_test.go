package sfu

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/egress"
)

// BenchmarkForward sends frames of nine packets of 1200 bytes to viewers behind
// real sockets that overflow: rewriting, AES-GCM and the kernel's transmit path.
// It reports the time and the allocations for each packet of each viewer. In the
// case before the last the frames are cut as browsers do, into about equal parts;
// in the last their packets come a millisecond apart, and each wakes the shard.
func BenchmarkForward(b *testing.B) {
	for _, viewers := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(viewers), func(b *testing.B) { benchmarkForward(b, viewers, framePackets, 0) })
	}
	b.Run("100 in about equal parts", func(b *testing.B) { benchmarkForward(b, 100, framePackets/2, 0) })
	b.Run("100 spread over time", func(b *testing.B) { benchmarkForward(b, 100, framePackets, time.Millisecond) })
}

// framePackets of a frame are sent.
const framePackets = 9

// benchmarkForward sends frames whose first packets have 1200 bytes and the rest
// one more. With spread, so much time goes by before each of them.
func benchmarkForward(b *testing.B, viewers, first int, spread time.Duration) {
	t := newBench()
	sender, sink := localUDP(b), localUDP(b)
	socket, err := egress.NewSocket(sender)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = socket.Close() })
	t.sh.batch = egress.NewBatch(socket)
	to := sink.LocalAddr().(*net.UDPAddr).AddrPort()
	t.sh.members = nil
	t.sh.sfu.counters.viewers.Store(int64(viewers))
	for range viewers {
		seal, err := newSealer(srtp.ProtectionProfileAeadAes128Gcm, make([]byte, 16), make([]byte, 12))
		if err != nil {
			b.Fatal(err)
		}
		w := &directWire{sealer: seal}
		w.to.Store(&to)
		v := &Viewer{session: &session{sfu: t.sh.sfu}, stream: t.sh.stream, video: testTrack(nil), rtcp: t.out}
		t.sh.members = append(t.sh.members, newMember(v, w, sluice.LayerChoice{}, t.now))
	}
	src := newSource(t, "", 1, 0)
	t.sources(src)
	src.frame(t, 1, true)
	t.pass(0)
	t.sh.flush()

	raw := make([]byte, 1201)
	copy(raw, src.packet(true, true, false))
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		t.now += int64(33 * time.Millisecond)
		src.ts += 3000
		for i := range framePackets {
			raw := raw[:1200+min(max(i+1-first, 0), 1)]
			src.seq++
			binary.BigEndian.PutUint16(raw[2:], src.seq)
			binary.BigEndian.PutUint32(raw[4:], src.ts)
			copy(src.reader.space(), raw)
			if spread > 0 {
				t.now += int64(spread)
				t.sh.sfu.start = time.Now().Add(-time.Duration(t.now))
			}
			src.reader.take(len(raw))
			if spread > 0 {
				t.sh.forward(t.now)
				t.sh.flush()
			}
		}
		t.sh.forward(t.now)
		t.sh.flush()
	}
	packets := float64(b.N) * framePackets * float64(viewers)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets, "ns/packet/viewer")
}

func localUDP(b testing.TB) *net.UDPConn {
	b.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}
