package codec

// Descriptor says what the VP8 or VP9 payload descriptor of one packet holds
// and where, so that picture ids can be changed in a copy.
type Descriptor struct {
	Size     int  // bytes of the descriptor
	Start    bool // first packet of a frame (VP8: of partition 0)
	Inter    bool // VP9: refers to earlier frames
	Layered  bool // Spatial and Temporal were given
	Spatial  uint8
	Temporal uint8
	End      bool   // VP9: last packet of a frame
	Sync     bool   // VP8: Y; VP9: U
	Below    bool   // VP9: refers to the next lower spatial layer of its picture
	RefsSet  bool   // VP9: Refs was given
	Refs     uint64 // VP9: bit n is set when the frame refers to the picture n+1 before

	PictureAt   int // offset of the picture id; 0: none
	PictureWide bool
	Picture     uint16 // 7 or 15 bits
	TL0At       int    // offset of TL0PICIDX; 0: none
	TL0         uint8
}

// ParseVP8 reads the VP8 payload descriptor (RFC 7741 section 4.2).
func ParseVP8(b []byte) (d Descriptor, ok bool) {
	if len(b) < 1 {
		return d, false
	}
	d.Start = b[0]&0x10 != 0 && b[0]&0x07 == 0
	at := 1
	if b[0]&0x80 != 0 { // X
		if len(b) < 2 {
			return d, false
		}
		x := b[1]
		at = 2
		if x&0x80 != 0 { // I
			if at = d.readPicture(b, at); at == 0 {
				return d, false
			}
		}
		if x&0x40 != 0 { // L
			if at >= len(b) {
				return d, false
			}
			d.TL0At, d.TL0 = at, b[at]
			at++
		}
		if x&0x30 != 0 { // T or K
			if at >= len(b) {
				return d, false
			}
			if x&0x20 != 0 {
				d.Layered, d.Temporal, d.Sync = true, b[at]>>6, b[at]&0x20 != 0
			}
			at++
		}
	}
	d.Size = at
	return d, at <= len(b)
}

// ParseVP9 reads the VP9 payload descriptor (RFC 9628 section 4.2) up to the
// scalability structure. Size is that of the part read.
func ParseVP9(b []byte) (d Descriptor, ok bool) {
	if len(b) < 1 {
		return d, false
	}
	first := b[0]
	d.Start = first&0x08 != 0
	d.Inter, d.End = first&0x40 != 0, first&0x04 != 0
	at := 1
	if first&0x80 != 0 { // I
		if at = d.readPicture(b, at); at == 0 {
			return d, false
		}
	}
	if first&0x20 != 0 { // L
		if at >= len(b) {
			return d, false
		}
		d.Layered, d.Temporal, d.Spatial = true, b[at]>>5, b[at]>>1&7
		d.Sync, d.Below = b[at]&0x10 != 0, b[at]&1 != 0
		at++
		if first&0x10 == 0 { // not flexible mode: TL0PICIDX follows
			if at >= len(b) {
				return d, false
			}
			d.TL0At, d.TL0 = at, b[at]
			at++
		}
	}
	if first&0x50 == 0x50 { // F and P
		if at = d.readRefs(b, at); at == 0 {
			return d, false
		}
	}
	d.RefsSet = first&0x90 == 0x90 || !d.Inter && d.PictureAt > 0 // they count pictures
	d.Size = at
	return d, at <= len(b)
}

// maxVP9Refs is how many pictures a VP9 frame may refer to.
const maxVP9Refs = 3

// readRefs reads the list of P_DIFF at offset at and returns the offset behind
// it, or 0 when it does not end.
func (d *Descriptor) readRefs(b []byte, at int) int {
	for range maxVP9Refs {
		if at >= len(b) {
			return 0
		}
		diff, more := b[at]>>1, b[at]&1 != 0
		at++
		if diff >= 1 && diff <= 64 {
			d.Refs |= 1 << (diff - 1)
		} else {
			d.Refs = ^uint64(0) // too far back to tell: as if it referred to all
		}
		if !more {
			return at
		}
	}
	return 0
}

// readPicture reads the picture id at offset at and returns the offset behind
// it, or 0 when the payload is too short.
func (d *Descriptor) readPicture(b []byte, at int) int {
	if at >= len(b) {
		return 0
	}
	d.PictureAt = at
	if b[at]&0x80 == 0 {
		d.Picture = uint16(b[at])
		return at + 1
	}
	if at+1 >= len(b) {
		return 0
	}
	d.PictureWide = true
	d.Picture = uint16(b[at]&0x7f)<<8 | uint16(b[at+1])
	return at + 2
}

// Patch adds offsets to the picture id and TL0PICIDX in b, a copy of the
// payload that the descriptor was read from.
func (d *Descriptor) Patch(b []byte, picture uint16, tl0 uint8) {
	if d.PictureAt > 0 {
		p := d.Picture + picture
		if d.PictureWide {
			b[d.PictureAt] = 0x80 | byte(p>>8&0x7f)
			b[d.PictureAt+1] = byte(p)
		} else {
			b[d.PictureAt] = byte(p & 0x7f)
		}
	}
	if d.TL0At > 0 {
		b[d.TL0At] = d.TL0 + tl0
	}
}

// Descriptor reads the payload descriptor of codecs that have picture ids.
func (c Codec) Descriptor(payload []byte) (Descriptor, bool) {
	switch c {
	case VP8:
		return ParseVP8(payload)
	case VP9:
		return ParseVP9(payload)
	}
	return Descriptor{}, false
}
