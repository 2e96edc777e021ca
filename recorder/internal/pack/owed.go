package pack

// always is before every tick; maxOwed bounds the discontinuities to come.
const (
	always  = -1 << 62
	maxOwed = 16
)

// Break puts a discontinuity before the next segment, unless there is one.
func (p *Packer) Break() {
	for i := range p.owed {
		if p.owed[i] == always {
			return
		}
		p.owed[i] = always
	}
	p.owe(always)
}

// Change puts a discontinuity before the next segment. It is the one that there is, where
// the next segment begins with that.
func (p *Packer) Change() {
	if len(p.owed) > 0 {
		p.owed[0] = always
		return
	}
	p.owe(always)
	p.merge = true
}

// BreakFrom puts one more before the first segment that begins at a tick or later.
func (p *Packer) BreakFrom(at int64) { p.owe(at) }

// Owe puts as many before what comes next as there are to be in all. Each needs a segment.
func (p *Packer) Owe(breaks uint64) {
	for p.Breaks() < breaks && len(p.owed) < maxOwed {
		p.owe(always)
	}
}

func (p *Packer) owe(at int64) {
	if len(p.owed) < maxOwed {
		p.owed = append(p.owed, at)
	}
}

// Broken reports whether a discontinuity is still to come.
func (p *Packer) Broken() bool { return len(p.owed) > 0 }

// Breaks is how many discontinuities there are, with those to come.
func (p *Packer) Breaks() uint64 { return p.breaks + uint64(len(p.owed)) }
