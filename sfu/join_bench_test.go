package sfu

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

// BenchmarkAnswer measures what answering a viewer's offer costs, without the
// handshakes that follow.
func BenchmarkAnswer(b *testing.B) {
	s, err := New(Config{MediaAddr: "127.0.0.1:0", Loopback: true, Wait: true, HandshakeTimeout: time.Hour, MaxPending: 1 << 30, MaxPendingPerIP: 1 << 30}, Deps{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	offer, err := os.ReadFile(clientOffers + "/chromium-156-whep-offer.sdp")
	if err != nil {
		b.Fatal(err)
	}
	o := sluice.Offer{Stream: "demo", SDP: string(offer), Remote: netip.MustParseAddr("127.0.0.1")}
	if _, err := s.Watch(b.Context(), o); err != nil { // so that the stream stays
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v, err := s.Watch(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		v.Close("benchmark")
		b.StartTimer()
	}
}
