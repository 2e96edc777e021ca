package sfu

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"slices"
	"testing"
	"time"
)

// rawSCTP is an association that a raw peer has made by hand (RFC 9260).
type rawSCTP struct {
	*rawPeer
	tag uint32 // the server's
	tsn uint32 // next of ours
	seq map[uint16]uint16
}

// Chunk types.
const (
	sctpData, sctpInit, sctpInitAck, sctpSack, sctpHeartbeat = 0, 1, 2, 3, 4
	sctpAbort, sctpCookieEcho, sctpCookieAck                 = 6, 10, 11
	sctpReconfig, sctpForward                                = 130, 192
)

func sctpChunk(kind, flags byte, value []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind, flags}, uint16(4+len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func (a *rawSCTP) write(chunks ...[]byte) {
	a.t.Helper()
	b := binary.BigEndian.AppendUint32([]byte{5000 >> 8, 5000 & 255, 5000 >> 8, 5000 & 255}, a.tag)
	b = append(append(b, 0, 0, 0, 0), slices.Concat(chunks...)...)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := a.conn.Write(b); err != nil && a.tag == 0 {
		a.t.Fatal(err)
	}
}

// await reads until a packet begins with a chunk of a kind, and returns that.
func (a *rawSCTP) await(kind byte) []byte {
	a.t.Helper()
	if err := a.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		a.t.Fatal(err)
	}
	for b := make([]byte, 2048); ; {
		n, err := a.conn.Read(b)
		if err != nil {
			a.t.Fatalf("no chunk of kind %d: %v", kind, err)
		}
		if n > 16 && b[12] == kind || n == 16 && b[12] == kind {
			return b[12:n]
		}
	}
}

// associate makes the association: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK.
func associate(p *rawPeer) *rawSCTP {
	p.t.Helper()
	a := &rawSCTP{rawPeer: p, tsn: 1000, seq: map[uint16]uint16{}}
	a.write(sctpChunk(sctpInit, 0, initBody(a.tsn)))
	ack := a.await(sctpInitAck)
	a.tag = binary.BigEndian.Uint32(ack[4:])
	for rest := ack[20:]; len(rest) >= 4; {
		kind, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if n < 4 || n > len(rest) {
			break
		}
		if kind == 7 {
			a.write(sctpChunk(sctpCookieEcho, 0, bytes.Clone(rest[4:n])))
		}
		rest = rest[min(len(rest), (n+3)&^3):]
	}
	a.await(sctpCookieAck)
	return a
}

func initBody(tsn uint32) []byte {
	b := []byte{0, 0, 0, 77, 0, 16, 0, 0, 0xff, 0xff, 0xff, 0xff} // tag, window, streams out and in
	return binary.BigEndian.AppendUint32(b, tsn)
}

// data is a DATA chunk. flags: 1 ends, 2 begins a message, 4 is unordered.
func (a *rawSCTP) data(stream uint16, flags byte, kind uint32, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, a.tsn)
	a.tsn++
	b = binary.BigEndian.AppendUint16(b, stream)
	b = binary.BigEndian.AppendUint16(b, a.seq[stream])
	if flags&1 != 0 {
		a.seq[stream]++
	}
	return sctpChunk(sctpData, flags, append(binary.BigEndian.AppendUint32(b, kind), payload...))
}

func (a *rawSCTP) sack(cumulative uint32, gaps ...uint16) []byte {
	b := binary.BigEndian.AppendUint32(nil, cumulative)
	b = binary.BigEndian.AppendUint32(b, 1<<20)
	b = binary.BigEndian.AppendUint16(b, uint16(len(gaps)/2))
	b = append(b, 0, 0)
	for _, g := range gaps {
		b = binary.BigEndian.AppendUint16(b, g)
	}
	return sctpChunk(sctpSack, 0, b)
}

// chatOpen opens a channel of the chat (RFC 8832).
func chatOpen() []byte {
	return append([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(ChatLabel)), 0, 0}, ChatLabel...)
}

const dcep = 50 // payload kind of data channels' own messages

