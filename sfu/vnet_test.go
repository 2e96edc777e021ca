package sfu

import (
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

// TestVirtualNetwork loses, doubles and delays packets of the publisher and of
// the viewers. Every frame must arrive, numbered without a gap and in order of
// time; nothing is sent twice under one number, and what is sent again stays
// within its budget.
func TestVirtualNetwork(t *testing.T) {
	all := harm{loss: 0.08, twice: 0.1, late: 0.1}
	for _, tt := range []struct {
		name, mime string
		harm       harm
	}{
		{"loss", webrtc.MimeTypeVP8, harm{loss: 0.05}},
		{"duplicates", webrtc.MimeTypeVP8, harm{twice: 0.2}},
		{"reordering", webrtc.MimeTypeVP8, harm{late: 0.2}},
		{"all of it", webrtc.MimeTypeVP8, all},
		{"all of it, H.264", webrtc.MimeTypeH264, all},
		{"all of it, VP9", webrtc.MimeTypeVP9, all},
		{"all of it, AV1", webrtc.MimeTypeAV1, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, v := newVirtual(t) // one after the other: making addresses there is not safe beside others
			t.Parallel()
			v.film(s, virtualClients()[0], tt.mime)
			eventually(t, "live stream", func() bool {
				st, _ := s.Stream("demo")
				return st.State == sluice.StreamLive && len(st.Layers) == 1 && st.Layers[0].Active
			})
			screens := []*screen{v.theatre(s, virtualClients()[1]), v.theatre(s, virtualClients()[2])}
			for _, c := range screens {
				c.more(t, 20)
			}
			v.set(tt.harm)
			for _, c := range screens {
				c.more(t, 300)
			}
			v.set(harm{})
			for _, c := range screens {
				c.more(t, 20)
				eventually(t, "stream without a gap", func() bool { return c.gaps() == 0 })
				c.check(t, 0)
				c.frames(t)
			}
			v.judge()
		})
	}
}

// frames wants whole frames: each ends with a marker before the next begins.
func (c *screen) frames(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var unwrap ring.Unwrapper
	bySeq := map[uint64]rtp.Header{}
	first, last := uint64(1<<63), uint64(0)
	for _, h := range c.got {
		seq := unwrap.Unwrap(h.SequenceNumber)
		bySeq[seq] = h
		first, last = min(first, seq), max(last, seq)
	}
	for seq := first + 1; seq < last; seq++ {
		if before, h := bySeq[seq-1], bySeq[seq]; before.Marker == (before.Timestamp == h.Timestamp) {
			t.Fatalf("packet %d (marker %v, at %d) after one with marker %v at %d", seq, h.Marker, h.Timestamp, before.Marker, before.Timestamp)
		}
	}
}

// judge looks at what the server sent to each viewer.
func (v *virtual) judge() {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	viewers := 0
	for client, w := range v.clients {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.sent) == 0 {
			continue // the publisher
		}
		viewers++
		video, all := uint32(0), 0
		for ssrc, seqs := range w.sent {
			for seq, times := range seqs {
				if times > 1 {
					v.t.Errorf("%s: packet %d of %d was sent %d times", client, seq, ssrc, times)
				}
			}
			all += w.bytes[ssrc]
			if w.bytes[ssrc] > w.bytes[video] {
				video = ssrc
			}
		}
		for seq, at := range w.stamps[video] {
			if after, ok := w.stamps[video][seq+1]; ok && int32(after-at) < 0 {
				v.t.Errorf("%s: packet %d is of %d, the next one of %d", client, seq, at, after)
			}
		}
		largest := w.bytes[video]
		others := all - largest
		if others > largest/resendShare+resendReserve {
			v.t.Errorf("%s: %d bytes sent again beside %d", client, others, largest)
		}
		v.t.Logf("%s: %d packets harmed, %d bytes sent again beside %d", client, w.harmed, others, largest)
		if w.harmed == 0 {
			v.t.Errorf("%s: nothing was harmed", client)
		}
	}
	if viewers != 2 {
		v.t.Errorf("%d viewers were sent to", viewers)
	}
}
