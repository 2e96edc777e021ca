package sfu

import (
	"slices"
	"sync/atomic"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/sfu/internal/codec"
	"github.com/sluice-live/sluice/sfu/internal/extension"
	"github.com/sluice-live/sluice/sfu/internal/rewrite"
	"github.com/sluice-live/sluice/sfu/internal/ring"
	"github.com/sluice-live/sluice/sfu/internal/thin"
)

// dependencies reads the dependency descriptors of one incoming RTP stream.
type dependencies struct {
	dependencyID uint8 // header extension; 0: none
	structure    *codec.Structure
	active       uint32 // decode targets, as said last
	parsed       []codec.Dependency
}

// parse returns what an extension says, nil for none that can be understood.
func (d *dependencies) parse(extension []byte) *codec.Dependency {
	if len(extension) == 0 {
		return nil
	}
	dependency, err := codec.ParseDependency(extension, d.structure)
	if err != nil {
		return nil // a packet whose structure got lost; a keyframe brings the next
	}
	if dependency.Active == 0 {
		dependency.Active = d.active
	}
	d.structure, d.active = dependency.Structure, dependency.Active
	if len(d.parsed) == 0 {
		d.parsed = make([]codec.Dependency, slabStructs)
	}
	out := &d.parsed[0]
	d.parsed = d.parsed[1:]
	*out = dependency
	return out
}

// place finds where a packet lies among spatial and temporal layers, and whether
// it shows a keyframe.
func (r *reader) place(p *ring.Packet) {
	c := r.layer.codec
	if !c.Video() {
		return
	}
	key := c.Keyframe(p.Payload)
	if r.dependencyID != 0 {
		p.Dependency = r.parse(r.header.GetExtension(r.dependencyID))
	}
	var ok bool
	if p.Descriptor, ok = c.Descriptor(p.Payload); ok {
		p.Frame = p.Descriptor.Frame(c, key, p.Marker)
		// Picture ids have 15 bits.
		r.pictures += uint16(int16((p.Frame.Number-r.pictures)<<1) >> 1)
		p.Frame.Number = r.pictures
	} else {
		p.Frame.Key = key
	}
	if p.Dependency != nil {
		p.Frame = p.Dependency.Frame(key)
	}
}

// cell counts the packets of one spatial and temporal layer.
type cell struct{ bytes, frames atomic.Uint64 }

func (c *cell) add(p *ring.Packet) {
	c.bytes.Add(uint64(len(p.Payload)))
	if p.Frame.Begin {
		c.frames.Add(1)
	}
}

// cells are the totals of all of them at one time.
type cells [codec.MaxSpatial][codec.MaxTemporal]struct{ bytes, frames uint64 }

// point is what was measured of an operating point: of the layers up to it.
type point struct {
	thin.Point
	bitrate   int // bits per second, evened out over groups of pictures
	frameRate float64
}

// points measures the operating points of a layer, the best first; none when
// there is only one. rates holds the evened out rate of each cell.
func (l *layer) points(now, before *cells, rates *[codec.MaxSpatial][codec.MaxTemporal]int, seconds float64) []point {
	var out []point
	base := [codec.MaxTemporal]int{}
	for s := range codec.MaxSpatial {
		bitrate := 0
		frames := [codec.MaxTemporal]float64{}
		for t := range codec.MaxTemporal {
			n := now[s][t].frames - before[s][t].frames
			bits := int(float64(now[s][t].bytes-before[s][t].bytes) * 8 / seconds)
			if rates[s][t] > 0 {
				bits = rates[s][t] + (bits-rates[s][t])/typicalOver
			}
			if n == 0 && bits < goneBitrate {
				bits = 0
			}
			rates[s][t] = bits
			bitrate += bits
			frames[t] = float64(n) / seconds
			if t > 0 {
				frames[t] += frames[t-1]
			}
			base[t] += bitrate
			if bits > 0 {
				out = append(out, point{thin.Point{Spatial: uint8(s), Temporal: uint8(t)}, base[t], frames[t]})
			}
		}
	}
	if len(out) < 2 {
		return nil
	}
	slices.Reverse(out)
	return out
}

// goneBitrate is the evened out rate below which a layer without frames has
// ended.
const goneBitrate = 1000

// snapshot reads the counters.
func (l *layer) snapshot() (out cells) {
	for s := range l.cells {
		for t := range l.cells[s] {
			out[s][t].bytes, out[s][t].frames = l.cells[s][t].bytes.Load(), l.cells[s][t].frames.Load()
		}
	}
	return out
}

