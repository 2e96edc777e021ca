package extension

import "encoding/binary"

const (
	// MaxBytes is the most that the extensions of one packet take, their header
	// and padding included. What does not fit is left out.
	MaxBytes = 256

	fixedHeader = 12 // of RTP, without contributing sources
	blockHeader = 4  // profile and length

	profileOne = 0xbede // one-byte form (RFC 8285 section 4.2)
	profileTwo = 0x1000 // two-byte form (section 4.3)

	maxOneID, maxOneBytes = 14, 16
	maxTwoBytes           = 255
)

// Element is one extension: the id that was negotiated for it, 0 for none, and
// its data.
type Element struct {
	ID   uint8
	Data []byte
}

// Wide reports whether elements need the two-byte form. A receiver takes both
// forms in one stream only if it has negotiated extmap-allow-mixed (RFC 8285
// section 6).
func Wide(elements []Element) bool {
	for i := range elements {
		if e := &elements[i]; e.ID > maxOneID || e.ID != 0 && (len(e.Data) == 0 || len(e.Data) > maxOneBytes) {
			return true
		}
	}
	return false
}

// Writer adds extensions to a packet behind its fixed header.
type Writer struct {
	b    []byte // the packet; its length bounds what is written
	at   int
	wide bool
}

// Begin starts the extensions of the packet in b, which begins with a fixed
// header without contributing sources. wide chooses the two-byte form. b must
// have room for MaxBytes behind that header.
func Begin(b []byte, wide bool) Writer {
	return Writer{b: b[:fixedHeader+MaxBytes], at: fixedHeader + blockHeader, wide: wide}
}

// Add appends an extension. ok is false when its id or size has no place in the
// form, or when it does not fit; the packet is then as it was.
func (w *Writer) Add(id uint8, data []byte) (ok bool) {
	room, ok := w.Room(id, len(data))
	copy(room, data)
	return ok
}

// Room appends an extension of n bytes and returns where they go.
func (w *Writer) Room(id uint8, n int) (data []byte, ok bool) {
	if id == 0 {
		return nil, false
	}
	head := 1
	if w.wide {
		head = 2
		if n > maxTwoBytes {
			return nil, false
		}
	} else if id > maxOneID || n < 1 || n > maxOneBytes {
		return nil, false
	}
	if len(w.b)-w.at < head+n {
		return nil, false
	}
	if w.wide {
		w.b[w.at], w.b[w.at+1] = id, byte(n)
	} else {
		w.b[w.at] = id<<4 | byte(n-1)
	}
	data = w.b[w.at+head : w.at+head+n]
	w.at += head + n
	return data, true
}

// End pads the extensions to whole words, and up to size bytes in all when that
// is more, so that packets with and without one of them have the same size. It
// returns where the payload goes. Without any extension, and with no size to
// fill, the packet gets no extension header.
func (w *Writer) End(size int) int {
	end := max((w.at+3)&^3, min(fixedHeader+(size+3)&^3, len(w.b)))
	if w.at == fixedHeader+blockHeader && end == w.at && size == 0 {
		return fixedHeader
	}
	clear(w.b[w.at:end])
	profile := uint16(profileOne)
	if w.wide {
		profile = profileTwo
	}
	w.b[0] |= 1 << 4
	binary.BigEndian.PutUint16(w.b[fixedHeader:], profile)
	binary.BigEndian.PutUint16(w.b[fixedHeader+2:], uint16((end-fixedHeader-blockHeader)/4))
	return end
}
