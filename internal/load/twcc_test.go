package load

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// withTransportSeq makes a packet that carries a transport sequence number.
func withTransportSeq(t *testing.T, id uint8, seq uint16) []byte {
	t.Helper()
	h := rtp.Header{Version: 2, CSRC: []uint32{1, 2}}
	if err := h.SetExtension(1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := h.SetExtension(id, []byte{byte(seq >> 8), byte(seq)}); err != nil {
		t.Fatal(err)
	}
	b, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return append(b, "payload"...)
}

func TestTransportFeedback(t *testing.T) {
	const id = 3
	base := int64(1_700_000_000) * int64(time.Second)
	type packet struct {
		seq uint16
		at  time.Duration
	}
	tests := []struct {
		name    string
		packets []packet
		lost    map[int]bool // by place
		span    int
	}{
		{"one", []packet{{7, 0}}, nil, 1},
		{"in order", []packet{{7, 0}, {8, time.Millisecond}, {9, 2 * time.Millisecond}}, nil, 3},
		{"lost", []packet{{7, 0}, {9, time.Millisecond}}, map[int]bool{1: true}, 3},
		{"round the end", []packet{{65535, 0}, {0, 0}, {1, time.Millisecond}}, nil, 3},
		{"out of order", []packet{{7, time.Millisecond}, {6, 2 * time.Millisecond}, {8, 3 * time.Millisecond}}, nil, 3},
		{"far apart", []packet{{7, 0}, {8, 500 * time.Millisecond}}, nil, 2},
		{"twice", []packet{{7, 0}, {7, time.Millisecond}, {8, time.Millisecond}}, nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := arrivals{ext: id}
			at := map[uint16]int64{}
			for _, p := range tt.packets {
				a.note(withTransportSeq(t, id, p.seq), base+int64(p.at))
				if _, twice := at[p.seq]; !twice {
					at[p.seq] = base + int64(p.at)
				}
			}
			var feedback rtcp.TransportLayerCC
			if err := feedback.Unmarshal(a.feedback(1, 2)); err != nil {
				t.Fatal(err)
			}
			if feedback.SenderSSRC != 1 || feedback.MediaSSRC != 2 || int(feedback.PacketStatusCount) != tt.span {
				t.Errorf("got %+v", feedback)
			}
			if len(feedback.RecvDeltas) != tt.span-len(tt.lost) {
				t.Fatalf("%d deltas, want %d", len(feedback.RecvDeltas), tt.span-len(tt.lost))
			}
			clock, next := int64(feedback.ReferenceTime)*int64(twccReference), 0
			offset := base/int64(twccReference)*int64(twccReference) - base/int64(twccReference)%(1<<24)*int64(twccReference)
			for place := range tt.span {
				if tt.lost[place] {
					continue
				}
				clock += feedback.RecvDeltas[next].Delta * int64(time.Microsecond)
				next++
				want := at[feedback.BaseSequenceNumber+uint16(place)]
				if d := want - (clock + offset); d < 0 || d >= int64(twccTick) {
					t.Errorf("place %d arrives %v off", place, time.Duration(d))
				}
			}
			if a.feedback(1, 2) != nil {
				t.Error("the same is reported twice")
			}
		})
	}
}

func TestNoTransportSeq(t *testing.T) {
	whole := withTransportSeq(t, 3, 7)
	for n := rtpHeaderBytes; n < len(whole)-len("payload"); n++ {
		if seq, ok := transportSeq(whole[:n], 3); ok && seq != 7 {
			t.Errorf("the first %d bytes give %d", n, seq)
		}
	}
	if _, ok := transportSeq(whole, 5); ok {
		t.Error("another extension was taken")
	}
	if _, ok := transportSeq(header(1, 2, 3), 3); ok {
		t.Error("a packet without extensions has one")
	}
	var off arrivals
	off.note(whole, 1)
	if off.feedback(1, 2) != nil {
		t.Error("feedback without the extension")
	}
}

func FuzzTransportSeq(f *testing.F) {
	f.Add([]byte("\x90\x60\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\xbe\xde\x00\x01\x31\x00\x07\x00"))
	f.Add([]byte("\x9f\x60\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) >= rtpHeaderBytes {
			transportSeq(b, 3)
		}
	})
}
