package sfu

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice"
)

// record is a DTLS record without encryption.
func record(kind byte, epoch uint16, seq uint32, fragment []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind, 0xfe, 0xfd}, epoch)
	b = binary.BigEndian.AppendUint32(append(b, 0, 0), seq)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(fragment))), fragment...)
}

// nullHello is a ClientHello that offers nothing but no encryption.
func nullHello() []byte {
	body := append([]byte{0xfe, 0xfd}, bytes.Repeat([]byte{9}, 32)...) // version, random
	body = append(body, 0, 0, 0, 2, 0, 0, 1, 0)                        // no session, no cookie, TLS_NULL_WITH_NULL_NULL, no compression
	return record(22, 0, 0, handshakePart(1, len(body), 0, 0, body))
}

func handshakePart(kind byte, length, seq, offset int, part []byte) []byte {
	b := []byte{kind, byte(length >> 16), byte(length >> 8), byte(length), byte(seq >> 8), byte(seq)}
	b = append(b, byte(offset>>16), byte(offset>>8), byte(offset), byte(len(part)>>16), byte(len(part)>>8), byte(len(part)))
	return append(b, part...)
}

func fatalAlert() []byte { return record(21, 0, 1, []byte{2, 40}) }

// framed is a datagram on ICE-TCP (RFC 4571).
func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

// flood sends datagrams from addresses that nobody knows, until the test ends.
func flood(t *testing.T, to net.Addr, datagrams ...[]byte) {
	t.Helper()
	conn, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, d := range datagrams {
				_, _ = conn.Write(d) // it need not be taken
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestHandshakesBesideStrangers has others send DTLS to both sides while clients
// connect: only the address that ICE has validated counts.
func TestHandshakesBesideStrangers(t *testing.T) {
	s := newTestSFU(t, Config{Wait: true, TCP: true})
	hello, alert := nullHello(), fatalAlert()
	flood(t, s.transport.udp.LocalAddr(), hello, alert)
	flood(t, s.transport.tcpMux.LocalAddr(), framed(hello), framed(alert))
	for i := range 10 {
		pc, edit := newPeer(t), func(answer string) string { return answer }
		if i%5 == 4 {
			pc, edit = tcpPeer(t), onlyTCP
		}
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
		v, err := s.Watch(t.Context(), offerWith(offerFrom(t, pc, nil)))
		if err != nil {
			t.Fatal(err)
		}
		setAnswer(t, pc, edit(v.Answer()))
		eventually(t, "connection", v.connected.Load)
	}
}

// TestHandshakesThatAreNone sends DTLS of the wrong kind from a validated address:
// the session ends in time, and nothing is left of what was sent.
func TestHandshakesThatAreNone(t *testing.T) {
	for name, send := range map[string]func(p *rawPeer){
		"nothing":     func(*rawPeer) {},
		"no cipher":   func(p *rawPeer) { p.send(nullHello()) },
		"fatal alert": func(p *rawPeer) { p.send(nullHello()); p.send(fatalAlert()) },
		"a mebibyte of fragments out of order": func(p *rawPeer) {
			part := make([]byte, 1000)
			for i := range 1 << 10 {
				p.send(record(22, 0, uint32(i), handshakePart(1, 1<<20, 0, 1<<20-1000*(i+1), part)))
			}
		},
		"fragments of nothing": func(p *rawPeer) {
			for i := range 2000 {
				p.send(record(22, 0, uint32(i), handshakePart(1, 1<<20, i%100, i, nil)))
			}
		},
		"messages of the future": func(p *rawPeer) {
			for i := range 2000 {
				p.send(record(22, 0, uint32(i), handshakePart(11, 1000, 1+i, 0, make([]byte, 1000))))
			}
		},
		"records of later epochs": func(p *rawPeer) {
			for i := range 2000 {
				p.send(record(22, uint16(1+i%3), uint32(i), make([]byte, 1000)))
			}
		},
		"records that are none": func(p *rawPeer) {
			p.send([]byte{22})
			p.send([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
			p.send(record(22, 0, 0, []byte{1}))
			p.send(record(20, 0, 0, nil))
			p.send(record(63, 0, 0, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, told := newToldSFU(t, Config{Wait: true, HandshakeTimeout: time.Second})
			p := newRawPeer(t, s)
			v := p.watch(s)
			p.ice()
			send(p)
			select {
			case <-v.Done():
			case <-time.After(patience):
				t.Fatal("the session goes on without a handshake")
			}
			if n := s.Counters().SessionsPending; n != 0 {
				t.Errorf("%d sessions are pending", n)
			}
			if name != "no cipher" && name != "fatal alert" { // which end it at once
				told.want(t, 1, "no connection within the handshake timeout")
			}
		})
	}
}

// TestWrongFingerprint has a certificate that is not the one of the offer.
func TestWrongFingerprint(t *testing.T) {
	s := newTestSFU(t, Config{Wait: true, HandshakeTimeout: 2 * time.Second})
	p, other := newRawPeer(t, s), newRawPeer(t, s)
	p.fingerprint = other.fingerprint
	v := p.watch(s)
	p.ice()
	_ = p.handshake() // the client may hear of it only later
	select {
	case <-v.Done():
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
	if v.connected.Load() {
		t.Error("connected with another certificate")
	}
}

// TestHostileMedia sends what is no packet, what is too long or too old and what
// was sent before, from a publisher: its viewer sees only what is right.
func TestHostileMedia(t *testing.T) {
	s := newTestSFU(t, Config{})
	p := newRawPeer(t, s)
	pub := p.publish(s)
	p.connect()
	src := &source{seq: 100, ts: 1 << 20, picture: 7}
	var stored [][]byte
	frame := func() {
		for i := range 2 {
			raw := src.packet(i == 0, i == 1, src.seq%20 == 0)
			raw[1] |= 96
			b, err := p.out.EncryptRTP(nil, raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, b)
			p.send(b)
		}
		src.ts += 3000
		src.picture++
	}
	eventually(t, "live stream", func() bool {
		frame()
		st, _ := s.Stream("demo")
		return st.State == sluice.StreamLive
	})
	c := watch(t, s)
	more := func(n int) {
		want := c.count() + n
		eventually(t, "more packets", func() bool { frame(); return c.count() >= want })
	}
	more(40)
	before := s.Counters()
	for _, b := range stored { // a replay: SRTP knows them, and they do not count
		p.send(b)
	}
	for _, b := range [][]byte{{0x80}, {0xff}, bytes.Repeat([]byte{0x80}, 65507), bytes.Repeat([]byte{0xbf}, 12), {0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0xbe, 0xde, 0xff, 0xff}} {
		p.send(b)
	}
	h := rtp.Header{Version: 2, SSRC: 5, PayloadType: 96, SequenceNumber: src.seq, Timestamp: src.ts}
	p.send(p.sealed(h, make([]byte, 8000)))
	h.SequenceNumber++
	h.PayloadType = 13
	p.send(p.sealed(h, []byte("of no payload type")))
	src.seq += 2
	more(40)
	c.check(t, 2)
	after := s.Counters()
	if n := after.DroppedDuplicate - before.DroppedDuplicate; n != 0 {
		t.Errorf("%d replayed packets came through SRTP", n)
	}
	pub.Close("test")
}
