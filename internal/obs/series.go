package obs

import (
	"github.com/prometheus/client_golang/prometheus"
)

// GaugesFunc exports one gauge for each entry of the map that f returns, with
// the map's key as the value of label. f is called at each scrape and must be
// safe for concurrent use. It is for series whose number is unbounded, which an
// operator has to ask for.
func (r *Registry) GaugesFunc(name, help, label string, f func() map[string]float64) error {
	return r.register(name, gauges{prometheus.NewDesc(name, help, []string{label}, nil), f})
}

type gauges struct {
	desc *prometheus.Desc
	read func() map[string]float64
}

// Describe implements prometheus.Collector.
func (g gauges) Describe(out chan<- *prometheus.Desc) { out <- g.desc }

// Collect implements prometheus.Collector.
func (g gauges) Collect(out chan<- prometheus.Metric) {
	for value, n := range g.read() {
		out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, n, value)
	}
}
