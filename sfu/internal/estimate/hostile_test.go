package estimate

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// TestHostileFeedback is what a decoder may hand over, and what none would.
func TestHostileFeedback(t *testing.T) {
	run := func(symbol, n uint16) rtcp.PacketStatusChunk {
		return &rtcp.RunLengthChunk{PacketStatusSymbol: symbol, RunLength: n}
	}
	var many []rtcp.PacketStatusChunk
	for range 100_000 {
		many = append(many, run(0, 0))
	}
	for _, c := range []struct {
		name string
		fb   *rtcp.TransportLayerCC
	}{
		{"nil", nil},
		{"empty", &rtcp.TransportLayerCC{}},
		{"nil chunk", &rtcp.TransportLayerCC{PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{nil}}},
		{"nil run", &rtcp.TransportLayerCC{PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{(*rtcp.RunLengthChunk)(nil)}}},
		{"nil vector", &rtcp.TransportLayerCC{PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{(*rtcp.StatusVectorChunk)(nil)}}},
		{"no deltas", &rtcp.TransportLayerCC{PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{run(1, 9)}}},
		{"nil delta", &rtcp.TransportLayerCC{
			PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{run(1, 9)}, RecvDeltas: []*rtcp.RecvDelta{nil},
		}},
		{"all lost, all numbers", &rtcp.TransportLayerCC{
			PacketStatusCount: 65535, PacketChunks: []rtcp.PacketStatusChunk{run(0, 65535)},
		}},
		{"all here, no time", &rtcp.TransportLayerCC{
			PacketStatusCount: 65535, PacketChunks: []rtcp.PacketStatusChunk{run(3, 65535)},
		}},
		{"unknown symbol", &rtcp.TransportLayerCC{PacketStatusCount: 9, PacketChunks: []rtcp.PacketStatusChunk{run(77, 9)}}},
		{"empty chunks", &rtcp.TransportLayerCC{PacketStatusCount: 65535, PacketChunks: many}},
		{"wild delta", &rtcp.TransportLayerCC{
			ReferenceTime: math.MaxUint32, PacketStatusCount: 2, BaseSequenceNumber: 100,
			PacketChunks: []rtcp.PacketStatusChunk{run(2, 2)},
			RecvDeltas:   []*rtcp.RecvDelta{{Delta: math.MaxInt64}, {Delta: math.MinInt64}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, base := range []uint16{0, 100, 299, 300, 5000, 65000} {
				e := New(Config{})
				e.Feedback(c.fb, 1)
				for seq := range uint16(300) {
					e.Sent(seq, 1200, int64(seq)*int64(time.Millisecond), false)
				}
				for i := range int64(5) {
					if c.fb != nil {
						c.fb.BaseSequenceNumber = base
					}
					e.Feedback(c.fb, int64(time.Second)*(i+1))
					sane(t, e, Config{})
				}
			}
		})
	}
}

// TestFutureAndForgottenPackets checks that only packets in the history count.
func TestFutureAndForgottenPackets(t *testing.T) {
	e := New(Config{})
	for seq := range 5000 {
		e.Sent(uint16(seq), 1200, int64(seq)*int64(time.Millisecond), false)
	}
	now := 5 * int64(time.Second)
	for _, first := range []int64{0, 2900, 5000, 40000, 65500} {
		var at []arrival
		for i := range int64(20) {
			at = append(at, arrival{seq: first + i, at: i * 1000})
		}
		expected := first
		e.Feedback(report(t, at, &expected, 1), now)
		if s := e.State(); s.Source != "none" || s.Received != 0 {
			t.Errorf("packets from %d on were believed: %+v", first, s)
		}
	}
	expected := int64(4990)
	e.Feedback(report(t, []arrival{{4995, 0}}, &expected, 2), now)
	if s := e.State(); s.Source != "transport-cc" {
		t.Errorf("a packet of the history was ignored: %+v", s)
	}
}

// TestSentOddities are sizes and times that no sender should pass.
func TestSentOddities(t *testing.T) {
	e := New(Config{})
	for i, size := range []int{-1, 0, 1 << 30, math.MinInt, math.MaxInt} {
		e.Sent(uint16(i), size, int64(i-2)*int64(time.Hour), i%2 == 0)
		e.StartProbe(math.MaxInt, math.MaxInt, int64(i))
		e.StartProbe(-1, -1, int64(i))
		_ = e.ProbeBudget(int64(i), uint64(i))
	}
	sane(t, e, Config{})
}

// FuzzFeedback takes reports from the wire: first what was sent, then reports of
// any form with anything else in between.
func FuzzFeedback(f *testing.F) {
	raw, err := twenty(f).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, uint16(1000), int64(50_000_000))
	f.Add(raw, uint16(65530), int64(-1))
	f.Add(append(append([]byte{}, raw...), raw...), uint16(990), int64(math.MaxInt64))
	f.Add([]byte{0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0, 9, 1, 2, 3, 4}, uint16(0), int64(1))
	f.Fuzz(func(t *testing.T, data []byte, seq uint16, step int64) {
		e := New(Config{})
		now := int64(time.Second)
		for i := range uint16(400) {
			e.Sent(seq+i, 1200, now+int64(i)*1_000_000, i%7 == 0)
		}
		for round := range 8 {
			now += step
			fb := new(rtcp.TransportLayerCC)
			if fb.Unmarshal(data) == nil {
				fb.FbPktCount += uint8(round)
				e.Feedback(fb, now)
			}
			if len(data) >= 16 {
				e.REMB(math.Float64frombits(binary.BigEndian.Uint64(data)), now)
				e.Report(Reception{Loss: math.Float64frombits(binary.BigEndian.Uint64(data[8:])), RTT: step, Sent: int(step)}, now)
			}
			e.StartProbe(int(step), int(step), now)
			if n := e.ProbeBudget(now, uint64(step)); n < 0 {
				t.Fatalf("a budget of %d", n)
			}
			e.Sent(seq+uint16(round), len(data), now, true)
			sane(t, e, Config{})
		}
	})
}
