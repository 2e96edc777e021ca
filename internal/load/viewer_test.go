package load

import (
	"testing"
	"time"

	"github.com/pion/srtp/v3"
)

// keyedViewer has keys and H.264 as payload type 96, but no socket.
func keyedViewer(t testing.TB) (v *viewer, sender *srtp.Context) {
	t.Helper()
	key, salt := make([]byte, 16), make([]byte, 12)
	sender, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	in, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	v = &viewer{tally: &tally{}, probe: true, opening: true, codecs: map[uint8]string{96: H264}}
	v.kinds[96], v.kinds[97] = video, resend
	v.in = in
	return v, sender
}

// feed sends n frames with a delay, and returns the packets.
func feed(t testing.TB, v *viewer, sender *srtp.Context, n int, delay time.Duration) (packets int) {
	t.Helper()
	s := newSource(H264, 2_500_000, 1, 96)
	for range n {
		err := s.next(func() int64 { return 1e18 }, func(b []byte) error {
			sealed, err := sender.EncryptRTP(nil, b, nil)
			v.rtp(sealed, len(sealed), 1e18+int64(delay))
			packets++
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return packets
}

func TestProbeMeasures(t *testing.T) {
	v, sender := keyedViewer(t)
	packets := feed(t, v, sender, 90, 3*time.Millisecond)
	if got := v.tally.packets.Load(); got != uint64(packets) {
		t.Errorf("%d packets of %d", got, packets)
	}
	const parameterSets = 2
	if got := v.tally.forward.total; got != uint64(packets-parameterSets) {
		t.Errorf("%d delays of %d packets", got, packets)
	}
	if got := v.tally.frames.spread(); got.Count != 90 || got.P50 != 3 || got.Max != 3 {
		t.Errorf("frame latency %+v", got)
	}
	if v.firstKey == 0 || v.firstKey != v.firstMedia {
		t.Errorf("first keyframe at %d, first packet at %d", v.firstKey, v.firstMedia)
	}
}

func TestMissingFrames(t *testing.T) {
	v, sender := keyedViewer(t)
	s := newSource(H264, 2_500_000, 1, 96)
	for range 10 {
		left := s.frame == 3 || s.frame == 4 || s.frame == 9
		_ = s.next(func() int64 { return 1 }, func(b []byte) error {
			sealed, err := sender.EncryptRTP(nil, b, nil)
			if !left {
				v.rtp(sealed, len(sealed), 2)
			}
			return err
		})
	}
	if v.gotFrames != 7 || v.expectedFrames() != 9 { // the last is not missed before another comes
		t.Errorf("%d of %d frames", v.gotFrames, v.expectedFrames())
	}
}

func TestPacketsBeforeTheKeysAreKept(t *testing.T) {
	v, sender := keyedViewer(t)
	in := v.in
	v.in = nil
	feed(t, v, sender, 3, time.Millisecond)
	if v.firstMedia == 0 || v.firstKey != 0 || v.tally.frames.total != 0 {
		t.Fatal("packets were decrypted without keys")
	}
	v.reactor = &reactor{}
	v.keyed(in, in)
	if v.firstKey == 0 || v.tally.frames.total != 3 || v.held != nil {
		t.Errorf("keyframe at %d, %d frames", v.firstKey, v.tally.frames.total)
	}
}

func TestOtherPacketsAreNotMedia(t *testing.T) {
	v, _ := keyedViewer(t)
	for _, pt := range []byte{97, 50} {
		b := header(1, 2, 3)
		b[1] = pt
		v.rtp(b, 100, 1)
	}
	if v.tally.packets.Load() != 0 || v.tally.other.Load() != 2 || v.firstMedia != 0 {
		t.Error("RTX or an unknown payload type counts as media")
	}
	for ssrc := range uint32(2 * mediaStreams) {
		b := header(1, 2, ssrc)
		b[1] = 96
		v.opening = false
		v.rtp(b, 100, 1)
	}
	if v.count != mediaStreams {
		t.Errorf("%d streams are followed", v.count)
	}
}

func TestLightViewerDoesNotAllocate(t *testing.T) {
	v, _ := keyedViewer(t)
	v.probe, v.opening = false, false
	b := header(1, 2, 3)
	b[1] = 96
	v.rtp(b, 1200, 1)
	if n := testing.AllocsPerRun(100, func() { v.rtp(b, 1200, 1) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func BenchmarkLightViewer(b *testing.B) {
	v, _ := keyedViewer(b)
	v.probe, v.opening = false, false
	packet := header(1, 2, 3)
	packet[1] = 96
	b.ReportAllocs()
	for b.Loop() {
		packet[3]++
		v.rtp(packet, 1200, 1)
	}
}

func BenchmarkProbe(b *testing.B) {
	v, sender := keyedViewer(b)
	s := newSource(H264, 2_500_000, 1, 96)
	var sealed [][]byte
	_ = s.next(func() int64 { return 1 }, func(p []byte) error {
		one, err := sender.EncryptRTP(nil, p, nil)
		sealed = append(sealed, one)
		return err
	})
	b.ReportAllocs()
	for b.Loop() {
		v.decrypt(sealed[1], 2)
	}
}
