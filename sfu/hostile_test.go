package sfu

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// TestMalformedPackets are of no RTP (RFC 3550 section 5.1), or say more than they
// have.
func TestMalformedPackets(t *testing.T) {
	header := func(first byte, rest ...byte) []byte {
		return append([]byte{first, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5}, rest...)
	}
	for _, tt := range []struct {
		name    string
		raw     []byte
		ok      bool
		payload int
	}{
		{"nothing", nil, false, 0},
		{"one byte", []byte{0x80}, false, 0},
		{"eleven bytes", header(0x80)[:11], false, 0},
		{"no payload", header(0x80), true, 0},
		{"a payload", header(0x80, 1, 2, 3), true, 3},
		{"padding", header(0xa0, 1, 2, 2), true, 1},
		{"only padding", header(0xa0, 0, 0, 3), true, 0},
		{"padding of nothing", header(0xa0, 1, 2, 0), false, 0},
		{"padding that is too long", header(0xa0, 1, 2, 4), false, 0},
		{"padding that is very long", header(0xa0, 1, 2, 255), false, 0},
		{"padding without a payload", header(0xa0), false, 0},
		{"15 sources that are not there", header(0x8f), false, 0},
		{"an extension that is not there", header(0x90), false, 0},
		{"an extension past the end", header(0x90, 0xbe, 0xde, 0, 9, 1, 2, 3, 4), false, 0},
		{"an extension of 256 KiB", header(0x90, 0xbe, 0xde, 0xff, 0xff), false, 0},
		{"an element past the extension", header(0x90, 0xbe, 0xde, 0, 1, 0x1f, 0, 0, 0), false, 0},
		{"a two-byte element past the extension", header(0x90, 0x10, 0, 0, 1, 1, 0xff, 0, 0), false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h rtp.Header
			payload, ok := parseRTP(&h, tt.raw)
			if ok != tt.ok || len(payload) != tt.payload {
				t.Errorf("taken %t, a payload of %d bytes", ok, len(payload))
			}
		})
	}
}

// TestReaderGoesOn gives a reader what is longer than it takes, of a payload type that
// it does not know, and no RTP: each counts, and what is right comes through.
func TestReaderGoesOn(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	good := reading{raw: src.packet(true, true, true)}
	end := errors.New("the end")
	in := &readings{all: []reading{
		{err: fmt.Errorf("read: %w", io.ErrShortBuffer)}, {err: fmt.Errorf("read: %w", webrtc.ErrCodecNotFound)}, {raw: []byte{0x80}}, {}, good, {err: end}, good,
	}}
	if err := src.reader.run(in); !errors.Is(err, end) {
		t.Errorf("it ends with %v", err)
	}
	if n := b.sh.sfu.counters.malformed.Load(); n != 4 {
		t.Errorf("%d of 4 packets count as malformed", n)
	}
	if n := src.layer.packets.Load(); n != 1 || in.n != 6 {
		t.Errorf("%d packets of one come through %d reads", n, in.n)
	}
}

// TestSilentViewerIsGivenUp has a viewer that answers no more: what is sent to it
// ends, and it is freed.
func TestSilentViewerIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newTestSFU(t, Config{})
	publish(t, s)
	live(t, s, 1)
	p := newRawPeer(t, s)
	v := p.watch(s)
	p.connect()
	eventually(t, "media", func() bool { return p.media.Load() > 50 })
	eventually(t, "question for consent", func() bool { return p.checks.Load() > 0 })
	p.silent.Store(true)
	since := time.Now()
	select {
	case <-v.Done():
	case <-time.After(iceDisconnected + iceFailed + patience):
		t.Fatal("it is sent to for ever")
	}
	t.Logf("given up after %v", time.Since(since).Round(time.Millisecond))
	other := watch(t, s)
	other.more(t, 20)
	sent := p.media.Load()
	other.more(t, 20)
	if n := p.media.Load() - sent; n != 0 {
		t.Errorf("%d packets were sent to a viewer that is gone", n)
	}
}

// endless is RTCP without an end, as fast as it is read.
type endless struct{ left int }

