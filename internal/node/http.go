package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
	"github.com/sluice-live/sluice/whep/relay"
)

// Times and sizes that keep one caller from holding a connection for nothing.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 5 * time.Second
	writeTimeout  = 30 * time.Second // of an answer; an event stream sets its own for each event
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes
)

// newEngine returns an engine with the middlewares that every route has, and
// problem details where no route is.
func newEngine(log *slog.Logger, metrics *obs.Registry, limiter *wish.Limiter) (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	if err := e.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.UseRawPath = true // an escaped slash stays part of a stream's name, and makes it invalid
	e.Use(identify, observe(log, metrics), recovery(log), deadlines, headers, limit(limiter))
	e.NoRoute(func(c *gin.Context) { problem.NotFound(c.Writer, c.Request) })
	e.NoMethod(func(c *gin.Context) {
		problem.MethodNotAllowed(c.Writer, c.Request, strings.Split(c.Writer.Header().Get("Allow"), ", ")...)
	})
	return e, nil
}

// identify gives the request the caller's id or a new one.
func identify(c *gin.Context) {
	id := obs.RequestID(c.GetHeader(obs.RequestIDHeader))
	c.Header(obs.RequestIDHeader, id)
	c.Request = c.Request.WithContext(obs.WithRequestID(c.Request.Context(), id))
}

// observe logs and counts each answer by its route's template: a path holds the
// secret of a session, a query may hold a token.
func observe(log *slog.Logger, metrics *obs.Registry) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		c.Next()
		took := time.Since(start)
		metrics.ObserveHTTP(c.FullPath(), c.Request.Method, c.Writer.Status(), took)
		level := slog.LevelInfo
		if quiet(c) {
			level = slog.LevelDebug
		}
		log.Log(c.Request.Context(), level, "request",
			"method", c.Request.Method, "route", c.FullPath(), "stream", c.Param("stream"),
			"status", c.Writer.Status(), "bytes", max(c.Writer.Size(), 0),
			"ms", float64(took.Microseconds())/1000, "remote", c.ClientIP())
	}
}

// quiet reports whether a request is routine: probes, assets and preflights that
// went well, and refusals of a caller over its limits, who must not fill the log.
func quiet(c *gin.Context) bool {
	if status := c.Writer.Status(); status >= http.StatusBadRequest {
		return status == http.StatusTooManyRequests
	}
	path := c.FullPath()
	return path == "/healthz" || strings.HasPrefix(path, relay.Base+"/:stream/:id") || path == "/readyz" || strings.HasPrefix(path, "/assets/") || c.Request.Method == http.MethodOptions
}

// recovery answers 500 when a handler panics.
func recovery(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(fault)
			}
			log.ErrorContext(c.Request.Context(), "handler panicked", "route", c.FullPath(), "err", fault, "stack", string(debug.Stack()))
			if !c.Writer.Written() {
				problem.Write(c.Writer, c.Request, fmt.Errorf("panic: %v", fault))
			}
			c.Abort()
		}()
		c.Next()
	}
}

// deadlines bounds how long a caller may take to send its body and to take the
// answer. Writers that know no deadlines, as in tests, have no connection to hold.
func deadlines(c *gin.Context) {
	rc := http.NewResponseController(c.Writer)
	if c.Request.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	until := time.Now().Add(writeTimeout)
	if strings.Contains(c.GetHeader("Accept"), "text/event-stream") {
		until = time.Time{}
	}
	_ = rc.SetWriteDeadline(until)
}

// headers sets what every answer has, and answers CORS preflights of routes
// that do not do so themselves.
func headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	wish.CORS(h, http.MethodGet, http.MethodHead, http.MethodOptions)
	if wish.Preflight(c.Request) && !speaksWish(c) {
		wish.Empty(c.Writer, http.StatusNoContent)
		c.Abort()
	}
}

// limit refuses a caller with too many requests. WHIP and WHEP count theirs
// themselves, probes are not counted.
func limit(limiter *wish.Limiter) gin.HandlerFunc {
	return func(c *gin.Context) {
		if speaksWish(c) || c.FullPath() == "/healthz" || c.FullPath() == "/readyz" {
			return
		}
		if err := limiter.Allow(wish.Remote(c.Request)); err != nil {
			problem.Write(c.Writer, c.Request, err)
			c.Abort()
		}
	}
}

func speaksWish(c *gin.Context) bool {
	path := c.FullPath()
	return strings.HasPrefix(path, "/whip") || strings.HasPrefix(path, "/whep")
}
