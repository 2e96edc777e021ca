package rewrite

import "github.com/sluice-live/sluice/sfu/internal/codec"

// history is how many pieces are remembered, so that a NACK for a packet from
// before a switch can still be answered.
const history = 4

// squeeze is the factor by which the timestamps of cached packets are drawn
// together, so that a player that starts with them arrives at the live edge
// at once: two seconds become 31 ms. Frames stay distinct and in order.
const squeeze = 64

// Packet is what a packet has of numbers: those of its source, or those that
// the viewer gets.
type Packet struct {
	Seq       uint64 // extended
	Timestamp uint32
}

// Piece maps the timestamps and picture numbers of one source, from one switch
// to the next. S says which source it is.
type Piece[S comparable] struct {
	Source  S
	first   uint64 // first source sequence number that belongs here
	time    uint32 // added to source timestamps
	edge    Packet // what came before it is squeezed
	picture uint16
	tl0     uint8
	frame   uint16
}

// Timeline is the stream that one viewer sees of one kind of media. The zero
// value has no piece.
type Timeline[S comparable] struct {
	gaps    gaps
	last    Packet // greatest sequence number sent, and its timestamp
	sent    bool
	ahead   int64  // clock ticks that it runs ahead of the capture
	picture uint16 // of the latest packet sent
	tl0     uint8
	frame   uint16
	n       int // pieces started so far
	pieces  [history]Piece[S]
}

// Start says how the first packet of a new piece follows what was sent before.
type Start struct {
	First      Packet           // in the numbers of the source
	Edge       Packet           // the live edge in the numbers of the source; First when there is no backlog
	Descriptor codec.Descriptor // of the first packet, when the codec has one
	Frame      uint16           // its frame number, when it has a dependency descriptor
	Elapsed    int64            // clock ticks from the capture of the last packet sent to that of the live edge
}

// maxAhead bounds how far a timeline may run ahead of its capture, in clock
// ticks: more than any two layers are apart.
const maxAhead = 10 * 90000

// Begin starts a piece. What the viewer gets next has the sequence number after
// the greatest one so far; its live edge lies Elapsed ticks after the last
// timestamp, and every timestamp lies after the last one. Where both cannot be,
// because the source is behind the one before it, the timeline runs ahead until
// a later piece can make up for it.
func (t *Timeline[S]) Begin(source S, s Start) {
	p := Piece[S]{Source: source, first: s.First.Seq, edge: s.Edge}
	shift := uint64(0)
	if t.sent {
		backlog := (s.Edge.Timestamp - s.First.Timestamp) / squeeze
		shift = t.last.Seq + 1 - s.First.Seq
		want := s.Elapsed - t.ahead
		step := max(want, int64(backlog)+1)
		t.ahead = min(step-want, maxAhead)
		p.time = t.last.Timestamp + uint32(step) - s.Edge.Timestamp
		if s.Descriptor.PictureAt > 0 {
			p.picture = t.picture + 1 - s.Descriptor.Picture
		}
		if s.Descriptor.TL0At > 0 {
			p.tl0 = t.tl0 + 1 - s.Descriptor.TL0
		}
		p.frame = t.frame + 1 - s.Frame
	}
	t.pieces[t.n%history] = p
	t.gaps.begin(t.n, s.First.Seq, shift)
	t.n++
}

// Current returns the piece that is being sent, nil before the first Begin.
func (t *Timeline[S]) Current() *Piece[S] {
	if t.n == 0 {
		return nil
	}
	return &t.pieces[(t.n-1)%history]
}

// Place is where a packet has its place in the viewer's stream.
type Place struct {
	Packet
	Left uint16 // pictures of the piece that were left out before it
}

// Map returns the viewer's numbers for a packet of the current piece. ok is
// false for one that has none: from before the piece, or of what was left out.
func (t *Timeline[S]) Map(in Packet) (out Place, ok bool) {
	if t.n == 0 {
		return Place{}, false
	}
	seq, left, ok := t.gaps.find(t.n-1, in.Seq)
	if !ok {
		return Place{}, false
	}
	return Place{Packet{seq, t.Current().Time(in)}, left}, true
}

// Leave leaves out a packet of the current piece, so that later ones close up.
// With joined, the packets that are missing between it and the one left out
// before are known to be left out too. picture tells that a whole picture is
// left out from here on, whose number is closed up as well. When the packet has
// a place already, ok is true: the viewer waits for it.
func (t *Timeline[S]) Leave(in Packet, joined, picture bool) (out Place, ok bool) {
	if t.gaps.leave(t.n-1, in.Seq, joined, picture) {
		return Place{}, false
	}
	return t.Map(in)
}

// Join tells that the packets missing between what was left out last and the
// packet with that source sequence number were of what was left out.
func (t *Timeline[S]) Join(seq uint64) { t.gaps.join(seq) }

// Time maps the timestamp of a packet.
func (p *Piece[S]) Time(in Packet) uint32 {
	ts := in.Timestamp
	if behind := int32(p.edge.Timestamp - ts); in.Seq <= p.edge.Seq && behind > 0 {
		ts = p.edge.Timestamp - uint32(behind)/squeeze
	}
	return ts + p.time
}

// Starts reports whether the packet with that source sequence number is the
// first of the piece.
func (p *Piece[S]) Starts(seq uint64) bool { return seq == p.first }

// Timestamp maps the timestamp of a packet behind the live edge.
func (p *Piece[S]) Timestamp(ts uint32) uint32 { return ts + p.time }

// Pictures returns what to add to picture id and TL0PICIDX.
func (p *Piece[S]) Pictures() (picture uint16, tl0 uint8) { return p.picture, p.tl0 }

// Frames returns what to add to frame numbers.
func (p *Piece[S]) Frames() uint16 { return p.frame }

// Sent notes that a packet went out. d is its source descriptor, zero when the
// codec has none, and frame its source frame number.
func (t *Timeline[S]) Sent(out Place, d *codec.Descriptor, frame uint16) {
	if t.sent && out.Seq <= t.last.Seq {
		return // a late one: the newest stays
	}
	t.sent = true
	t.last = out.Packet
	p := t.Current()
	if d.PictureAt > 0 {
		t.picture = d.Picture + p.picture - out.Left
	}
	if d.TL0At > 0 {
		t.tl0 = d.TL0 + p.tl0
	}
	t.frame = frame + p.frame
}

// Last returns the numbers of the newest packet sent; ok is false before it.
func (t *Timeline[S]) Last() (last Packet, ok bool) { return t.last, t.sent }

// Find returns the piece and the source's sequence number of what the viewer
// knows under the 16-bit number seq, for a NACK, and the pictures that were left
// out of the piece before it.
func (t *Timeline[S]) Find(seq uint16) (p *Piece[S], source uint64, left uint16, ok bool) {
	if !t.sent {
		return nil, 0, 0, false
	}
	piece, source, left, ok := t.gaps.source(t.last.Seq - uint64(uint16(t.last.Seq)-seq))
	if !ok || t.n-piece > history {
		return nil, 0, 0, false
	}
	return &t.pieces[piece%history], source, left, true
}
