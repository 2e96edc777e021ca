package main

import (
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/load"
)

func reportOf(perGigabit float64) *load.Report {
	return &load.Report{Server: &load.ServerReport{PerGigabit: perGigabit, PerViewer: 300_000}}
}

func TestMedian(t *testing.T) {
	of := func(r *load.Report) float64 { return r.Server.PerGigabit }
	tests := []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3},
	}
	for _, tt := range tests {
		var reports []*load.Report
		for _, v := range tt.values {
			reports = append(reports, reportOf(v))
		}
		if got := median(reports, of); got != tt.want {
			t.Errorf("median of %v is %v", tt.values, got)
		}
	}
}

func TestMarkdown(t *testing.T) {
	b := &bencher{
		settings: settings{viewers: 100, runs: 1, serverCore: "0", clientCore: "1"},
		servers:  []server{{name: "one"}, {name: "other"}},
		reports:  map[string]map[string][]*load.Report{},
		searches: map[string]*load.SearchReport{
			"one":   {Viewers: 500, Steps: []load.StepReport{{Viewers: 250}, {Viewers: 500, ForwardDelay: load.Spread{P99: 21}}, {Viewers: 750, FrameLatency: load.Spread{P99: 120}}}},
			"other": {},
		},
	}
	for _, m := range modes() {
		b.reports[m.name] = map[string][]*load.Report{"one": {reportOf(0.2)}, "other": {reportOf(1)}}
	}
	var text strings.Builder
	if err := b.write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| readers awake, a datagram at a time | 0.200 | 1.000 | 5.0 |",
		"| resident memory for each viewer, kB | 300 | 300 | 1.0 |",
		"| lost, % | 0.000 | 0.000 | - |",
		"| one | 500 | 250 | 250: 0 ms, 0 ms, 0.00 %, 0 %, 0 %<br>500: 0 ms, 21 ms",
		"<br>750: 120 ms",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}
