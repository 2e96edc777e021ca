package sfu

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"

	"github.com/sluice-live/sluice/sfu/internal/codec"
)

// FuzzViewerReports takes RTCP of a viewer that has been sent some frames.
func FuzzViewerReports(f *testing.F) {
	for _, p := range []rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: 1111, Nacks: []rtcp.NackPair{{PacketID: 65534, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: 1111},
		&rtcp.FullIntraRequest{MediaSSRC: 1111, FIR: []rtcp.FIREntry{{SSRC: 1111}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e30, SSRCs: []uint32{1111}},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 1111, FractionLost: 255, LastSequenceNumber: 1 << 31, Jitter: 1 << 31, LastSenderReport: 1, Delay: 1 << 31}}},
		&rtcp.ExtendedReport{Reports: []rtcp.ReportBlock{&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 1 << 63}}},
		&rtcp.TransportLayerCC{MediaSSRC: 1111, BaseSequenceNumber: 65535, PacketStatusCount: 1, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{RunLength: 1}}},
	} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench()
		src := newSource(b, "", 65533, 1<<32-100)
		b.sources(src)
		b.m.video.track.fecSSRC, b.m.video.track.delayID = 3333, testDelayID
		for range 6 {
			src.frame(b, 2, src.seq == 65533)
			b.pass(20 * time.Millisecond)
		}
		before := len(b.out.packets)
		v := b.m.viewer
		v.shard = b.sh
		b.sh.index[v] = 0
		packets, err := rtcp.Unmarshal(data)
		if err != nil {
			return
		}
		for _, p := range packets {
			v.feedback(p)
			for len(b.sh.commands) > 0 {
				b.sh.apply(<-b.sh.commands, b.now)
			}
		}
		b.pass(20 * time.Millisecond)
		if sent := len(b.out.packets) - before; sent > 12*maxResends {
			t.Fatalf("%d packets were sent again of 12", sent)
		}
	})
}

// readings is what a stream of packets gives, one read after the other.
type readings struct {
	all []reading
	n   int // reads so far
}

type reading struct {
	raw []byte
	err error
}

func (r *readings) Read(b []byte) (int, interceptor.Attributes, error) {
	if r.n++; r.n > len(r.all) {
		return 0, nil, io.EOF
	}
	next := r.all[r.n-1]
	return copy(b, next.raw), nil, next.err
}

// FuzzPublisherReports takes RTCP of a publisher, whatever it is: only a sender
// report of the layer itself counts, and its viewer goes on.
func FuzzPublisherReports(f *testing.F) {
	report := func(ssrc uint32, ntp uint64, rtp uint32) *rtcp.SenderReport {
		return &rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp, RTPTime: rtp, Reports: []rtcp.ReceptionReport{{SSRC: 1111, FractionLost: 255}}}
	}
	for _, packets := range [][]rtcp.Packet{
		{report(5, 3_900_000_000<<32, 1<<32-50)},
		{report(6, 1<<63, 1<<31), &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 5}}}, report(5, 0, 0)},
		{report(6, 1, 9000)},
		{report(5, 1, 9000), &rtcp.Goodbye{Sources: []uint32{5}}},
		{&rtcp.ExtendedReport{SenderSSRC: 5, Reports: []rtcp.ReportBlock{&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: 1, LastRR: 1 << 31, DLRR: 1 << 31}}}}}},
	} {
		raw, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, raw[:len(raw)-1])
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		b := newBench()
		src := newSource(b, "", 65533, 1<<32-100)
		src.layer.ssrc = 5
		b.sources(src)
		src.frame(b, 2, true)
		b.pass(20 * time.Millisecond)
		for _, raw := range [][]byte{one, two} {
			told := src.clock.report.Load()
			in := &readings{all: []reading{{raw: raw}}}
			readReports(in, src.layer, func() int64 { return b.now })
			if in.n != 2 {
				t.Fatalf("%d reads", in.n)
			}
			if packets, err := rtcp.Unmarshal(raw); src.clock.report.Load() != told && (err != nil || !ownReport(packets)) {
				t.Fatalf("its clock is from %x", raw)
			}
			for range 3 {
				src.frame(b, 2, false)
				b.sh.report(b.m, b.now)
				b.pass(20 * time.Millisecond)
			}
		}
		continuous(t, b.out.packets)
	})
}

