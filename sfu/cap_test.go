package sfu

import (
	"testing"

	"github.com/sluice-live/sluice/sfu/internal/choice"
)

func TestCap(t *testing.T) {
	layers := []choice.Layer{{RID: "f", Height: 720, Active: true}, {RID: "h", Height: 360, Active: true}, {RID: "q", Height: 180, Active: true}}
	tests := []struct {
		name   string
		cap    Cap
		tier   int
		layers []choice.Layer
		want   int
	}{
		{"none", CapNone, 0, layers, 0},
		{"low, of the lowest tier", CapLow, 0, layers, 360},
		{"low, of another tier", CapLow, 1, layers, 0},
		{"all", CapAll, 1, layers, 360},
		{"one layer", CapAll, 0, layers[:1], 0},
		{"none known", CapAll, 0, nil, 0},
		{"the second is gone", CapAll, 0, []choice.Layer{layers[0], {RID: "h", Height: 360}, layers[2]}, 180},
		{"frame rates of one size", CapAll, 0, []choice.Layer{layers[0], {Height: 720, Temporal: 1, Active: true}}, 0},
	}
	for _, tt := range tests {
		s := &SFU{}
		s.SetCap(tt.cap)
		p := &Publisher{session: &session{sfu: s}, tier: tt.tier}
		if got := p.ceiling(tt.layers); got != tt.want {
			t.Errorf("%s: %d lines, want %d", tt.name, got, tt.want)
		}
	}
	if (*Publisher)(nil).ceiling(layers) != 0 {
		t.Error("nobody is capped")
	}
	limits := []struct {
		name     string
		in, want choice.Limits
	}{
		{"automatic", choice.Limits{}, choice.Limits{MaxHeight: 360, Capped: true}},
		{"a lower limit", choice.Limits{MaxHeight: 180}, choice.Limits{MaxHeight: 180}},
		{"a layer below", choice.Limits{RID: "q"}, choice.Limits{RID: "q", MaxHeight: 360, Capped: true}},
		{"the layer above", choice.Limits{RID: "f"}, choice.Limits{MaxHeight: 360, Capped: true}},
	}
	for _, tt := range limits {
		if got := under(360, tt.in, layers); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if got := under(0, choice.Limits{RID: "f"}, layers); got != (choice.Limits{RID: "f"}) {
		t.Errorf("without a cap: %+v", got)
	}
}
