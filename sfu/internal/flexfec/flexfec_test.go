package flexfec

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/pion/interceptor/pkg/flexfec"
	"github.com/pion/rtp"
)

const testSSRC = 0x01020304

// stream makes packets that follow each other; every third has an extension.
func stream(first uint16, n int) []rtp.Packet {
	random := rand.New(rand.NewPCG(1, uint64(first)))
	var all []rtp.Packet
	for i := range n {
		p := rtp.Packet{Header: rtp.Header{
			Version: 2, SSRC: testSSRC, PayloadType: 96, SequenceNumber: first + uint16(i), Timestamp: uint32(i/3) * 3000, Marker: i%3 == 2,
		}}
		if i%3 == 0 {
			if err := p.SetExtension(3, []byte{0, 0}); err != nil {
				panic(err)
			}
		}
		p.Payload = make([]byte, 1+random.IntN(1200))
		for j := range p.Payload {
			p.Payload[j] = byte(random.Uint32())
		}
		all = append(all, p)
	}
	return all
}

func marshal(t testing.TB, p *rtp.Packet) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// protect makes the repair payload of a group.
func protect(t testing.TB, packets []rtp.Packet) []byte {
	t.Helper()
	var e Encoder
	for i := range packets {
		raw := marshal(t, &packets[i])
		n := packets[i].Header.MarshalSize()
		e.Add(raw[:n], raw[n:])
	}
	b := make([]byte, e.Size())
	return b[:e.Payload(b, testSSRC)]
}

func TestOneLostPacketIsMadeAgain(t *testing.T) {
	for _, first := range []uint16{1000, 65530} {
		packets := stream(first, MaxGroup)
		repair := protect(t, packets)
		for lost := range packets {
			d := NewDecoder(testSSRC)
			for i := range packets {
				if i != lost {
					d.Packet(marshal(t, &packets[i]))
				}
			}
			if !d.Repair(repair) {
				t.Fatal("not taken as a repair packet")
			}
			got, ok := d.Recover()
			if !ok || !bytes.Equal(got, marshal(t, &packets[lost])) {
				t.Fatalf("packet %d: %v, %d bytes", lost, ok, len(got))
			}
			if _, ok := d.Recover(); ok {
				t.Error("it was made twice")
			}
		}
	}
}

func TestRepairWaitsForMorePackets(t *testing.T) {
	packets := stream(10, 6)
	d := NewDecoder(testSSRC)
	d.Repair(protect(t, packets))
	for i := range packets[1:4] {
		d.Packet(marshal(t, &packets[i+1]))
		if _, ok := d.Recover(); ok {
			t.Fatal("made out of too little")
		}
	}
	d.Packet(marshal(t, &packets[4]))
	d.Packet(marshal(t, &packets[5]))
	if got, ok := d.Recover(); !ok || !bytes.Equal(got, marshal(t, &packets[0])) {
		t.Error("the packet is not made again")
	}
}

func TestOneRepairHelpsTheNext(t *testing.T) {
	packets := stream(10, 6)
	d := NewDecoder(testSSRC)
	d.Repair(protect(t, packets[:4]))
	d.Repair(protect(t, packets[3:]))
	for _, i := range []int{1, 2, 4, 5} { // 0 and 3 are lost
		d.Packet(marshal(t, &packets[i]))
	}
	for _, want := range []int{3, 0} {
		if got, ok := d.Recover(); !ok || !bytes.Equal(got, marshal(t, &packets[want])) {
			t.Errorf("packet %d is not made again", want)
		}
	}
}