// noteSizes takes the picture sizes that a packet of a keyframe declares.
func (l *layer) noteSizes(p *ring.Packet) {
	if p.Frame.Spatial == 0 {
		if w, h, ok := l.codec.Size(p.Payload); ok {
			l.size.Store(packSize(w, h))
		}
	}
	sizes, n := l.codec.LayerSizes(p.Payload)
	if d := p.Dependency; d != nil && d.Attached {
		sizes, n = d.Structure.Sizes, d.Structure.Spatial
	}
	for i := range n {
		if sizes[i].Width > 0 {
			l.sizes[i].Store(packSize(sizes[i].Width, sizes[i].Height))
		}
	}
}

func packSize(width, height int) uint64 { return uint64(width)<<32 | uint64(height) }

// sizeOf returns the picture size of a spatial layer, as far as it is known.
func (l *layer) sizeOf(spatial uint8) (width, height int) {
	if s := l.sizes[spatial].Load(); s != 0 {
		return int(s >> 32), int(s & 0xffffffff)
	}
	return l.dimensions()
}

// scale lists the operating points that were measured, the best first; none when
// there is only one.
func (l *layer) scale() []point {
	if r := l.rate.Load(); r != nil {
		return r.points
	}
	return nil
}

// described lists the operating points for the outside.
func (l *layer) described() []sluice.Point {
	var out []sluice.Point
	for _, p := range l.scale() {
		o := sluice.Point{Spatial: int(p.Spatial), Temporal: int(p.Temporal), Bitrate: p.bitrate, FrameRate: p.frameRate}
		o.Width, o.Height = l.sizeOf(p.Spatial)
		out = append(out, o)
	}
	return out
}

// leave leaves a packet out. A place that the viewer waits for, because it was
// not known that it would be left out, is filled with padding.
func (o *outlet) leave(sh *shard, in rewrite.Packet, v thin.Verdict) {
	// VP9 refers to earlier pictures by the difference of their numbers, which
	// must stay.
	out, ok := o.line.Leave(in, v.Joined, v.Picture && o.current.codec == codec.VP8)
	if !ok {
		return
	}
	h := &o.header
	h.Version, h.SSRC, h.PayloadType, h.Padding = 2, o.track.ssrc, o.format.pt, true
	h.Marker, h.SequenceNumber, h.Timestamp = false, uint16(out.Seq), out.Timestamp
	payload := sh.rtx[:1]
	payload[0] = 1
	o.wire.write(sh, o.track, h, nil, payload)
	h.Padding = false
	o.resend.fill(o.current, in.Seq)
	o.count(sh, Video, len(payload))
}

// repeatable reports whether a packet of l may be sent again, on the RTX stream
// or not. In place it must be the same to the last bit: one AES-GCM nonce must
// not protect two packets.
func (o *outlet) repeatable(l *layer, p *ring.Packet, rtx bool) bool {
	if !p.Frame.Layered {
		return true
	}
	if !rtx && (o.resend.fills != nil || p.Frame.End && !p.Marker) {
		return false
	}
	return !o.resend.filled(l, p.Seq)
}

// dependency adds the dependency descriptor to the header extensions of a packet,
// when the viewer takes it. The result is valid until the next call.
func (o *outlet) dependency(sh *shard, piece *rewrite.Piece[*layer], p *ring.Packet, extras []extension.Element) []extension.Element {
	d := p.Dependency
	if d == nil || o.track.dependencyID == 0 {
		return extras
	}
	var mask uint32
	if p.Frame.Begin && !o.thin.Asleep() {
		now := o.thin.Now()
		mask = d.Structure.ActiveFor(now.Spatial, now.Temporal)
	}
	n := d.Write(sh.dependency[:], piece.Frames(), mask)
	sh.extras[0] = extension.Element{ID: o.track.dependencyID, Data: sh.dependency[:n]}
	return sh.extras[:1+copy(sh.extras[1:], extras)]
}

// payload returns what the viewer gets of a packet's payload: the shared bytes
// themselves, or a copy with continuous picture ids, valid until the next call.
// left is how many pictures of the piece were left out before.
func (sh *shard) payload(piece *rewrite.Piece[*layer], left uint16, p *ring.Packet) []byte {
	picture, tl0 := piece.Pictures()
	picture -= left
	if picture == 0 && tl0 == 0 {
		return p.Payload
	}
	b := sh.patched[:copy(sh.patched[:], p.Payload)]
	p.Descriptor.Patch(b, picture, tl0)
	return b
}
