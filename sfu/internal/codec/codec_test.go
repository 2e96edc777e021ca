package codec

import (
	"bytes"
	"testing"
)

// sps320x180 is the parameter set that x264 writes for a 320x180 baseline
// stream.
var sps320x180 = []byte{
	0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00,
	0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x42, 0xa4, 0x80,
}

func stapA(nalus ...[]byte) []byte {
	b := []byte{h264STAPA}
	for _, n := range nalus {
		b = append(b, byte(len(n)>>8), byte(len(n)))
		b = append(b, n...)
	}
	return b
}

func TestKeyframe(t *testing.T) {
	for _, tt := range []struct {
		name    string
		codec   Codec
		payload []byte
		want    bool
	}{
		{"H264 IDR", H264, []byte{0x65, 0x88}, true},
		{"H264 SPS", H264, sps320x180, true},
		{"H264 slice", H264, []byte{0x61, 0x9a}, false},
		{"H264 aggregate with SPS", H264, stapA(sps320x180, []byte{0x68, 0xce}), true},
		{"H264 aggregate of SEI and slice", H264, stapA([]byte{0x06, 0x05}, []byte{0x61, 0x9a}), false},
		{"H264 first fragment of IDR", H264, []byte{0x7c, 0x85, 0x88}, true},
		{"H264 later fragment of IDR", H264, []byte{0x7c, 0x05, 0x88}, false},
		{"H264 aggregate longer than the packet", H264, []byte{h264STAPA, 0xff, 0xff, 0x65}, false},
		{"H265 IDR", H265, []byte{19 << 1, 1, 0xaf}, true},
		{"H265 trailing picture", H265, []byte{1 << 1, 1, 0xaf}, false},
		{"H265 first fragment of CRA", H265, []byte{h265FU << 1, 1, 0x80 | 21}, true},
		{"H265 aggregate with VPS", H265, []byte{h265AP << 1, 1, 0, 2, h265VPS << 1, 1}, true},
		{"VP8 keyframe", VP8, []byte{0x10, 0x10, 0x02, 0x00}, true},
		{"VP8 interframe", VP8, []byte{0x10, 0x11}, false},
		{"VP8 second packet", VP8, []byte{0x00, 0x10}, false},
		{"VP8 extended keyframe", VP8, []byte{0x90, 0xe0, 0x81, 0x02, 0x05, 0x40, 0x10}, true},
		{"VP9 keyframe", VP9, []byte{0x88, 0x01, 0x82}, true},
		{"VP9 inter", VP9, []byte{0xc8, 0x01, 0x86}, false},
		{"VP9 upper spatial layer", VP9, []byte{0x28, 0x02, 0x00, 0x82}, false},
		{"AV1 new sequence", AV1, []byte{0x18, 0x0a}, true},
		{"AV1 other", AV1, []byte{0x10, 0x32}, false},
		{"Opus", Opus, []byte{0xfc, 0xff}, false},
		{"empty", H264, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.codec.Keyframe(tt.payload); got != tt.want {
				t.Errorf("Keyframe(%x) = %v, want %v", tt.payload, got, tt.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		name    string
		codec   Codec
		payload []byte
		w, h    int
	}{
		{"H264 aggregate", H264, stapA(sps320x180, []byte{0x68, 0xce}), 320, 180},
		{"VP8", VP8, []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02}, 1280, 720},
		{"VP8 without start code", VP8, []byte{0x10, 0x10, 0, 0, 0, 0, 0, 0x00, 0x05, 0xd0, 0x02}, 0, 0},
		{"H264 slice", H264, []byte{0x65, 0x88}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, h, ok := tt.codec.Size(tt.payload)
			if w != tt.w || h != tt.h || ok != (tt.w > 0) {
				t.Errorf("Size = %dx%d, %v; want %dx%d", w, h, ok, tt.w, tt.h)
			}
		})
	}
}

func TestPatchChangesOnlyPictureIDs(t *testing.T) {
	payload := []byte{0x90, 0xe0, 0xff, 0xfe, 0x05, 0x40, 0x10, 0x20}
	d, ok := ParseVP8(payload)
	if !ok || d.Picture != 0x7ffe || d.TL0 != 5 || d.Temporal != 1 || d.Size != 6 {
		t.Fatalf("ParseVP8 = %+v, %v", d, ok)
	}
	patched := bytes.Clone(payload)
	d.Patch(patched, 3, 255)
	want := []byte{0x90, 0xe0, 0x80, 0x01, 0x04, 0x40, 0x10, 0x20}
	if !bytes.Equal(patched, want) {
		t.Errorf("patched %x, want %x", patched, want)
	}
}

func TestLayersOfDescriptors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		codec   Codec
		payload []byte
		want    Frame
	}{
		{"VP8 of one layer", VP8, []byte{0x90, 0x80, 0x81, 0x02, 0}, Frame{Begin: true, Number: 0x102, Consecutive: true}},
		{"VP8 sync", VP8, []byte{0x90, 0xe0, 0x81, 0x02, 5, 0xa0, 0}, Frame{Layered: true, Temporal: 2, Sync: true, Begin: true, Number: 0x102, Consecutive: true}},
		{"VP8 continued", VP8, []byte{0x80, 0xe0, 0x81, 0x02, 5, 0x40, 0}, Frame{Layered: true, Temporal: 1, Number: 0x102, Consecutive: true}},
		{"VP9 flexible", VP9, []byte{0xfc, 0x81, 0x02, 0x35, 2<<1 | 1, 4 << 1, 0}, Frame{
			Layered: true, Temporal: 1, Spatial: 2, Open: true, Begin: true, End: true, Number: 0x102, RefsSet: true, Refs: 1<<1 | 1<<3, Space: 2}},
		{"VP9 upper layer of a keyframe", VP9, []byte{0xb8, 0x81, 0x02, 0x03, 0}, Frame{Layered: true, Spatial: 1, Begin: true, Number: 0x102, RefsSet: true, Space: 1}},
		{"VP9 by groups", VP9, []byte{0xe4, 0x81, 0x02, 0x50, 9, 0}, Frame{Layered: true, Temporal: 2, Open: true, End: true, Number: 0x102}},
		{"more layers than are told apart", VP9, []byte{0xa8, 0x81, 0x02, 0xee, 9, 0}, Frame{Layered: true, Temporal: 3, Spatial: 3, Begin: true, Number: 0x102, RefsSet: true, Space: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, ok := tt.codec.Descriptor(tt.payload)
			if got := d.Frame(tt.codec, false, false); !ok || got != tt.want {
				t.Errorf("%+v, %v; want %+v", got, ok, tt.want)
			}
		})
	}
	for _, cut := range [][]byte{{0xf8, 0x81, 0x02, 0x34}, {0xf8, 0x81, 0x02, 0x34, 3}, {0xf8, 0x81, 0x02, 0x34, 3, 3, 3, 3}} {
		if d, ok := ParseVP9(cut); ok {
			t.Errorf("%x is %+v", cut, d)
		}
	}
}

