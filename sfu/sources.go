package sfu

import (
	"slices"

	"github.com/sluice-live/sluice"
)

// sources is what a publisher sends, for shards to choose from. It is never
// changed, only replaced.
type sources struct {
	video     []*layer
	audio     *layer
	publisher *Publisher // who sends them
	layered   bool       // it has offered several layers
}

// check refuses a choice of what is not there.
func (s *sources) check(want sluice.LayerChoice) error {
	named := slices.DeleteFunc(slices.Clone(s.video), func(l *layer) bool { return want.RID != "" && l.rid != want.RID })
	if want.RID != "" && len(named) == 0 {
		return sluice.Errorf(sluice.CodeUnprocessable, "the stream has no layer %q", want.RID)
	}
	if !want.Spatial.Set && !want.Temporal.Set {
		return nil
	}
	for _, l := range named {
		for _, p := range append(l.scale(), point{}) { // without layers, everything is in 0
			if (!want.Spatial.Set || want.Spatial.N == int(p.Spatial)) && (!want.Temporal.Set || want.Temporal.N == int(p.Temporal)) {
				return nil
			}
		}
	}
	return sluice.Errorf(sluice.CodeUnprocessable, "the stream has no such spatial or temporal layer")
}

// all lists every layer, audio last.
func (s *sources) all() []*layer {
	all := append([]*layer(nil), s.video...)
	if s.audio != nil {
		all = append(all, s.audio)
	}
	return all
}