func (e *endless) Read(b []byte) (int, interceptor.Attributes, error) {
	if e.left--; e.left < 0 {
		return 0, nil, errors.New("that was all")
	}
	raw, err := (&rtcp.PictureLossIndication{MediaSSRC: 1111}).Marshal()
	return copy(b, raw), nil, err
}

func TestFeedbackIsBounded(t *testing.T) {
	v := newBench().m.viewer
	taken := 0
	v.readFeedback(&endless{left: 50 * feedbackBurst}, func(rtcp.Packet) { taken++ })
	if taken < feedbackBurst || taken > 2*feedbackBurst {
		t.Errorf("%d packets of %d are taken at once", taken, 50*feedbackBurst)
	}
	if n := v.sfu.counters.commandsDropped.Load(); int(n) != 50*feedbackBurst-taken {
		t.Errorf("%d count as dropped", n)
	}
}

// storm asks again and again for everything.
func storm(t *testing.T, b *bench) {
	t.Helper()
	v := b.m.viewer
	v.shard = b.sh
	b.sh.index[v] = 0
	n := &rtcp.TransportLayerNack{MediaSSRC: 1111}
	for first := 0; first < 1<<16; first += 17 {
		n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: uint16(first), LostPackets: 0xffff})
	}
	for len(n.Nacks) > 0 {
		part := *n
		part.Nacks = n.Nacks[:min(len(n.Nacks), 250)]
		n.Nacks = n.Nacks[len(part.Nacks):]
		v.feedback(&part)
		for len(b.sh.commands) > 0 {
			b.sh.apply(<-b.sh.commands, b.now)
		}
	}
}

// TestResendStorm asks for each packet all the time: what is sent again is a part
// of the media, each packet a few times.
func TestResendStorm(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 10, 0)
	b.sources(src)
	for i := range 600 {
		for n := range 4 {
			src.feed(b, append(src.packet(n == 0, n == 3, i%60 == 0), make([]byte, 1000)...))
		}
		src.ts += 3000
		src.picture++
		b.pass(20 * time.Millisecond)
		storm(t, b)
	}
	media, again := 0, 0
	times := map[string]int{}
	for _, p := range b.out.packets {
		if p.SSRC == 1111 {
			media += len(p.Payload)
			continue
		}
		again += len(p.Payload)
		times[string(p.Payload[:2])+fmt.Sprint(p.Timestamp)]++
	}
	if again > media/4+64<<10 { // a quarter, and what may be sent before anything was earned
		t.Errorf("%d bytes sent again beside %d", again, media)
	}
	for _, n := range times {
		if n > 3 {
			t.Fatalf("a packet was sent again %d times", n)
		}
	}
	t.Logf("%d bytes sent again beside %d", again, media)
}

// TestLongNACKsAreCut takes only so much of one RTCP packet.
func TestLongNACKsAreCut(t *testing.T) {
	b := newBench()
	v := b.m.viewer
	v.shard = b.sh
	v.feedback(&rtcp.TransportLayerNack{MediaSSRC: 1111, Nacks: make([]rtcp.NackPair, 1000)})
	if c := <-b.sh.commands; len(c.nacks) != maxNACKPairs {
		t.Errorf("%d pairs are looked at", len(c.nacks))
	}
}

