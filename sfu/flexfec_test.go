package sfu

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/extension"
	"github.com/sluice-live/sluice/sfu/internal/flexfec"
	"github.com/sluice-live/sluice/sfu/internal/lost"
)

func TestFlexFECIsNegotiatedWhenEnabled(t *testing.T) {
	whip := "chromium-156-whip-default-offer.sdp"
	publisher, err := os.ReadFile(filepath.Join(clientOffers, whip))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(publisher), "a=sendonly") {
		t.Fatal("not a publisher's offer")
	}
	for _, enabled := range []bool{false, true} {
		s := newTestSFU(t, Config{Wait: true, FlexFEC: enabled})
		v, err := s.Watch(t.Context(), offerOf(t, "chromium-156-whep-offer.sdp"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"a=rtpmap:49 flexfec-03/90000", "a=ssrc-group:FEC-FR "} {
			if strings.Contains(v.Answer(), line) != enabled {
				t.Errorf("enabled %v: %q in the answer:\n%s", enabled, line, v.Answer())
			}
		}
		offer := offerOf(t, whip)
		offer.SDP = strings.Replace(offer.SDP, "a=rtpmap:96 ", "a=rtpmap:49 flexfec-03/90000\r\na=fmtp:49 repair-window=10000000\r\na=rtpmap:96 ", 1)
		at := strings.Index(offer.SDP, "m=video")
		offer.SDP = offer.SDP[:at] + strings.Replace(offer.SDP[at:], "\r\n", " 49\r\n", 1)
		offer.Grant = sluice.Grant{Identity: "a"}
		p, err := s.Publish(t.Context(), offer)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(p.Answer(), "flexfec-03") != enabled {
			t.Errorf("enabled %v: the publisher is answered\n%s", enabled, p.Answer())
		}
	}
}

func TestRepairSSRC(t *testing.T) {
	offer, err := parseOffer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n" +
		"a=ssrc-group:FID 7 8\r\na=ssrc-group:FEC-FR 7\r\na=ssrc-group:FEC-FR 7 x\r\na=ssrc-group:FEC-FR 9 10\r\na=ssrc-group:FEC-FR 7 11\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for media, want := range map[uint32]uint32{7: 11, 9: 10, 8: 0} {
		if got := offer.repairSSRC(media); got != want {
			t.Errorf("repairs of %d have SSRC %d, want %d", media, got, want)
		}
	}
}

// TestReaderMendsBeforeItAsks loses one packet of a group.
func TestReaderMendsBeforeItAsks(t *testing.T) {
	b := newBench()
	src := newSource(b, "", 100, 0)
	b.sources(src)
	src.reader.mender = &mender{decoder: flexfec.NewDecoder(5), queue: make(chan []byte, 4)}
	src.reader.gaps = &lost.List{}
	src.reader.publisher = &Publisher{repairs: make(chan repair, 4)}
	var group flexfec.Encoder
	var packets [][]byte
	for i := range 6 {
		raw := src.packet(i == 0, i == 5, i == 0)
		packets = append(packets, raw)
		group.Add(raw[:rtpHeaderBytes], raw[rtpHeaderBytes:])
	}
	for i, raw := range packets[:5] {
		if i != 3 {
			src.feed(b, raw)
		}
	}
	payload := make([]byte, group.Size())
	src.reader.mender.queue <- payload[:group.Payload(payload, 5)]
	src.feed(b, packets[5])
	if !src.reader.mend() || src.ring.BySeq(1<<16|103) == nil {
		t.Fatal("the lost packet is not in the ring")
	}
	if n := b.sh.sfu.counters.restored.Load(); n != 1 || src.reader.gaps.Len() != 0 {
		t.Errorf("%d packets made again, %d still missing", n, src.reader.gaps.Len())
	}
	if len(src.reader.publisher.repairs) != 0 {
		t.Error("the publisher was asked")
	}
	b.pass(0)
	continuous(t, sorted(b.out.packets))
}

// sorted orders packets by number.
func sorted(packets []rtp.Packet) []rtp.Packet {
	out := make([]rtp.Packet, len(packets))
	for _, p := range packets {
		if at := int(p.SequenceNumber - packets[0].SequenceNumber); at < len(out) {
			out[at] = p
		}
	}
	return out
}

func TestGuardFollowsTheLoss(t *testing.T) {
	for _, tt := range []struct {
		loss  float64
		group int
	}{{0.01, 0}, {0.02, 15}, {0.05, 10}, {0.1, 5}, {0.5, 5}} {
		video := &track{fecSSRC: 9}
		video.guard(tt.loss, 0)
		got := 0
		if video.shield != nil {
			got = video.shield.group
		}
		if got != tt.group {
			t.Errorf("loss %v: groups of %d, want %d", tt.loss, got, tt.group)
		}
	}
	plain := &track{}
	if plain.guard(0.5, 0); plain.shield != nil {
		t.Error("repair packets for a viewer that did not offer them")
	}
}

func TestStampCountsAsZero(t *testing.T) {
	for _, first := range []stamp{{id: 3, bytes: 2, value: 0xabcd}, {id: 3, bytes: 3, value: 0xabcdef}} {
		for _, extras := range [][]extension.Element{nil, {{ID: 4, Data: make([]byte, 20)}}} {
			var b [maxHeader]byte
			marshal(b[:], &rtp.Header{Version: 2})
			n := extend(b[:], first, extras)
			var h rtp.Header
			for _, want := range [][]byte{[]byte{0xab, 0xcd, 0xef}[:first.bytes], make([]byte, first.bytes)} {
				if _, err := h.Unmarshal(b[:n]); err != nil {
					t.Fatal(err)
				}
				if got := h.GetExtension(3); !bytes.Equal(got, want) {
					t.Errorf("the stamp is %v, want %v", got, want)
				}
				first.clear(b[:n])
			}
		}
	}
}