// TestHostileSCTP speaks SCTP as nobody should: a session may end by it, but others
// do not notice, nothing is kept, and it can be closed.
func TestHostileSCTP(t *testing.T) {
	s := newChatSFU(t, (&echo{}).serve)
	good := talkTo(t, s, newPeer(t), func(answer string) string { return answer })
	defer good.viewer.Close("test")
	for name, send := range map[string]func(a *rawSCTP){
		"chunks without a length": func(a *rawSCTP) {
			for kind := range 256 {
				for n := range byte(4) {
					a.write([]byte{byte(kind), 0, 0, n})
				}
				a.write([]byte{byte(kind), 0, 0xff, 0xff, 1, 2, 3, 4})
				a.write([]byte{byte(kind), 0, 0, 4})
			}
		},
		"acknowledgements of everything": func(a *rawSCTP) {
			var gaps []uint16
			for range 270 {
				gaps = append(gaps, 1, 0xffff)
			}
			for i := range uint32(300) {
				a.write(a.sack(a.tsn+i, gaps...))
				a.write(a.sack(1<<31+i<<20, gaps...))
			}
		},
		"all streams": func(a *rawSCTP) {
			for first := 0; first < 65535; first += 51 { // a packet's fill
				var chunks [][]byte
				for stream := range uint16(51) {
					chunks = append(chunks, a.data(uint16(first)+stream, 3, 51, []byte("x")))
				}
				a.write(chunks...)
			}
		},
		"all channels": func(a *rawSCTP) {
			for stream := range uint16(2000) {
				a.write(a.data(stream, 3, dcep, chatOpen()))
			}
		},
		"messages without an end": func(a *rawSCTP) {
			part := make([]byte, 1100)
			for i := range 12000 {
				a.write(a.data(uint16(i%3), byte(2*(1-min(i/3, 1))), 51, part))
			}
		},
		"messages without a beginning": func(a *rawSCTP) {
			part := make([]byte, 1100)
			for i := range 4000 {
				a.tsn++ // and with gaps
				a.write(a.data(uint16(i), byte(i%2), 51, part))
			}
		},
		"gaps": func(a *rawSCTP) {
			for range 400 {
				var chunks [][]byte
				for range 50 {
					a.tsn += 2
					chunks = append(chunks, a.data(1, 7, 51, []byte("x")))
				}
				a.write(chunks...)
			}
		},
		"skipping ahead": func(a *rawSCTP) {
			for i := range uint32(2000) {
				a.write(sctpChunk(sctpForward, 0, binary.BigEndian.AppendUint32(nil, a.tsn+i<<18)))
			}
		},
		"beginning again": func(a *rawSCTP) {
			for i := range uint32(2000) {
				a.write(sctpChunk(sctpInit, 0, initBody(i)))
				a.write(sctpChunk(sctpCookieEcho, 0, make([]byte, 1000)))
			}
		},
		"resets": func(a *rawSCTP) {
			for i := range uint32(1000) {
				body := binary.BigEndian.AppendUint32([]byte{0, 13, 4, 0}, i)
				body = append(body, make([]byte, 1020-len(body))...) // outgoing reset, of 500 streams
				a.write(sctpChunk(sctpReconfig, 0, body))
			}
		},
		"more after the end": func(a *rawSCTP) {
			a.write(sctpChunk(sctpAbort, 0, nil))
			part := make([]byte, 1100)
			for range 12000 {
				a.write(a.data(0, 3, 51, part))
			}
		},
		"heartbeats": func(a *rawSCTP) {
			for range 2000 {
				a.write(sctpChunk(sctpHeartbeat, 0, append([]byte{0, 1, 4, 4}, make([]byte, 1024)...)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newRawPeer(t, s)
			v := p.watch(s)
			p.connect()
			a := associate(p)
			a.write(a.data(0, 3, dcep, chatOpen()))
			before := reachable()
			send(a)
			if err := good.open.SendText("still here"); err != nil {
				t.Fatal(err)
			}
			good.hears(t, "re: still here")
			if kept := reachable() - before; kept > 8<<20 {
				t.Errorf("%d bytes are kept", kept)
			}
			closed := make(chan struct{})
			go func() { defer close(closed); v.Close("test") }()
			select {
			case <-closed:
			case <-time.After(patience):
				t.Fatal("the session cannot be closed")
			}
		})
	}
}

// reachable is the heap in use.
func reachable() int64 {
	runtime.GC()
	runtime.GC() // pools need a second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