// TestLyingReports are of one viewer: another one, and the publisher, do not notice.
func TestLyingReports(t *testing.T) {
	b := newBench()
	low, high := newSource(b, "q", 10, 0), newSource(b, "f", 10, 0)
	b.sources(low, high)
	other := newMember(&Viewer{session: &session{sfu: b.sh.sfu}, stream: b.sh.stream, video: testTrack(&recorder{}), rtcp: &recorder{}}, pionWire{}, sluice.LayerChoice{}, b.now)
	b.sh.members = append(b.sh.members, other)
	for i, m := range b.sh.members {
		m.video.track.twccID = 1
		m.viewer.shard = b.sh
		b.sh.index[m.viewer] = i
	}
	liar := b.m.viewer
	frames := func(n int, lies ...rtcp.Packet) {
		for i := range n {
			for _, s := range []*source{low, high} {
				s.frame(b, 1+3*len(s.rid), i%25 == 0)
			}
			for _, p := range lies {
				liar.feedback(p)
			}
			for len(b.sh.commands) > 0 {
				b.sh.apply(<-b.sh.commands, b.now)
			}
			b.pass(20 * time.Millisecond)
		}
	}
	frames(200)
	layer, asked := other.video.current, len(low.asked)+len(high.asked)
	before := *other
	for name, lie := range map[string]rtcp.Packet{
		"REMB of everything": &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: math.MaxFloat32, SSRCs: []uint32{1111}},
		"REMB of nothing":    &rtcp.ReceiverEstimatedMaximumBitrate{SSRCs: []uint32{1111}},
		"REMB below nothing": &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: -1, SSRCs: []uint32{1111}},
		"all is lost":        &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 1111, FractionLost: 255, TotalLost: 1<<24 - 1, Jitter: math.MaxUint32, LastSenderReport: 1, Delay: math.MaxUint32}}},
		"the future":         &rtcp.TransportLayerCC{MediaSSRC: 1111, BaseSequenceNumber: 60000, ReferenceTime: 1<<24 - 1, PacketStatusCount: 100, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: 1, RunLength: 100}}},
	} {
		frames(100, lie)
		if other.video.current != layer || other.reception != before.reception {
			t.Errorf("%s: the other viewer has layer %q, reception %+v", name, other.video.current.rid, other.reception)
		}
		if n := b.m.snapshot().Estimate; n > 200_000_000 {
			t.Errorf("%s: an estimate of %d", name, n)
		}
	}
	if n := len(low.asked) + len(high.asked); n > asked+2 {
		t.Errorf("the publisher is asked for %d keyframes", n-asked)
	}
}

// TestUndeclaredStreams sends far more RTP streams, layers and payload types than
// were offered: few are taken, and what was offered goes on.
func TestUndeclaredStreams(t *testing.T) {
	s := newTestSFU(t, Config{})
	p := newRawPeer(t, s)
	offer := p.offer("sendonly", "a=extmap:4 "+sdp.SDESMidURI, "a=extmap:10 "+sdp.SDESRTPStreamIDURI,
		"a=msid:raw video", "a=rid:a send", "a=rid:b send", "a=rid:c send", "a=rid:d send", "a=rid:e send", "a=rid:f send", "a=simulcast:send a;b;c;d;e;f")
	pub, err := s.Publish(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	p.answered(pub.Answer())
	p.connect()
	src := &source{seq: 100, ts: 1 << 20}
	send := func(ssrc uint32, pt uint8, rid string) {
		raw := src.packet(true, true, true)
		var packet rtp.Packet
		if err := packet.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		packet.SSRC, packet.PayloadType = ssrc, pt
		if rid != "" {
			if err := errors.Join(packet.SetExtension(4, []byte("v")), packet.SetExtension(10, []byte(rid))); err != nil {
				t.Fatal(err)
			}
		}
		p.send(p.sealed(packet.Header, packet.Payload))
		src.ts += 3000
	}
	layers := func() int {
		st, _ := s.Stream("demo")
		return len(st.Layers)
	}
	rids := []string{"a", "b", "c", "d", "e", "f"}
	eventually(t, "layers", func() bool {
		for i, rid := range rids {
			send(uint32(10+i), 96, rid)
		}
		return layers() >= maxLayers
	})
	before := runtime.NumGoroutine()
	for i := range uint32(3000) {
		send(1000+i, 96, "")
		send(10000+i, uint8(i%128), "x"+fmt.Sprint(i%50))
		if i%10 == 0 {
			send(10, uint8(i%128), "a")
		}
	}
	arrived := func() uint64 { return s.Counters().PacketsIn[Video] }
	was := arrived()
	eventually(t, "more of what was offered", func() bool {
		send(10, 96, "a")
		return arrived() > was+20
	})
	if n := layers(); n != maxLayers {
		t.Errorf("%d layers", n)
	}
	if n := runtime.NumGoroutine() - before; n > 60 {
		t.Errorf("%d goroutines more", n)
	}
	pub.Close("test")
}