func TestLayerSizes(t *testing.T) {
	payload := []byte{0x8a, 0x01, 2<<5 | 0x10, 0, 160, 0, 90, 1, 64, 0, 180, 2, 128, 1, 104}
	sizes, n := VP9.LayerSizes(payload)
	if n != 3 || sizes != [MaxSpatial]Size{{160, 90}, {320, 180}, {640, 360}} {
		t.Errorf("%v, %d", sizes, n)
	}
	if _, n := VP9.LayerSizes(payload[:12]); n != 0 {
		t.Error("sizes of a packet that is cut short")
	}
	if w, h, _ := VP9.Size(payload); w != 640 || h != 360 {
		t.Errorf("%dx%d", w, h)
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(uint8(H264), stapA(sps320x180, []byte{0x65}))
	f.Add(uint8(H265), []byte{h265AP << 1, 1, 0, 2, h265SPS << 1, 1, 0, 0})
	f.Add(uint8(VP8), []byte{0x90, 0xe0, 0xff, 0xfe, 0x05, 0x40, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2})
	f.Add(uint8(VP9), []byte{0xaf, 0x01, 0x82, 0x02, 0x00, 0x18, 0x05, 0x00, 0x02, 0xd0})
	f.Add(uint8(AV1), []byte{0x08, 0x0b, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf})
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		c := Codec(kind % 7)
		before := bytes.Clone(payload)
		c.Keyframe(payload)
		c.Size(payload)
		c.LayerSizes(payload)
		if !bytes.Equal(before, payload) {
			t.Fatal("reading changed the payload")
		}
		d, ok := c.Descriptor(payload)
		if !ok {
			return
		}
		d.Patch(payload, 1, 1)
		after, ok := c.Descriptor(payload)
		mask := uint16(0x7f)
		if d.PictureWide {
			mask = 0x7fff
		}
		if !ok || d.PictureAt > 0 && after.Picture != (d.Picture+1)&mask || after.Size != d.Size {
			t.Fatalf("patched %+v into %+v", d, after)
		}
	})
}
