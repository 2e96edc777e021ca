package sfu

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/flexfec"
	"github.com/sluice-live/sluice/sfu/internal/lost"
	"github.com/sluice-live/sluice/sfu/internal/ring"
)

// script cuts fuzzed bytes into steps: a kind, a length and so many bytes.
func script(data []byte, step func(kind byte, data []byte)) {
	for steps := 0; len(data) >= 2 && steps < 64; steps++ {
		kind, n := data[0], min(int(data[1]), len(data)-2)
		step(kind, data[2:2+n])
		data = data[2+n:]
	}
}

// steps is the opposite.
func steps(parts ...[]byte) []byte {
	var all []byte
	for i, p := range parts {
		all = append(append(all, byte(i), byte(len(p))), p...)
	}
	return all
}

// hostile is a publisher of one layer whose packets a fuzzer makes, and a viewer
// of it.
type hostile struct {
	*bench
	source
	seq uint16
	ts  uint32
}

func newHostile(c codec.Codec) *hostile {
	h := &hostile{bench: newBench(), seq: 65530, ts: 1<<32 - 9000}
	h.source = *newSource(h.bench, "", 0, 0)
	h.layer.codec, h.layer.clock.hertz = c, c.ClockRate()
	h.layer.red.opus, h.layer.red.red = testOpus, testRED
	h.layer.red.until.Store(1 << 62)
	h.m.video.track.formats = []trackFormat{{codec: c, pt: testPT, rtx: testRTX, red: 98}}
	h.m.video.track.delayID, h.reader.delayID = testDelayID, testDelayID
	h.reader.mender = &mender{decoder: flexfec.NewDecoder(5), queue: make(chan []byte, repairQueue), twccID: 3}
	h.reader.gaps, h.reader.publisher = &lost.List{}, &Publisher{repairs: make(chan repair, 4)}
	if c.Video() {
		h.bench.sources(&h.source)
	} else {
		h.m.audio, h.m.video = h.m.video, nil
		h.sh.stream.sources.Store(&sources{audio: h.layer})
	}
	return h
}

// step takes a datagram as it is, the payload of the next packet, a repair
// packet, or lets time pass.
func (h *hostile) step(kind byte, data []byte) {
	switch kind % 4 {
	case 0:
		h.feed(h.bench, data)
	case 1:
		h.ts += uint32(kind>>4) * 960
		h.seq += 1 + uint16(kind>>6)
		p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 5, SequenceNumber: h.seq, Timestamp: h.ts, Marker: kind&8 != 0, PayloadType: testRED}, Payload: data}
		if raw, err := p.Marshal(); err == nil {
			h.feed(h.bench, raw)
		}
	case 2:
		h.reader.mender.queue <- data
		h.reader.mend()
	case 3:
		h.sh.now = h.now
		h.pass(time.Duration(kind) * time.Millisecond)
	}
}

// FuzzForward takes packets of a publisher through reader, ring, rewriting and
// sending. No number may be sent twice, and nothing may grow.
func FuzzForward(f *testing.F) {
	key := []byte{0x90, 0x80, 0x80, 1, 0, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0}
	raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 5, SequenceNumber: 65531, Padding: true, PaddingSize: 3}, Payload: key}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	vp8 := steps(raw, key, []byte{}, nil, raw, key)
	f.Add(uint8(codec.VP8), vp8)
	f.Add(uint8(codec.Opus), steps(nil, []byte{0x80 | testOpus, 15, 0, 1, testOpus, 7, 8}, nil, nil, nil, []byte{0x80 | testOpus, 15, 0, 1, testOpus, 7, 8}))
	f.Add(uint8(codec.VP9), steps(nil, []byte{0xaf, 0x01, 0x82, 0x02, 0, 0x18, 5, 0, 2, 0xd0}, nil, nil, nil, []byte{0x8c, 1, 0}))
	f.Add(uint8(codec.AV1), steps(nil, []byte{0x18, 0x0a, 0x0b, 0, 0, 0, 0x24, 0xc4, 0xff, 0xdf}, nil, nil))
	f.Add(uint8(codec.H264), steps([]byte{0xbf, 0xff, 0, 1}, []byte{0x78, 0, 2, 0x67, 1, 0, 1, 0x65}, nil, nil, nil, []byte{0x7c, 0x85, 1}))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		h := newHostile(codec.Codec(1 + kind%6))
		script(data, h.step)
		h.pass(time.Second)
		seen := map[uint16]bool{}
		for _, p := range h.out.packets {
			if len(p.Payload) > 2*maxPacket {
				t.Fatalf("a payload of %d bytes", len(p.Payload))
			}
			if p.SSRC == 1111 && seen[p.SequenceNumber] {
				t.Fatalf("packet %d was sent twice", p.SequenceNumber)
			}
			if p.SSRC == 1111 {
				seen[p.SequenceNumber] = true
			}
		}
	})
}

// FuzzOffer takes an offer as far as Pion gets it.
func FuzzOffer(f *testing.F) {
	files, err := filepath.Glob(clientOffers + "/*-offer.sdp")
	if err != nil || len(files) == 0 {
		f.Fatal("no offers")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	layers := []*layer{{codec: codec.Opus, fmtp: "sprop-stereo=1"}, {codec: codec.H264, fmtp: "profile-level-id=42e01f"}}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64<<10 || strings.Count(text, "\nm=") > 4 {
			return // refused before
		}
		for _, r := range []role{publishing, viewing} {
			o, err := parseOffer(text)
			if err != nil {
				return
			}
			terms := termsFor(r, true)
			terms.flexfec = true
			if _, err := o.mediaEngine(terms, r, layers); err != nil {
				continue
			}
			o.repairSSRC(5)
			if again, err := o.text(); err == nil && len(o.desc.MediaDescriptions) > 0 {
				if _, err := parseOffer(again); err != nil {
					t.Fatalf("the offer cannot be read again: %v\n%s", err, again)
				}
			}
			if _, err := iceOf(text); err != nil {
				continue
			}
		}
	})
}

// FuzzKeyLog takes lines of a key log, which the peer's random bytes are in.
func FuzzKeyLog(f *testing.F) {
	f.Add([]byte("CLIENT_RANDOM 00ff 0102\n"))
	f.Add([]byte("CLIENT_RANDOM x y"))
	f.Add([]byte("SERVER_HANDSHAKE_TRAFFIC_SECRET 00 01"))
	f.Fuzz(func(t *testing.T, line []byte) {
		k := &dtlsKeys{}
		if n, err := k.Write(line); err == nil && n != len(line) {
			t.Fatalf("took %d of %d bytes", n, len(line))
		}
		if _, err := k.sealer(); err == nil {
			t.Fatal("keys without a profile")
		}
	})
}

// FuzzRing puts packets of any numbers into a ring.
func FuzzRing(f *testing.F) {
	f.Add([]byte{0xff, 0xff, 0, 0, 0, 1, 0x80, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := ring.New(16)
		var unwrap ring.Unwrapper
		for ; len(data) >= 2; data = data[2:] {
			seq := unwrap.Unwrap(binary.BigEndian.Uint16(data))
			if uint16(seq) != binary.BigEndian.Uint16(data) {
				t.Fatalf("%d is not %d", seq, binary.BigEndian.Uint16(data))
			}
			r.Put(&ring.Packet{Seq: seq})
			if p := r.BySeq(seq); p == nil || r.At(r.Head()-1) != p {
				t.Fatalf("packet %d is not found", seq)
			}
		}
	})
}
