package codec

// Descriptor says what the VP8 or VP9 payload descriptor of one packet holds
// and where, so that picture ids can be changed in a copy.
type Descriptor struct {
	Size     int  // bytes of the descriptor
	Start    bool // first packet of a frame (VP8: of partition 0)
	Inter    bool // VP9: refers to earlier frames
	Spatial  uint8
	Temporal uint8

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
				d.Temporal = b[at] >> 6
			}
			at++
		}
	}
	d.Size = at
	return d, at <= len(b)
}

// ParseVP9 reads the fixed part of the VP9 payload descriptor (RFC 9628
// section 4.2). Size is that of the part read, not of what a scalability
// structure adds.
func ParseVP9(b []byte) (d Descriptor, ok bool) {
	if len(b) < 1 {
		return d, false
	}
	first := b[0]
	d.Start = first&0x08 != 0
	d.Inter = first&0x40 != 0
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
		d.Temporal = b[at] >> 5
		d.Spatial = b[at] >> 1 & 7
		at++
		if first&0x10 == 0 { // not flexible mode: TL0PICIDX follows
			if at >= len(b) {
				return d, false
			}
			d.TL0At, d.TL0 = at, b[at]
			at++
		}
	}
	d.Size = at
	return d, at <= len(b)
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
