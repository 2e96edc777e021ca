package obs

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Prefix begins the name of every metric of ours.
const Prefix = "sluice_"

// Labels are the constant labels of one series. Their values must be few: never
// a stream, a viewer or anything else that callers choose.
type Labels map[string]string

// Registry holds the metrics of one node.
type Registry struct {
	reg      *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// NewRegistry returns a registry with the Go runtime, the process, build_info
// and the HTTP metrics in it.
func NewRegistry(version, revision string) *Registry {
	r := &Registry{
		reg: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: Prefix + "http_requests_total",
			Help: "HTTP requests answered, by route template, method and status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    Prefix + "http_request_duration_seconds",
			Help:    "Time from the request's header to the end of its answer, by route template and method.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        Prefix + "build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	r.reg.MustRegister(r.requests, r.duration, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// ObserveHTTP counts one answered request. route is the template, such as
// "/whep/:stream", and "" for a request that no route took.
func (r *Registry) ObserveHTTP(route, method string, status int, d time.Duration) {
	if route == "" {
		route = "none"
	}
	method = knownMethod(method)
	r.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	r.duration.WithLabelValues(route, method).Observe(d.Seconds())
}

// knownMethod keeps callers from making series by inventing methods.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// CounterFunc exports a number that only grows. f is called at each scrape and
// must be safe for concurrent use. The same name may be registered again with
// other label values. The name starts with Prefix and ends with "_total".
func (r *Registry) CounterFunc(name, help string, labels Labels, f func() float64) error {
	if !strings.HasSuffix(name, "_total") {
		return fmt.Errorf("metric %s: a counter's name ends with _total", name)
	}
	return r.register(name, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels(labels)}, f))
}

// GaugeFunc exports a number that goes up and down, under the rules of CounterFunc.
func (r *Registry) GaugeFunc(name, help string, labels Labels, f func() float64) error {
	if strings.HasSuffix(name, "_total") {
		return fmt.Errorf("metric %s: a gauge's name does not end with _total", name)
	}
	return r.register(name, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels(labels)}, f))
}

// Histogram exports a distribution and returns the function that adds to it,
// which is safe for concurrent use and does not allocate. buckets are upper
// bounds, rising.
func (r *Registry) Histogram(name, help string, labels Labels, buckets []float64) (observe func(float64), err error) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: prometheus.Labels(labels), Buckets: buckets})
	if err := r.register(name, h); err != nil {
		return nil, err
	}
	return h.Observe, nil
}

func (r *Registry) register(name string, c prometheus.Collector) error {
	if !strings.HasPrefix(name, Prefix) {
		return fmt.Errorf("metric %s: a name starts with %s", name, Prefix)
	}
	if err := r.reg.Register(c); err != nil {
		return fmt.Errorf("metric %s: %w", name, err)
	}
	return nil
}

// Handler serves the metrics as Prometheus text, or as OpenMetrics to a scraper
// that asks for it.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}
