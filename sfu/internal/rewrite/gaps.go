package rewrite

// maxRuns is how many runs of packets are remembered: with every other frame
// left out, some four seconds.
const maxRuns = 64

// open is the end of a run that goes on.
const open = ^uint64(0)

// run is a row of source sequence numbers that the viewer gets without a gap of
// ours. The viewer's numbers of runs lie behind each other.
type run struct {
	first, end uint64 // end is behind the last one
	shift      uint64 // added to source sequence numbers, modulo 2^64
	piece      int
	left       uint16 // pictures of the piece that were left out before
}

// gaps maps source sequence numbers to the viewer's across what was left out.
type gaps struct {
	now   run           // the newest
	next  uint64        // behind the greatest source sequence number of the piece so far
	upto  uint64        // behind what was left out last, while now is closed
	left  uint16        // pictures of the piece that were left out so far
	n     int           // runs before now
	older *[maxRuns]run // these; made when the first one comes
}

// push makes r the newest run.
func (g *gaps) push(r run) {
	if g.now.end != 0 {
		if g.older == nil {
			g.older = new([maxRuns]run)
		}
		g.older[g.n%maxRuns] = g.now
		g.n++
	}
	g.now = r
}

// at returns the i-th run before the newest.
func (g *gaps) at(i int) *run {
	if i == 0 {
		return &g.now
	}
	return &g.older[(g.n-i)%maxRuns]
}

// known is how many runs are remembered.
func (g *gaps) known() int { return 1 + min(g.n, maxRuns) }

// begin starts the numbers of a piece.
func (g *gaps) begin(piece int, first, shift uint64) {
	g.left, g.next = 0, 0
	g.push(run{first: first, end: open, shift: shift, piece: piece})
}

// find returns the viewer's number of a packet of a piece. A packet behind what
// was left out ends the gap.
func (g *gaps) find(piece int, seq uint64) (out uint64, left uint16, ok bool) {
	g.next = max(g.next, seq+1)
	if g.now.end != open && seq >= g.upto {
		g.resume(open)
	}
	if g.now.piece == piece && seq >= g.now.first {
		return seq + g.now.shift, g.now.left, seq < g.now.end
	}
	for i := 1; i < g.known(); i++ {
		r := g.at(i)
		if r.piece != piece {
			break
		}
		if seq >= r.first {
			return seq + r.shift, r.left, seq < r.end
		}
	}
	return 0, 0, false
}

// resume starts a run behind what was left out last.
func (g *gaps) resume(end uint64) {
	g.push(run{first: g.upto, end: end, shift: g.now.shift - (g.upto - g.now.end), piece: g.now.piece, left: g.left})
}

// leave takes a packet of the piece out of the numbers. ok is false when it has
// a place among them already.
func (g *gaps) leave(piece int, seq uint64, joined, picture bool) (ok bool) {
	switch {
	case seq < g.next:
		_, _, kept := g.find(piece, seq)
		return !kept
	case g.now.end == open:
		g.now.end = seq
	case seq > g.upto && !joined: // those between may be wanted
		g.resume(seq)
	}
	g.upto, g.next = seq+1, seq+1
	if picture {
		g.left++
	}
	return true
}

// join leaves out what is missing before seq, if a gap is open.
func (g *gaps) join(seq uint64) {
	if g.now.end != open && seq > g.upto {
		g.upto = seq
	}
}

// source finds what the viewer knows under a number.
func (g *gaps) source(out uint64) (piece int, seq uint64, left uint16, ok bool) {
	for i := range g.known() {
		r := g.at(i)
		if seq = out - r.shift; out >= r.first+r.shift {
			return r.piece, seq, r.left, seq < r.end
		}
	}
	return 0, 0, 0, false
}
