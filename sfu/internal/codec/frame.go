package codec

const (
	// MaxSpatial and MaxTemporal are how many layers are told apart; what lies
	// above counts as the highest.
	MaxSpatial  = 4
	MaxTemporal = 4
)

// Frame says where a packet lies in a stream with spatial or temporal layers.
// The zero value belongs to a stream without them.
type Frame struct {
	Layered  bool // the packet says in which layers it lies
	Spatial  uint8
	Temporal uint8
	Begin    bool // first packet of the frame
	End      bool // last packet of the frame
	Key      bool // of a picture from which a decoder can start

	Sync bool // refers to no temporal layer but the lowest
	Open bool // no later frame of a higher temporal layer refers to such a layer before this frame

	// Frames are counted where RefsSet: Number in the space of the count, and
	// bit n of Refs when the frame refers to the one n+1 numbers before.
	RefsSet bool
	Space   uint8 // below MaxSpatial
	Number  uint16
	Refs    uint64

	Consecutive bool // numbers have no gaps: a missing one is a missing frame
}

// Frame is what the payload descriptor says of layers.
func (d *Descriptor) Frame(c Codec, key, marker bool) Frame {
	f := Frame{
		Layered: d.Layered, Spatial: min(d.Spatial, MaxSpatial-1), Temporal: min(d.Temporal, MaxTemporal-1),
		Begin: d.Start, Key: key, Number: d.Picture,
	}
	switch c {
	case VP8:
		f.End, f.Sync, f.Consecutive = marker, d.Sync, d.PictureWide
	case VP9:
		f.End, f.Open = d.End, d.Sync
		f.RefsSet, f.Refs, f.Space = d.RefsSet && d.PictureWide, d.Refs, f.Spatial
	}
	return f
}

// LayerSizes returns the picture sizes of the n spatial layers that a
// keyframe's packet declares, the lowest first; n is 0 when it declares none.
func (c Codec) LayerSizes(payload []byte) (sizes [MaxSpatial]Size, n int) {
	if c == VP9 {
		return vp9Sizes(payload)
	}
	return sizes, 0
}
