package obs

import (
	"io"
	"net/http"
	"net/http/pprof"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
)

// OpsHandler serves what only operators may see, for a listener of its own that
// is not reachable from outside: /healthz, /livez, /readyz, /metrics and
// /debug/pprof/.
func OpsHandler(r *Registry, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", HealthHandler())
	mux.Handle("GET /livez", HealthHandler())
	mux.Handle("GET /readyz", ReadyHandler(ready))
	mux.Handle("GET /metrics", r.Handler())
	// No /debug/pprof/cmdline: a command line may hold secrets.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/cmdline", problem.NotFound)
	mux.HandleFunc("/", problem.NotFound)
	return mux
}

// HealthHandler answers that this process runs. It depends on nothing else, so
// that the loss of a dependency never gets every node restarted.
func HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { ok(w) })
}

// ReadyHandler answers 200 while ready returns nil, else 503 with the error's
// text. ready must not block.
func ReadyHandler(ready func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ready(); err != nil {
			problem.Write(w, r, sluice.Errorf(sluice.CodeUnavailable, "not ready: %v", err))
			return
		}
		ok(w)
	})
}

func ok(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok\n") // the prober is gone; nobody is left to tell
}