// ownReport reports whether there is a sender report of the source among packets.
func ownReport(packets []rtcp.Packet) bool {
	return slices.ContainsFunc(packets, func(p rtcp.Packet) bool {
		sr, ok := p.(*rtcp.SenderReport)
		return ok && sr.SSRC == 5
	})
}

// FuzzListenerReports takes RTCP of a viewer that has only sound.
func FuzzListenerReports(f *testing.F) {
	for _, p := range []rtcp.Packet{
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 1111, FractionLost: 255, LastSequenceNumber: 1 << 31, Jitter: 1 << 31, LastSenderReport: 1, Delay: 1 << 31}, {SSRC: 1111}}},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 7, FractionLost: 255}}},
		&rtcp.TransportLayerNack{MediaSSRC: 1111, Nacks: []rtcp.NackPair{{LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: 1111},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e30, SSRCs: []uint32{1111}},
		&rtcp.ExtendedReport{Reports: []rtcp.ReportBlock{&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 1 << 63}}},
	} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h := newHostile(codec.Opus)
		v := h.m.viewer
		v.audio, v.video = v.video, nil
		v.shard = h.sh
		h.sh.index[v] = 0
		for range 5 {
			h.step(1|1<<4, []byte{0x80 | testOpus, 15, 0, 1, testOpus, 7, 8})
			h.pass(20 * time.Millisecond)
		}
		sent := len(h.out.packets)
		v.readFeedback(&readings{all: []reading{{raw: data}}}, v.hearing)
		for len(h.sh.commands) > 0 {
			h.sh.apply(<-h.sh.commands, h.now)
		}
		h.pass(20 * time.Millisecond)
		if n := len(h.out.packets) - sent; n != 0 {
			t.Fatalf("%d packets are sent for a report", n)
		}
		h.step(1|1<<4, []byte{0x80 | testOpus, 15, 0, 1, testOpus, 7, 8})
		h.pass(20 * time.Millisecond)
		if len(h.out.packets) == sent {
			t.Fatal("its sound has ended")
		}
	})
}

// FuzzSenderReports takes any clock of a publisher.
func FuzzSenderReports(f *testing.F) {
	f.Add(uint64(3_900_000_000<<32), uint32(0), uint64(1), uint32(1<<31), int64(time.Hour))
	f.Add(uint64(1<<63), uint32(1<<31), uint64(1<<64-1), uint32(5), int64(-1))
	f.Fuzz(func(t *testing.T, ntp1 uint64, rtp1 uint32, ntp2 uint64, rtp2 uint32, at int64) {
		b := newBench()
		one, two := newSource(b, "q", 1, rtp1), newSource(b, "f", 60000, rtp2)
		b.sources(one, two)
		two.layer.clock.offset = one.layer.clock.offset
		one.layer.clock.observe(ntp1, rtp1, b.now)
		two.layer.clock.observe(ntp2, rtp2, b.now+at%int64(time.Minute))
		for i, s := range []*source{one, two, one} {
			s.frame(b, 1, true)
			b.m.video.want(s.layer, b.now)
			s.frame(b, 1, true)
			b.sh.now = b.now
			b.m.video.forward(b.sh, b.now)
			b.sh.report(b.m, b.now)
			b.now += int64(20*time.Millisecond) * int64(i)
		}
		for i, p := range b.out.packets[1:] {
			if before := b.out.packets[i]; p.SequenceNumber != before.SequenceNumber+1 || int32(p.Timestamp-before.Timestamp) <= 0 {
				t.Fatalf("packet %d at %d after %d at %d", p.SequenceNumber, p.Timestamp, before.SequenceNumber, before.Timestamp)
			}
		}
	})
}
