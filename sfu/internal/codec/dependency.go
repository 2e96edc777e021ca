package codec

import "errors"

// The dependency descriptor is the RTP header extension that says how the frames
// of a stream depend on each other (AV1 RTP specification, appendix A).

// DependencyURI names the extension in SDP.
const DependencyURI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

const (
	// MaxTemplates and MaxTargets bound a structure.
	MaxTemplates = 64
	MaxTargets   = 32
	// MaxDependency is the most bytes that an extension can have.
	MaxDependency = 255

	maxTemplateDiffs = 16 // of one template
	maxFrameDiffs    = 16 // of one frame
	maxTemporalID    = 7
	maxSpatialID     = 3

	mandatoryBits = 24
	flagBits      = 5
)

var (
	errDependencyShort = errors.New("the dependency descriptor is cut short")
	errDependency      = errors.New("the dependency descriptor is invalid")
)

// Structure is the template dependency structure: what the frames of a stream
// are like until the next one comes. It is never changed once parsed.
type Structure struct {
	Targets int              // decode targets
	Sizes   [MaxSpatial]Size // of spatial layers, where they were given
	Spatial int              // spatial layers

	offset    uint8
	chains    int
	count     int
	templates [MaxTemplates]template
	layers    [MaxTargets]layers // of decode targets
}

type layers struct{ spatial, temporal uint8 }

type template struct {
	layers
	refs uint64
}

// ActiveFor returns the decode targets that remain when only the layers up to
// spatial and temporal are forwarded.
func (s *Structure) ActiveFor(spatial, temporal uint8) uint32 {
	var mask uint32
	for i := range s.Targets {
		if s.layers[i].spatial <= spatial && s.layers[i].temporal <= temporal {
			mask |= 1 << i
		}
	}
	return mask
}

// Dependency is what the extension of one packet says.
type Dependency struct {
	Raw       []byte     // as received
	Structure *Structure // in force for this packet
	Attached  bool       // the packet brought it
	Begin     bool       // first packet of its frame
	End       bool
	Number    uint16
	Spatial   uint8
	Temporal  uint8
	Refs      uint64 // see Frame
	Active    uint32 // decode targets; 0: not said, and then those of before

	maskAt, restAt, endAt uint16 // in bits: where the mask belongs, what follows it, and where that ends
}

// Frame is what the extension says of layers.
func (d *Dependency) Frame(key bool) Frame {
	return Frame{
		Layered: true, Spatial: min(d.Spatial, MaxSpatial-1), Temporal: min(d.Temporal, MaxTemporal-1),
		Begin: d.Begin, End: d.End, Key: key || d.Attached,
		RefsSet: true, Number: d.Number, Refs: d.Refs, Consecutive: true,
	}
}

// ParseDependency reads an extension. in is the structure that was in force
// before, nil for none. It allocates only for a new structure.
func ParseDependency(b []byte, in *Structure) (Dependency, error) {
	if len(b) > MaxDependency {
		return Dependency{}, errDependency
	}
	r := bitReader{b: b}
	d := Dependency{Raw: b, Structure: in}
	d.Begin, d.End = r.flag(), r.flag()
	id := uint8(r.bits(6))
	d.Number = uint16(r.bits(16))
	var customTargets, customDiffs, customChains bool
	d.maskAt = mandatoryBits
	d.restAt = mandatoryBits
	if len(b) > mandatoryBits/8 {
		attached, active := r.flag(), r.flag()
		customTargets, customDiffs, customChains = r.flag(), r.flag(), r.flag()
		if attached && !r.short {
			s, err := parseStructure(&r)
			if err != nil {
				return Dependency{}, err
			}
			d.Structure, d.Attached = s, true
			d.Active = s.all()
		}
		d.maskAt = uint16(r.at)
		if active && d.Structure != nil {
			d.Active = r.bits(d.Structure.Targets)
		}
		d.restAt = uint16(r.at)
	}
	if r.short {
		return Dependency{}, errDependencyShort
	}
	if d.Structure == nil {
		return Dependency{}, errDependency // it cannot be understood
	}
	index := int(id-d.Structure.offset) & (MaxTemplates - 1)
	if index >= d.Structure.count {
		return Dependency{}, errDependency
	}
	t := &d.Structure.templates[index]
	d.Spatial, d.Temporal, d.Refs = t.spatial, t.temporal, t.refs
	if customTargets {
		r.skip(2 * d.Structure.Targets)
	}
	if customDiffs {
		d.Refs = r.frameDiffs()
	}
	if customChains {
		r.skip(8 * d.Structure.chains)
	}
	d.endAt = uint16(r.at)
	if r.short {
		return Dependency{}, errDependencyShort
	}
	return d, nil
}

// all is the mask of all decode targets.
func (s *Structure) all() uint32 { return uint32(1<<s.Targets - 1) }

