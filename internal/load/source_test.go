package load

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/pion/rtp"
)

// frames collects the packets of n frames.
func frames(t *testing.T, s *source, n int) [][]rtp.Packet {
	t.Helper()
	var all [][]rtp.Packet
	clock := int64(1_700_000_000_000_000_000)
	for range n {
		var frame []rtp.Packet
		err := s.next(func() int64 { clock++; return clock }, func(b []byte) error {
			var p rtp.Packet
			if err := p.Unmarshal(append([]byte(nil), b...)); err != nil {
				return err
			}
			frame = append(frame, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, frame)
	}
	return all
}

func TestSourceHasTheBitrate(t *testing.T) {
	for _, codec := range []string{H264, VP8} {
		for i, bitrate := range []int{300_000, 2_500_000, 8_000_000, 2_500_000} {
			s := newSource(codec, bitrate, 1, 96)
			s.equal = i == 3
			total := 0
			for _, frame := range frames(t, s, 2*framesPerGOP) {
				if s.equal && len(frame) > 10 {
					t.Fatalf("%s: a frame of %d packets where all are equal", codec, len(frame))
				}
				for _, p := range frame {
					if p.MarshalSize() > packetBytes {
						t.Fatalf("%s at %d: a packet of %d bytes", codec, bitrate, p.MarshalSize())
					}
					total += p.MarshalSize()
				}
			}
			if want := bitrate / 8 * 4; total != want {
				t.Errorf("%s at %d bit/s: %d bytes in four seconds, want %d", codec, bitrate, total, want)
			}
		}
	}
}

func TestSourceIsForwardable(t *testing.T) {
	for _, codec := range []string{H264, VP8} {
		t.Run(codec, func(t *testing.T) {
			s := newSource(codec, 2_500_000, 7, 96)
			s.seq = math.MaxUint16 - 20
			seq, number := s.seq, uint32(0)
			for i, frame := range frames(t, s, framesPerGOP+2) {
				key := i%framesPerGOP == 0
				for j, p := range frame {
					last := j == len(frame)-1
					if p.SequenceNumber != seq || p.SSRC != 7 || p.PayloadType != 96 || p.Marker != last || p.Timestamp != uint32(i*3000) {
						t.Fatalf("frame %d packet %d: header %+v", i, j, p.Header)
					}
					seq++
					if got := startsKeyframe(codec, p.Payload); got != (key && (j == 0 || codec == H264 && j == 1)) {
						t.Errorf("frame %d packet %d starts a keyframe: %v", i, j, got)
					}
					checkStamp(t, p, number, key, last)
					number++
				}
			}
		})
	}
}

func checkStamp(t *testing.T, p rtp.Packet, number uint32, key, last bool) {
	t.Helper()
	s, rest, ok := nextStamp(p.Payload)
	if p.Payload[0]&nalType == nalSTAPA && !ok {
		return // parameter sets have none
	}
	if again, after, twice := nextStamp(rest); ok && last && twice && again == s {
		rest = after
	}
	if !ok || s.number != number || s.key != key || s.last != last || len(rest) != 0 {
		t.Errorf("packet %d: stamp %+v %v, %d bytes after it", number, s, ok, len(rest))
	}
}

func TestParameterSetsParse(t *testing.T) {
	var parsed h264.SPS
	if err := parsed.Unmarshal([]byte(sps)); err != nil {
		t.Fatal(err)
	}
	if parsed.Width() != 1280 || parsed.Height() != 720 {
		t.Errorf("the SPS is of %dx%d", parsed.Width(), parsed.Height())
	}
}

func TestNoStartCodes(t *testing.T) {
	s := newSource(H264, 2_500_000, 7, 96)
	for i, frame := range frames(t, s, framesPerGOP+1) {
		for _, p := range frame {
			if p.Payload[0]&nalType == nalSTAPA {
				continue
			}
			if bytes.Contains(p.Payload, []byte{0, 0}) {
				t.Fatalf("frame %d holds two zero bytes", i)
			}
		}
	}
}

// TestEachPacketWaitsForItsTurn: also that of parameter sets, which has no stamp.
func TestEachPacketWaitsForItsTurn(t *testing.T) {
	for _, codec := range []string{H264, VP8} {
		s := newSource(codec, 2_500_000, 7, 96)
		for frame := range framesPerGOP + 1 {
			said, turns, sent := s.packets(), 0, 0
			turn := func() int64 { turns++; return 1 }
			if err := s.next(turn, func([]byte) error {
				if sent++; sent != turns {
					t.Errorf("%s: packet %d of frame %d after %d turns", codec, sent, frame, turns)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if said != sent && said != sent+1 {
				t.Errorf("%s: frame %d has %d packets, %d were expected", codec, frame, sent, said)
			}
		}
	}
}

func TestAlarmIsNotEarly(t *testing.T) {
	clock, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{-time.Second, 0, 300 * time.Microsecond, 3 * time.Millisecond} {
		begun := time.Now()
		clock.wait(d)
		if took := time.Since(begun); took < d {
			t.Errorf("%v for %v", took, d)
		}
	}
	if err := clock.close(); err != nil {
		t.Error(err)
	}
}

func TestSourceDoesNotAllocate(t *testing.T) {
	s := newSource(H264, 2_500_000, 7, 96)
	now, send := func() int64 { return 1 }, func([]byte) error { return nil }
	if n := testing.AllocsPerRun(100, func() { _ = s.next(now, send) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func TestKeyframesOfOthers(t *testing.T) {
	tests := []struct {
		name    string
		codec   string
		payload []byte
		want    bool
	}{
		{"empty", H264, nil, false},
		{"SPS alone", H264, []byte{0x67, 0x42, 0xe0}, true},
		{"IDR alone", H264, []byte{0x65, 0x88}, true},
		{"slice alone", H264, []byte{0x61, 0x9a}, false},
		{"later fragment of an IDR", H264, []byte{0x7c, 0x05, 1}, false},
		{"short aggregate", H264, []byte{0x78, 0}, false},
		{"VP8 keyframe, no extension", VP8, []byte{0x10, 0x10, 0}, true},
		{"VP8 delta frame", VP8, []byte{0x10, 0x11, 0}, false},
		{"VP8 keyframe, short picture id, TL0PICIDX and TID", VP8, []byte{0x90, 0xe0, 0x01, 0x02, 0x03, 0x10}, true},
		{"VP8 later packet", VP8, []byte{0x00, 0x10}, false},
		{"VP8 cut short", VP8, []byte{0x90, 0x80}, false},
	}
	for _, tt := range tests {
		if got := startsKeyframe(tt.codec, tt.payload); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func FuzzKeyframe(f *testing.F) {
	f.Add([]byte{0x90, 0xe0, 0x81})
	f.Add([]byte{0x78, 0, 9, 0x67})
	f.Fuzz(func(_ *testing.T, payload []byte) {
		startsKeyframe(VP8, payload)
		startsKeyframe(H264, payload)
	})
}

func FuzzStamp(f *testing.F) {
	b := make([]byte, 40)
	stamp{sent: math.MaxInt64, number: math.MaxUint32, last: true}.put(b)
	f.Add(b)
	f.Add(b[:39])
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			_, rest, ok := nextStamp(b)
			if !ok {
				return
			}
			if len(rest) > len(b)-stampBytes {
				t.Fatal("a stamp was taken twice")
			}
			b = rest
		}
	})
}

func TestStampKeepsItsValues(t *testing.T) {
	for _, want := range []stamp{
		{}, {sent: math.MaxInt64, number: math.MaxUint32, frame: math.MaxUint32, last: true, key: true}, {sent: 1_700_000_000_123_456_789, number: 12345, frame: 678, key: true},
	} {
		b := make([]byte, 100)
		want.put(b[:60])
		got, rest, ok := nextStamp(b)
		if !ok || got != want || len(rest) != 40 {
			t.Errorf("got %+v %v and %d bytes, want %+v", got, ok, len(rest), want)
		}
		if _, _, ok := nextStamp(b[:59]); ok {
			t.Error("a stamp that is cut was taken")
		}
		if bytes.IndexByte(b[60-stampBytes:60], 0) >= 0 {
			t.Error("a stamp holds a zero byte")
		}
	}
}

// header makes the clear part of a packet.
func header(seq uint16, ts, ssrc uint32) []byte {
	b := make([]byte, rtpHeaderBytes)
	b[0] = 2 << 6
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}
