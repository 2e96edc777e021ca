package load

import (
	"encoding/binary"
	"slices"
	"time"
)

// arrivals collects what transport-cc feedback reports
// (draft-holmer-rmcat-transport-wide-cc-extensions-01). The zero value collects
// nothing.
type arrivals struct {
	ext     uint8 // id of the header extension, 0 without
	noted   []arrived
	highest uint32 // extended transport sequence number
	begun   bool
	count   uint8 // of feedback packets
}

type arrived struct {
	seq uint32
	at  int64
}

// Transport-cc feedback.
const (
	twccTick      = 250 * time.Microsecond
	twccReference = 64 * time.Millisecond
	twccMost      = 400 // packets in one feedback packet; more are left out
	symbolsInWord = 7   // of two bits
	rtpfb         = 205
	fmtTWCC       = 15
)

// note remembers a packet that carries the extension.
func (a *arrivals) note(b []byte, at int64) {
	if a.ext == 0 || len(a.noted) >= twccMost {
		return
	}
	seq, ok := transportSeq(b, a.ext)
	if !ok {
		return
	}
	if !a.begun {
		a.begun, a.highest = true, uint32(seq)+1<<16
	}
	extended := uint32(int64(a.highest) + int64(int16(seq-uint16(a.highest))))
	a.highest = max(a.highest, extended)
	a.noted = append(a.noted, arrived{seq: extended, at: at})
}

// transportSeq finds the transport sequence number in a one-byte header
// extension (RFC 8285).
func transportSeq(b []byte, id uint8) (uint16, bool) {
	if b[0]&(1<<4) == 0 {
		return 0, false
	}
	at := rtpHeaderBytes + 4*int(b[0]&0xf)
	if len(b) < at+4 || binary.BigEndian.Uint16(b[at:]) != 0xbede {
		return 0, false
	}
	end := at + 4 + 4*int(binary.BigEndian.Uint16(b[at+2:]))
	for at += 4; at < min(end, len(b)); {
		if b[at] == 0 {
			at++
			continue
		}
		size := int(b[at]&0xf) + 1
		if b[at]>>4 == id {
			if size != 2 || at+3 > len(b) {
				return 0, false
			}
			return binary.BigEndian.Uint16(b[at+1:]), true
		}
		at += 1 + size
	}
	return 0, false
}

// feedback is the RTCP packet about what has been noted since the last, nil
// when there is nothing.
func (a *arrivals) feedback(sender, media uint32) []byte {
	if len(a.noted) == 0 {
		return nil
	}
	noted := a.noted
	a.noted = a.noted[:0]
	slices.SortFunc(noted, func(x, y arrived) int { return int(int32(x.seq - y.seq)) })
	base := noted[0].seq
	span := min(int(noted[len(noted)-1].seq-base)+1, twccMost)
	reference := noted[0].at / int64(twccReference)

	b := binary.BigEndian.AppendUint32(nil, 0) // the header, below
	b = binary.BigEndian.AppendUint32(b, sender)
	b = binary.BigEndian.AppendUint32(b, media)
	b = binary.BigEndian.AppendUint16(b, uint16(base))
	b = binary.BigEndian.AppendUint16(b, uint16(span))
	b = binary.BigEndian.AppendUint32(b, uint32(reference)<<8|uint32(a.count))
	a.count++

	symbols, deltas := a.encode(noted, base, span, reference*int64(twccReference))
	for word := range slices.Chunk(symbols, symbolsInWord) {
		v := uint16(3 << 14) // status vector of two-bit symbols
		for i, s := range word {
			v |= uint16(s) << (2 * (symbolsInWord - 1 - i))
		}
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = append(b, deltas...)
	padding := -len(b) & 3
	first := byte(2<<6 | fmtTWCC)
	if padding > 0 {
		first |= 1 << 5
		b = append(b, make([]byte, padding)...)
		b[len(b)-1] = byte(padding)
	}
	b[0], b[1] = first, rtpfb
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	return b
}

// encode makes the status symbols and the receive deltas.
func (a *arrivals) encode(noted []arrived, base uint32, span int, reference int64) (symbols, deltas []byte) {
	symbols = make([]byte, span)
	last := reference
	for i, n := range noted {
		at := int(n.seq - base)
		if at >= span || i > 0 && noted[i-1].seq == n.seq {
			continue
		}
		delta := (n.at - last) / int64(twccTick)
		last += delta * int64(twccTick)
		switch {
		case delta >= 0 && delta <= 255:
			symbols[at] = 1
			deltas = append(deltas, byte(delta))
		default:
			symbols[at] = 2
			deltas = binary.BigEndian.AppendUint16(deltas, uint16(max(min(delta, 1<<15-1), -1<<15)))
		}
	}
	return symbols, deltas
}