// parseStructure reads template_dependency_structure.
func parseStructure(r *bitReader) (*Structure, error) {
	s := &Structure{offset: uint8(r.bits(6)), Targets: int(r.bits(5)) + 1}
	if !s.parseLayers(r) {
		return nil, errDependency
	}
	var here [MaxTargets]layers
	for t := range s.count {
		for i := range s.Targets {
			if r.bits(2) != 0 { // present in the decode target
				here[i].spatial = max(here[i].spatial, s.templates[t].spatial)
				here[i].temporal = max(here[i].temporal, s.templates[t].temporal)
			}
		}
	}
	s.layers = here
	for t := range s.count {
		n := 0
		for ; r.flag(); n++ {
			if n == maxTemplateDiffs {
				return nil, errDependency
			}
			s.templates[t].refs |= 1 << r.bits(4)
		}
	}
	if s.chains = int(r.nonSymmetric(uint32(s.Targets) + 1)); s.chains > 0 {
		for range s.Targets {
			r.nonSymmetric(uint32(s.chains))
		}
		r.skip(4 * s.chains * s.count)
	}
	if r.flag() {
		for i := range s.Spatial {
			s.Sizes[i] = Size{int(r.bits(16)) + 1, int(r.bits(16)) + 1}
		}
	}
	if r.short {
		return nil, errDependencyShort
	}
	return s, nil
}

// parseLayers reads template_layers.
func (s *Structure) parseLayers(r *bitReader) bool {
	var at layers
	for {
		if s.count == MaxTemplates || at.spatial > maxSpatialID || at.temporal > maxTemporalID || r.short {
			return false
		}
		s.templates[s.count].layers = at
		s.count++
		switch r.bits(2) {
		case 1:
			at.temporal++
		case 2:
			at = layers{spatial: at.spatial + 1}
		case 3:
			s.Spatial = int(at.spatial) + 1
			return true
		}
	}
}

// Write puts the extension for a viewer into dst, which has room for
// MaxDependency bytes, and returns its size. shift is added to the frame number. mask, unless 0,
// is the decode targets that the viewer gets, of those that are active; an
// extension that has no room for it is left as it is.
func (d *Dependency) Write(dst []byte, shift uint16, mask uint32) int {
	n := copy(dst[:MaxDependency], d.Raw)
	if d.Active != 0 {
		mask &= d.Active
	}
	if mask != 0 && int(d.maskAt)+d.Structure.Targets+int(d.endAt-d.restAt)+flagBits <= 8*MaxDependency {
		n = d.writeMask(dst, mask)
	}
	number := d.Number + shift
	dst[1], dst[2] = byte(number>>8), byte(number)
	return n
}

// writeMask copies the extension with another mask of active decode targets.
func (d *Dependency) writeMask(dst []byte, mask uint32) int {
	clear(dst[:MaxDependency])
	r, w := bitReader{b: d.Raw}, bitWriter{b: dst}
	w.bits(r.bits(mandatoryBits), mandatoryBits)
	var flags uint32
	if len(d.Raw) > mandatoryBits/8 {
		flags = r.bits(flagBits)
	}
	w.bits(flags|1<<3, flagBits)
	w.copy(&r, int(d.maskAt))
	w.bits(mask, d.Structure.Targets)
	r.at = int(d.restAt)
	w.copy(&r, int(d.endAt))
	return (w.at + 7) / 8
}

// bitReader reads big-endian bit fields. Behind the end it reads zeros and
// notes that it did.
type bitReader struct {
	b     []byte
	at    int // in bits
	short bool
}

func (r *bitReader) bits(n int) uint32 {
	if r.at+n > 8*len(r.b) {
		r.short = true
		return 0
	}
	var v uint32
	for range n {
		v = v<<1 | uint32(r.b[r.at>>3]>>(7-r.at&7)&1)
		r.at++
	}
	return v
}

func (r *bitReader) flag() bool { return r.bits(1) != 0 }

func (r *bitReader) skip(n int) {
	if r.at+n > 8*len(r.b) {
		r.short = true
		return
	}
	r.at += n
}

// nonSymmetric reads a value below n.
func (r *bitReader) nonSymmetric(n uint32) uint32 {
	w := 0
	for x := n; x != 0; x >>= 1 {
		w++
	}
	m := uint32(1)<<w - n
	v := r.bits(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.bits(1)
}

// frameDiffs reads frame_fdiffs as a mask; one that reaches too far back refers
// to all.
func (r *bitReader) frameDiffs() (refs uint64) {
	for range maxFrameDiffs {
		size := int(r.bits(2))
		if size == 0 {
			return refs
		}
		if diff := r.bits(4 * size); diff < 64 {
			refs |= 1 << diff
		} else {
			refs = ^uint64(0)
		}
	}
	r.short = r.short || r.bits(2) != 0
	return refs
}

// bitWriter writes bit fields over zeros.
type bitWriter struct {
	b  []byte
	at int // in bits
}

func (w *bitWriter) bits(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		w.b[w.at>>3] |= byte(v>>i&1) << (7 - w.at&7)
		w.at++
	}
}

// copy moves what r has up to its bit end.
func (w *bitWriter) copy(r *bitReader, end int) {
	for r.at < end {
		n := min(end-r.at, 32)
		w.bits(r.bits(n), n)
	}
}
