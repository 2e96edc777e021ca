package load

import (
	"testing"
	"time"
)

func TestReception(t *testing.T) {
	tests := []struct {
		name           string
		seqs           []uint16
		expected, lost uint64
	}{
		{"none", nil, 0, 0},
		{"in order", []uint16{1, 2, 3}, 3, 0},
		{"a gap", []uint16{1, 2, 5}, 5, 2},
		{"a gap that is filled late", []uint16{1, 2, 4, 3}, 4, 0},
		{"round the end", []uint16{65534, 65535, 0, 1}, 4, 0},
		{"a gap round the end", []uint16{65535, 2}, 4, 2},
		{"twice", []uint16{1, 1, 2}, 2, 0},
		{"a new beginning", []uint16{1, 2, 30000, 30001}, 4, 0},
		{"a new beginning after loss", []uint16{1, 3, 30000, 30002}, 6, 2},
		{"back to an earlier number", []uint16{30000, 1}, 2, 0},
		{"before the first", []uint16{10, 9}, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := reception{clock: videoClock}
			for _, seq := range tt.seqs {
				r.take(header(seq, 0, 1), 100, 0)
			}
			if r.expected() != tt.expected || r.lost() != tt.lost {
				t.Errorf("expected %d, lost %d, want %d and %d", r.expected(), r.lost(), tt.expected, tt.lost)
			}
			if r.bytes != uint64(100*len(tt.seqs)) {
				t.Errorf("%d bytes", r.bytes)
			}
		})
	}
}

func TestReceiverReport(t *testing.T) {
	r := reception{ssrc: 9, clock: videoClock}
	second := int64(time.Second)
	for i := range uint16(10) {
		if i != 4 {
			r.take(header(i, uint32(i)*3000, 9), 100, int64(i)*second/30)
		}
	}
	r.report, r.reportAt = 0xabcd, second
	got := r.receiverReport(second + second/2)
	if got.SSRC != 9 || got.FractionLost != 25 || got.TotalLost != 1 || got.LastSequenceNumber != 9 ||
		got.LastSenderReport != 0xabcd || got.Delay != 32768 || got.Jitter != 0 {
		t.Errorf("got %+v", got)
	}
	r.take(header(10, 30000, 9), 100, second)
	if next := r.receiverReport(2 * second); next.FractionLost != 0 || next.TotalLost != 1 {
		t.Errorf("the next report counts the old loss again: %+v", next)
	}
}

func TestJitter(t *testing.T) {
	r := reception{clock: videoClock}
	for i := range uint16(1000) {
		at := int64(i) * int64(10*time.Millisecond)
		if i%2 == 1 {
			at += int64(2 * time.Millisecond)
		}
		r.take(header(i, uint32(i)*900, 1), 100, at)
	}
	if got := r.receiverReport(0).Jitter; got < 175 || got > 185 { // 2 ms are 180 units
		t.Errorf("jitter is %d", got)
	}
}
