package wish

import "fmt"

// Limits bound what a caller may send before anything expensive looks at it.
type Limits struct {
	BodyBytes  int // of an SDP offer or fragment
	LineBytes  int // of one line of it
	Sections   int // media sections ("m=") of an offer
	Attributes int // "a=" lines of an offer
	RIDs       int // simulcast encodings of an offer
	SSRCs      int // distinct ones that an offer names
	Candidates int // remote candidates in one ICE session: offer and fragments together
}

// DefaultLimits returns limits that every known client stays well below.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes: 64 << 10, LineBytes: 4 << 10, Sections: 4, Attributes: 500,
		RIDs: 3, SSRCs: 8, Candidates: 128,
	}
}

// withDefaults replaces zeros by the defaults.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct {
		have *int
		def  int
	}{
		{&l.BodyBytes, d.BodyBytes},
		{&l.LineBytes, d.LineBytes},
		{&l.Sections, d.Sections},
		{&l.Attributes, d.Attributes},
		{&l.RIDs, d.RIDs},
		{&l.SSRCs, d.SSRCs},
		{&l.Candidates, d.Candidates},
	} {
		if *f.have == 0 {
			*f.have = f.def
		}
	}
	return l
}

// Validate refuses negative limits.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"body bytes", l.BodyBytes},
		{"line bytes", l.LineBytes},
		{"sections", l.Sections},
		{"attributes", l.Attributes},
		{"rids", l.RIDs},
		{"ssrcs", l.SSRCs},
		{"candidates", l.Candidates},
	} {
		if f.value < 0 {
			return fmt.Errorf("limit of %s is negative: %d", f.name, f.value)
		}
	}
	return nil
}