// TestPionAgrees takes a repair packet of another encoder.
func TestPionAgrees(t *testing.T) {
	packets := stream(500, 10)
	repairs := flexfec.NewFlexEncoder03(110, 99).EncodeFec(packets, 2)
	if len(repairs) != 2 {
		t.Fatalf("%d repair packets", len(repairs))
	}
	d := NewDecoder(testSSRC)
	for i := range packets {
		if i != 4 && i != 7 {
			d.Packet(marshal(t, &packets[i]))
		}
	}
	for _, r := range repairs {
		if !d.Repair(r.Payload) {
			t.Fatal("not taken as a repair packet")
		}
	}
	made := map[uint16]bool{}
	for got, ok := d.Recover(); ok; got, ok = d.Recover() {
		seq := binary.BigEndian.Uint16(got[2:])
		made[seq] = bytes.Equal(got, marshal(t, &packets[seq-500]))
	}
	if !made[504] || !made[507] || len(made) != 2 {
		t.Errorf("made %v", made)
	}
	own, theirs := protect(t, packets), flexfec.NewFlexEncoder03(110, 99).EncodeFec(packets, 1)[0].Payload
	if !bytes.Equal(own, theirs) {
		t.Errorf("own repair packet\n%x, theirs\n%x", own[:HeaderBytes+8], theirs[:HeaderBytes+8])
	}
}

func TestWhatDoesNotBelongIsLeftOut(t *testing.T) {
	packets := stream(10, MaxGroup+5)
	packets = append(packets, packets[3])
	var e Encoder
	for i := range packets {
		raw := marshal(t, &packets[i])
		n := packets[i].Header.MarshalSize()
		e.Add(raw[:n], raw[n:])
	}
	e.Add(make([]byte, fixedHeader), make([]byte, maxParity+1))
	if e.Len() != MaxGroup {
		t.Errorf("%d packets in the group", e.Len())
	}
	d := NewDecoder(testSSRC)
	good := protect(t, packets[:3])
	for name, change := range map[string]func(b []byte) []byte{
		"short":           func(b []byte) []byte { return b[:HeaderBytes-1] },
		"retransmission":  func(b []byte) []byte { b[0] |= 0x80; return b },
		"fixed mask":      func(b []byte) []byte { b[0] |= 0x40; return b },
		"two streams":     func(b []byte) []byte { b[8] = 2; return b },
		"another stream":  func(b []byte) []byte { b[12] ^= 1; return b },
		"no packet":       func(b []byte) []byte { b[18], b[19] = 0x80, 0; return b },
		"cut second mask": func(b []byte) []byte { b[18] &= 0x7f; return b[:HeaderBytes+3] },
		"endless mask":    func(b []byte) []byte { b[18] &= 0x7f; clear(b[HeaderBytes:]); return b },
	} {
		if d.Repair(change(bytes.Clone(good))) {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestEncoderAllocatesNothing(t *testing.T) {
	packets := stream(10, 1)
	raw := marshal(t, &packets[0])
	var e Encoder
	out := make([]byte, 2000)
	if n := testing.AllocsPerRun(100, func() {
		e.Add(raw[:12], raw[12:])
		e.Payload(out, testSSRC)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecoder(f *testing.F) {
	packets := stream(10, 4)
	f.Add(protect(f, packets), marshal(f, &packets[1]), marshal(f, &packets[2]), marshal(f, &packets[3]))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{})
	long := make([]byte, 60)
	long[8], long[18] = 1, 0x40
	copy(long[12:], []byte{1, 2, 3, 4})
	long[20], long[24] = 0x7f, 0xff
	f.Add(long, marshal(f, &packets[0]), marshal(f, &packets[1]), marshal(f, &packets[2]))
	f.Fuzz(func(t *testing.T, repair, a, b, c []byte) {
		d := NewDecoder(testSSRC)
		for _, p := range [][]byte{a, b, c} {
			d.Packet(p)
		}
		d.Repair(repair)
		for range 4 {
			if p, ok := d.Recover(); ok && (len(p) < fixedHeader || len(p) > fixedHeader+maxParity || binary.BigEndian.Uint32(p[8:]) != testSSRC) {
				t.Fatalf("made %d bytes", len(p))
			}
		}
	})
}
