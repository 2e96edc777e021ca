package frame

import (
	"bytes"
	"testing"

	"github.com/pion/rtp/codecs"

	"github.com/sluice-live/sluice"
)

var (
	sps = []byte{0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0xa4, 0x80}
	pps = []byte{0x68, 0xcb, 0x8c, 0xb2}
)

func annexB(units ...[]byte) (b []byte) {
	for _, u := range units {
		b = append(append(b, 0, 0, 0, 1), u...)
	}
	return b
}

// send gives the packets of a picture to an assembler, without those that drop
// says, and returns what comes out.
func send(a *Assembler, track *sluice.Track, timestamp uint32, payloads [][]byte, lost int, drop func(int) bool) (out []Unit, missing int) {
	missing = lost
	for i, p := range payloads {
		if drop != nil && drop(i) {
			missing++
			continue
		}
		a.Push(&sluice.Packet{Track: track, Lost: missing, Timestamp: timestamp, Marker: i == len(payloads)-1, Payload: p}, func(u Unit) { out = append(out, u) })
		missing = 0
	}
	return out, missing
}

func TestH264(t *testing.T) {
	track := &sluice.Track{Codec: "H264", Video: true}
	a := New(track)
	pack := &codecs.H264Payloader{}
	idr := append([]byte{0x65, 0x88}, bytes.Repeat([]byte{1}, 3000)...)
	slice := append([]byte{0x41, 0x9a}, bytes.Repeat([]byte{2}, 3000)...)
	if out, _ := send(a, track, 1, pack.Payload(1000, annexB(slice)), 0, nil); len(out) != 0 || !a.NeedsKeyframe() {
		t.Errorf("before a keyframe: %v", out)
	}
	out, _ := send(a, track, 2, pack.Payload(1000, annexB(sps, pps, idr)), 0, nil)
	if len(out) != 1 || !out[0].Key || out[0].Format == nil || out[0].Format.MIME != "avc1.42C00D" || out[0].Format.Width != 320 || !bytes.Equal(out[0].Data, lengthPrefixed([][]byte{idr})) {
		t.Fatalf("keyframe: %+v", out)
	}
	if out, _ = send(a, track, 3, pack.Payload(1000, annexB(slice)), 0, nil); len(out) != 1 || out[0].Key || out[0].Format != nil {
		t.Errorf("picture: %+v", out)
	}
	out, missing := send(a, track, 4, pack.Payload(1000, annexB(slice)), 0, func(i int) bool { return i == 1 })
	if len(out) != 0 || !a.NeedsKeyframe() {
		t.Errorf("a picture with a hole: %+v", out)
	}
	if out, _ = send(a, track, 5, pack.Payload(1000, annexB(slice)), missing, nil); len(out) != 0 {
		t.Errorf("what depends on it: %+v", out)
	}
	// A keyframe whose first packets are lost is not taken for a whole one.
	pack.Payload(1000, nil)
	if out, missing = send(a, track, 6, pack.Payload(1000, annexB(idr)), 0, func(i int) bool { return i == 0 }); len(out) != 0 {
		t.Errorf("keyframe without its beginning: %+v", out)
	}
	if out, _ = send(a, track, 7, pack.Payload(1000, annexB(sps, pps, idr)), missing, nil); len(out) != 1 || out[0].Format != nil {
		t.Errorf("the next keyframe: %+v", out)
	}
}

// TestVP9Layers: spatial layers of one picture are a superframe with its index.
func TestVP9Layers(t *testing.T) {
	v := &vp9{}
	for _, p := range [][]byte{{0x0c, 1, 2, 3}, {0x0c, 4, 5}} { // B and E set
		if !v.add(p) {
			t.Fatal("refused")
		}
	}
	data, _, _ := v.take()
	want := []byte{1, 2, 3, 4, 5, 0xd9, 3, 0, 0, 0, 2, 0, 0, 0, 0xd9}
	if !bytes.Equal(data, want) {
		t.Errorf("%x, want %x", data, want)
	}
}

func TestSilence(t *testing.T) {
	sum := int64(0)
	Silence(960*3+480+240+120+7, func(_ []byte, ticks uint32) { sum += int64(ticks) })
	if sum != 960*3+480+240+120 {
		t.Errorf("%d ticks", sum)
	}
}

// FuzzAssembler: no packets that anybody may send panic, or make units of
// nothing.
func FuzzAssembler(f *testing.F) {
	f.Add(uint8(0), append([]byte{4, 0x18, 0, 2}, sps...))
	f.Add(uint8(0), []byte{9, 0x7c, 0x85, 1, 2, 3, 4, 5, 6, 9, 0x7c, 0x45, 1, 2, 3, 4, 5, 6})
	f.Add(uint8(1), []byte{5, 0x62, 1, 0x93, 7, 7, 5, 0x62, 1, 0x53, 7, 7})
	f.Add(uint8(2), []byte{6, 0x18, 0x0a, 0x0b, 0, 0, 0, 0x24})
	f.Add(uint8(3), []byte{11, 0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2})
	f.Add(uint8(4), []byte{4, 0x88, 1, 0x82, 0x49})
	f.Add(uint8(5), []byte{3, 0xfc, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		track := &sluice.Track{Codec: []string{"H264", "H265", "AV1", "VP8", "VP9", "opus"}[kind%6], Video: kind%6 < 5, Format: string(b)}
		emit := func(u Unit) {
			if len(u.Data) == 0 || len(u.Data) > maxUnit+64 || track.Video && u.Format != nil && !u.Key {
				t.Fatalf("unit %+v", u)
			}
		}
		var sound Opus
		video := New(track)
		for stamp := uint32(0); len(b) > 1; {
			n := min(int(b[0]&0x3f), len(b)-1)
			p := &sluice.Packet{Track: track, Lost: int(b[0] >> 7), Timestamp: stamp, Marker: b[0]&0x40 != 0, Payload: b[1 : 1+n : 1+n]}
			before := bytes.Clone(p.Payload)
			if track.Video {
				video.Push(p, emit)
			} else {
				sound.Push(p, emit)
			}
			if !bytes.Equal(before, p.Payload) {
				t.Fatal("a payload was changed")
			}
			if stamp += uint32(b[0] >> 6 & 1); n == 0 {
				n = 1
			}
			b = b[n:]
		}
	})
}
